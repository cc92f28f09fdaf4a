"""Recordings of mutations, replayed and compared."""

from __future__ import annotations

import asyncio
import json
import random
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from machine import (
    Event,
    ImportMismatch,
    InvalidArgument,
    Machine,
    MachineError,
    Options,
    Source,
    StateName,
)
from machine.recording import RecordedError, Recorder, ReplayDiffers, replay, replay_file

AnyMachine = Machine[Any]


@dataclass
class Point:
    """Arguments of a state."""

    x: int
    y: int


class Broken(Exception):
    """An error of a handler."""

    def __init__(self, text: str, code: int) -> None:
        super().__init__(text)
        self.code = code


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Of the recording of a test."""
    return tmp_path / "m.jsonl"


def record(
    path: Path,
    schema: str,
    work: Callable[[AnyMachine], object],
    handlers: object = (),
    **rest: Any,
) -> AnyMachine:
    machine: AnyMachine = Machine(schema, id="m", handlers=handlers, **rest)
    with Recorder(path) as recorder:
        machine.bind_tracer(recorder)
        work(machine)
    return machine


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_what_is_in_the_file(path: Path) -> None:
    def work(machine: AnyMachine) -> None:
        machine.add("A", args={"n": 1}, source=Source("x", "x#1", 3))

    handlers = {"AState": lambda machine: machine.add("B")}
    record(path, "A; B; C* ?A", work, handlers)
    header, *rest = lines(path)
    assert header["recording"] == 1
    assert header["machine"] == "m"
    assert list(header["schema"]["states"]) == ["A", "B", "C", "Exception"]
    assert header["ticks"] == [0, 0, 0, 0]
    done = {"accepted": True, "kind": "add"}
    assert rest == [
        {
            "mutation": "add",
            "called": ["A"],
            "args": {"n": 1},
            "source": ["x", "x#1", 3],
            "tick": 2,
        },
        {"transition": 1, "called": ["A"], "ticks": {"A": 1}, **done},
        {"transition": 2, "called": ["C"], "ticks": {"C": 1}, "auto": True, **done},
        {"transition": 3, "called": ["B"], "ticks": {"B": 1}, "queued": [3, 2], **done},
        {"end": True, "waiting": 0},
    ]


def test_the_same_again(path: Path) -> None:
    class Handlers:
        def AState(self, machine: AnyMachine) -> None:
            machine.add("B")

        def CEnter(self, allowed: bool) -> bool:
            return allowed

    def work(machine: AnyMachine) -> None:
        machine.add("A")
        machine.add("C", args={"allowed": False})
        machine.add("C", args={"allowed": True})
        machine.set("B")
        machine.toggle("B")
        machine.can_add("A")
        machine.can_remove("A")
        machine.prepend("add", "A")
        machine.add_err(ValueError("no"), args={"more": 1})
        machine.remove("Exception")

    made = record(path, "A; B; C ?B", work, Handlers())
    report = replay(path, handlers=Handlers())
    assert report.ok
    assert report.complete
    assert (report.mutations, report.transitions) == (10, 12)
    assert report.machine.export().ticks == made.export().ticks
    assert isinstance(report.machine.err, ValueError)
    assert str(report) == f"{path}: 10 mutations, 12 transitions, all the same"


def test_the_first_difference(path: Path) -> None:
    record(path, "A; B", lambda machine: [machine.add("A"), machine.add("B")])
    handlers = {"BEnter": lambda: False}
    report = replay_file(path, handlers=handlers)
    assert not report.ok
    assert report.transitions == 1
    with pytest.raises(ReplayDiffers) as caught:
        replay(path, handlers=handlers)
    error = caught.value
    assert isinstance(error, MachineError)
    assert (error.path, error.line, error.machine) == (str(path), 5, "m")
    assert error.expected == "[add] B accepted (B:1)"
    assert error.got == "[add] B canceled ()"
    assert f"{path}, line 5: expected [add] B accepted" in str(error)
    assert "then a difference" in str(report)


def test_missing_and_additional_transitions(path: Path) -> None:
    handlers = {"AState": lambda machine: machine.add("B")}
    record(path, "A; B", lambda machine: machine.add("A"), handlers)
    missing = replay_file(path).difference
    assert missing is not None
    assert (missing.expected, missing.got) == ("[add] B accepted (B:1)", "nothing more")
    record(path, "A; B", lambda machine: machine.add("A"))
    more = replay_file(path, handlers=handlers).difference
    assert more is not None
    assert (more.expected, more.got) == ("nothing more", "[add] B accepted (B:1)")


def test_errors_of_handlers(path: Path) -> None:
    def raising() -> None:
        raise Broken("it broke", 3)

    def other() -> None:
        raise ValueError("otherwise")

    record(path, "A", lambda machine: machine.add("A"), {"AState": raising})
    assert replay(path, handlers={"AState": raising}).ok
    difference = replay_file(path, handlers={"AState": other}).difference
    assert difference is not None
    assert difference.expected.endswith("Broken: it broke")
    assert difference.got.endswith("ValueError: otherwise")


def test_errors_that_are_let_out(path: Path) -> None:
    def raising() -> None:
        raise Broken("it broke", 3)

    def work(machine: AnyMachine) -> None:
        with pytest.raises(Broken):
            machine.add("A")
        machine.add("B")

    handlers = {"AState": raising}
    record(path, "A; B", work, handlers, options=Options(catch=False))
    assert replay(path, handlers=handlers).transitions == 2


def test_arguments_are_those_of_then(path: Path) -> None:
    seen: list[Any] = []

    class Handlers:
        def AEnter(self, event: Event) -> None:
            seen.append(dict(event.args))

        def PEnter(self, args: object) -> None:
            seen.append(args)

        def ExceptionEnter(self, error: BaseException) -> None:
            seen.append(error)

    args = {"n": 1, "pair": (1, [2, (3,)]), "point": Point(1, 2), "map": {"a": None}}

    def work(machine: AnyMachine) -> None:
        machine.add("A", args={**args, "object": machine})
        machine.add(StateName[Any]("P"), args=Point(3, 4))
        machine.add_err(KeyError("k"))
        machine.add_err(Broken("b", 1))

    record(path, "A; P", work, Handlers())
    before, seen[:] = list(seen), []
    assert replay(path, handlers=Handlers()).ok
    assert {name: seen[0][name] for name in args} == args
    assert seen[0]["object"] == "<Machine m ()>"
    assert len(before) == len(seen) == 4
    assert seen[1] == Point(3, 4)
    assert isinstance(seen[2], KeyError)
    assert isinstance(seen[3], RecordedError)
    assert (seen[3].name, str(seen[3])) == ("Broken", "b")


def test_it_begins_where_the_recording_begins(path: Path) -> None:
    machine: AnyMachine = Machine("A; B -A; C +B; D", id="m")
    machine.add("A")
    machine.add("D")
    with Recorder(path) as recorder:
        machine.bind_tracer(recorder)
        machine.add("C")
    report = replay(path)
    assert report.machine.export().ticks == machine.export().ticks
    assert report.machine.active == machine.active


def test_imports_and_larger_schemas(path: Path) -> None:
    def work(machine: AnyMachine) -> None:
        machine.add("A")
        other: AnyMachine = Machine("A; B", id="m")
        other.add("B")
        machine.import_(other.export())
        machine.add("A")
        machine.set_schema("New; A; B -A")
        machine.add("New", "B")

    made = record(path, "A; B", work)
    report = replay(path)
    assert report.transitions == 3
    assert report.machine.export().ticks == made.export().ticks


def test_a_machine_of_ones_own(path: Path) -> None:
    class Door(Machine[Any], schema="A; B"):
        def AState(self) -> None:
            self.add("B")

    with Recorder(path) as recorder:
        Door(tracers=[recorder]).add("A")
    door = Door()
    report = replay(path, door)
    assert report.machine is door
    assert door.is_("A", "B")
    assert door.tracers == ()
    with pytest.raises(ImportMismatch):
        replay(path, Machine("X"))


async def test_async_handlers_are_left_out(path: Path) -> None:
    class Handlers:
        async def AState(self, machine: AnyMachine) -> None:
            await asyncio.sleep(0)
            machine.add("B")

        def BState(self, machine: AnyMachine) -> None:
            machine.add("C")

    machine: AnyMachine = Machine("A; B; C", id="m", handlers=Handlers())
    with Recorder(path) as recorder:
        machine.bind_tracer(recorder)
        machine.add("A")
        await machine.when("C")
    assert [line["called"] for line in lines(path) if "mutation" in line] == [["A"], ["B"]]
    assert replay(path, handlers=Handlers()).transitions == 3


def test_mutations_of_other_threads_come_at_the_same_place(path: Path) -> None:
    def from_outside(machine: AnyMachine, *calls: tuple[str, str]) -> None:
        def work() -> None:
            for kind, state in calls:
                if kind == "first":
                    machine.prepend("add", state)
                elif kind == "check":
                    machine.can_add(state)
                else:
                    getattr(machine, kind)(state)

        thread = threading.Thread(target=work)
        thread.start()
        thread.join()

    outside = [("add", "C"), ("first", "D"), ("check", "D"), ("remove", "A")]

    def state(machine: AnyMachine) -> None:
        machine.add("B")
        from_outside(machine, *outside)
        outside.clear()
        machine.add("E")

    handlers = {"AState": state, "CState": lambda machine: machine.add("F")}
    record(path, "A; B; C -B; D; E ?C; F", lambda machine: machine.add("A"), handlers)
    order = [line["called"][0] for line in lines(path) if "transition" in line]
    assert order == ["A", "D", "D", "B", "C", "A", "E", "F"]
    assert replay(path, handlers=handlers).transitions == 8


@pytest.mark.parametrize("seed", range(5))
def test_many_threads(path: Path, seed: int) -> None:
    schema = "A! +B; B -C; C ?A; D* ?B -E; E! -D; F!"
    handlers = {
        "AState": lambda machine: machine.add("F"),
        "BState": lambda machine: machine.add("E"),
        "CEnter": lambda machine: machine.not_("E"),
    }

    def work(machine: AnyMachine) -> None:
        def one(number: int) -> None:
            chance = random.Random(seed * 10 + number)
            for _ in range(60):
                kind = chance.choice(["add", "add", "remove", "set"])
                getattr(machine, kind)(*chance.sample("ABCEF", chance.randint(1, 2)))

        threads = [threading.Thread(target=one, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    made = record(path, schema, work, handlers)
    report = replay(path, handlers=handlers)
    assert report.machine.export().ticks == made.export().ticks


def test_a_recording_that_was_cut_off(path: Path) -> None:
    record(path, "A; B", lambda machine: [machine.add("A"), machine.add("B")])
    text = path.read_text()
    path.write_text(text[: text.index('"B"],"accepted"')])
    report = replay(path)
    assert not report.complete
    assert (report.mutations, report.transitions) == (2, 1)
    assert str(report).endswith("the recording was cut off")


def test_files_that_are_no_recording(path: Path) -> None:
    for text in ("", "{}", '{"recording": 9}', '[1]\n{"a": 1}'):
        path.write_text(text)
        with pytest.raises(InvalidArgument, match="recording"):
            replay(path)
    path.write_text('{"recording": 1}\nnonsense\n{}')
    with pytest.raises(InvalidArgument, match="line 2"):
        replay(path)
    with pytest.raises(OSError, match="nothing-there"):
        replay(path.with_name("nothing-there"))


def test_a_mutation_that_is_no_longer_possible(path: Path) -> None:
    record(path, "A; B", lambda machine: machine.add("A", args={"n": 1}))
    text = path.read_text().replace('"args":{"n":1}', '"args":3')
    path.write_text(text)
    difference = replay_file(path).difference
    assert difference is not None
    assert difference.line == 2


def test_a_recorder_is_of_one_machine(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    machine = record(path, "A", lambda machine: Machine("A", tracers=list(machine.tracers)))
    assert "this is the recorder of 'm'" in caplog.text
    machine.add("A")  # closed: not recorded
    assert len(lines(path)) == 2


def test_dispose_completes_it(path: Path) -> None:
    machine: AnyMachine = Machine("Start; A", tracers=[Recorder(path)])
    machine.add("Start")
    machine.eval("test", lambda: None)
    machine.dispose()
    assert lines(path)[-1] == {"end": True, "waiting": 0}
    assert replay(path).transitions == 2


def test_what_never_ran_is_not_missed(path: Path) -> None:
    def state(machine: AnyMachine) -> None:
        thread = threading.Thread(target=lambda: machine.add("B"))
        thread.start()
        thread.join()
        machine.dispose_now()

    machine: AnyMachine = Machine("A; B", handlers={"AState": state}, tracers=[Recorder(path)])
    machine.add("A")
    assert lines(path)[-1] == {"end": True, "waiting": 1}
