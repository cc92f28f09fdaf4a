"""Initial states: those of a new machine."""

import asyncio
import json
import pickle
from dataclasses import dataclass
from typing import Any

import pytest

from machine import (
    InvalidArgument,
    Machine,
    Options,
    Schema,
    SchemaError,
    State,
    StateContext,
    States,
    Tracer,
    Transition,
    group,
    state,
)
from machine.lint import lint
from machine.recording import Recorder, replay


class LampStates(States):
    Off = state(initial=True)
    On = state()
    Shining = state(auto=True, require=On)
    Dark = state(auto=True, require=Off)
    Phase = group(Off, On, exclusive=True)


class Lamp(Machine[LampStates]):
    def __init__(self, **rest: Any) -> None:
        self.seen: list[str] = []
        super().__init__(**rest)

    def OffEnter(self) -> bool:
        self.seen.append("OffEnter")
        return False

    def OffState(self) -> None:
        self.seen.append("OffState")

    def OffEnd(self) -> None:
        self.seen.append("OffEnd")


class Ends(Tracer):
    def __init__(self) -> None:
        self.count = 0

    def transition_end(self, tx: Transition) -> None:
        self.count += 1


def test_a_new_machine_has_its_initial_states_and_their_auto_states() -> None:
    ends = Ends()
    lamp = Lamp(tracers=[ends])
    assert lamp.active == ("Off", "Dark")
    assert lamp.clock() == {"Off": 1, "On": 0, "Shining": 0, "Dark": 1, "Exception": 0}
    assert (lamp.seen, ends.count) == ([], 0)


def test_initial_states_end_as_others_do() -> None:
    lamp = Lamp()
    assert lamp.add("On").executed
    assert lamp.active == ("On", "Shining")
    assert lamp.seen == ["OffEnd"]
    assert lamp.tick("Off") == 2
    assert lamp.add("Off").canceled  # from now on its handlers are asked


def test_machines_do_not_share_their_beginning() -> None:
    first, second = Lamp(), Lamp()
    first.add("On")
    assert second.active == ("Off", "Dark")
    assert second.tick("Off") == 1
    assert Lamp().tick("Off") == 1


def test_an_unobserved_machine_goes_on_from_its_initial_states() -> None:
    machine = Machine("A^ -B; B -A")
    assert machine.add("B").executed
    assert machine.active == ("B",)


async def test_start_work_begins_the_async_work_of_initial_states() -> None:
    done = asyncio.Event()

    async def work(ctx: StateContext) -> None:
        assert ctx.state == "A"
        done.set()

    machine = Machine("A^", handlers={"AState": work})
    assert machine.idle_states == ("A",)
    assert machine.start_work() == ("A",)
    await machine.join()
    assert done.is_set()
    assert not machine.idle_states


async def test_waits_find_initial_states_active() -> None:
    lamp = Lamp()
    await lamp.when("Off", "Dark")
    ended = lamp.when_not("Off")
    assert not ended.done
    lamp.add("On")
    await ended


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("A^ -B; B^", "B is removed by A"),
        ("A^ ?B; B", "A requires B"),
        ("A^; B* -A", "A is removed by B"),
        ("A^ ?B; B ?C; C^ -B", "A requires B"),
        ("A^ +B; B -C; C^", "C is removed by B"),
    ],
)
def test_initial_states_that_relations_reject_are_refused(text: str, reason: str) -> None:
    for refuses in (Machine, lint):
        with pytest.raises(SchemaError, match="cannot be active together") as caught:
            refuses(text)
        (problem,) = caught.value.problems
        assert problem.code == "initial"
        assert problem.state == reason[0]
        assert reason in problem.text
        assert f"take initial=True from {reason[0]}" in problem.text


def test_implied_states_begin_too() -> None:
    assert Machine("A^ +B; B").active == ("A", "B")


@dataclass
class Address:
    url: str


@dataclass
class Pause:
    seconds: float = 1.0


def test_initial_states_get_no_arguments() -> None:
    with pytest.raises(InvalidArgument, match="gets no arguments"):
        State(initial=True, args=Address)
    with pytest.raises(InvalidArgument, match="gets no arguments"):
        State(args=Address).replace(initial=True)
    assert Machine({"A": State(initial=True, args=Pause)}).active == ("A",)
    with pytest.raises(InvalidArgument, match="initial is True or False"):
        State(initial="yes")  # type: ignore[arg-type]


async def test_started_work_has_the_declared_defaults() -> None:
    seen: list[float] = []

    async def work(seconds: float) -> None:
        seen.append(seconds)

    machine = Machine({"A": State(initial=True, args=Pause)}, handlers={"AState": work})
    machine.start_work()
    await machine.join()
    assert seen == [1.0]
    assert machine.err is None


def test_every_form_of_a_schema_has_them() -> None:
    schema = LampStates.schema
    assert Schema.from_json(schema.to_json()) == schema
    assert Schema.from_dict(schema.to_dict()) == schema
    assert json.loads(schema.to_json())["states"]["Off"]["initial"] is True
    assert Schema.parse("A^!; B*^ -C; C") == Schema(
        {
            "A": State(initial=True, multi=True),
            "B": State(initial=True, auto=True, remove="C"),
            "C": State(),
        }
    )
    assert Schema.parse(str(Schema.parse("A^*; B"))) == Schema.parse("A^*; B")
    assert Schema.parse("A^").fingerprint() != Schema.parse("A").fingerprint()
    assert State(auto=True).extend(State(initial=True)) == State(auto=True, initial=True)


def test_a_larger_schema_begins_nothing_in_a_machine_that_lives() -> None:
    machine = Machine("A^; B")
    machine.remove("A")
    machine.set_schema("A^; B; C^")
    assert machine.active == ()
    assert machine.tick("C") == 0
    with pytest.raises(SchemaError, match="cannot be active together"):
        machine.set_schema("A^ -B; B^; C")
    assert machine.names == ("A", "B", "C", "Exception")
    machine.verify_states(["C", "B", "A", "Exception"])
    assert machine.active == ()


def test_copies_and_imports_have_the_state_of_the_original() -> None:
    machine = Machine("A^; B", id="one")
    machine.set("B")
    again = pickle.loads(pickle.dumps(machine))
    assert again.active == ("B",)
    assert again.tick("A") == 2
    fresh = Machine("A^; B", id="one")
    fresh.import_(machine.export())
    assert fresh.active == ("B",)
    assert pickle.loads(pickle.dumps(State(initial=True))) == State(initial=True)


def test_a_recording_begins_with_them(tmp_path: Any) -> None:
    lamp = Lamp(id="lamp")
    path = tmp_path / "lamp.jsonl"
    recorder = Recorder(path)
    lamp.bind_tracer(recorder)
    lamp.add("On")
    lamp.set("On", "Dark")
    recorder.close()
    assert replay(path, Lamp(id="lamp")).ok
    assert replay(path).transitions


def test_inspect_tells_of_them() -> None:
    assert "    |Initial  true\n" in Machine("A^").inspect("A")
    assert "Initial" not in Machine("A^; B").inspect("B")


def test_a_submachine_and_options_go_along() -> None:
    parent = Machine("A^")
    child = Machine("B^", parent=parent, options=Options(catch=False))
    assert child.active == ("B",)
