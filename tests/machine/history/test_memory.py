"""Histories of transitions, in memory and in a file."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from enum import Enum
from pathlib import Path
from typing import Any

import pytest

from machine import (
    ImportMismatch,
    InvalidArgument,
    Kind,
    Machine,
    Source,
    StateName,
    UnknownState,
)
from machine.history import History, MemoryHistory, SqliteHistory

AnyMachine = Machine[Any]
START = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


class Clock:
    """A time of day that is set by hand."""

    def __init__(self) -> None:
        self.now = START.timestamp()

    def __call__(self) -> float:
        return self.now


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


@pytest.fixture
def clock() -> Clock:
    """The clock of the histories of a test."""
    return Clock()


Make = Callable[..., History]


@pytest.fixture(params=["memory", "sqlite"])
def make(request: pytest.FixtureRequest, clock: Clock, tmp_path: Path) -> Iterator[Make]:
    """Makes histories of one kind, and closes them."""
    made: list[SqliteHistory] = []

    def one(**options: Any) -> History:
        if request.param == "memory":
            return MemoryHistory(clock=clock, **options)
        path = tmp_path / f"{len(made)}.db"
        made.append(SqliteHistory(path, interval=0.01, clock=clock, **options))
        return made[-1]

    yield one
    for history in made:
        history.close()
    assert not [one for one in threading.enumerate() if one.name.startswith("history")]


def machine_of(history: History, schema: str = "A; B -A; C", **rest: Any) -> AnyMachine:
    return Machine(schema, id="m", tracers=[history], **rest)


def called(history: History, **query: Any) -> list[tuple[str, ...]]:
    return [record.called for record in history.find(**query)]


def test_a_record_has_all_of_a_transition(make: Make, clock: Clock) -> None:
    history = make()
    machine = machine_of(history)
    machine.add("A", "C")
    clock.now += 1.5
    machine.add("B", args={"by": "kim"}, source=Source("x", "x#3", 7))
    (record,) = history.latest()
    assert record.at == at(1.5)
    assert record.at.utcoffset() == timedelta(0)
    assert (record.machine, record.transition, record.kind) == ("m", "m#2", Kind.ADD)
    assert (record.called, record.accepted, record.auto) == (("B",), True, False)
    assert record.ticks == {"A": 2, "B": 1, "C": 1, "Exception": 0}
    assert record.diff == {"A": 1, "B": 1}
    assert (record.sum, record.sum_tracked, record.sum_diff, record.since) == (4, 4, 2, 2)
    assert (record.queue_tick, record.machine_tick) == (3, 0)
    assert record.args == {"by": "kim"}
    assert record.source == Source("x", "x#3", 7)
    assert record.error == ""
    assert record.activated("B")
    assert record.deactivated("A")
    assert record.active("C")
    assert not record.activated("C")


def test_errors_autos_and_what_was_rejected(make: Make) -> None:
    def raising() -> None:
        raise ValueError("broken")

    history = make(rejected=True)
    handlers = {"CState": raising, "AExit": lambda: False}
    machine = machine_of(history, "A; B* ?A; C", handlers=handlers)
    machine.add("A")
    machine.remove("A")
    machine.add("C")
    machine.can_add("A")
    rows = [(one.called, one.accepted, one.auto, one.error) for one in history.find()]
    assert rows == [
        (("A",), True, False, ""),
        (("B",), True, True, ""),
        (("A",), False, False, ""),
        (("C",), False, False, "ValueError: broken"),
        (("Exception",), True, False, ""),
    ]
    assert called(history, accepted=False) == [("A",), ("C",)]
    assert called(history, auto=True) == [("B",)]
    assert called(history, kind="remove") == [("A",)]
    assert history.find(activated="C")[0].deactivated("C")  # for a moment


def test_rejected_ones_are_left_out_otherwise(make: Make) -> None:
    history = make()
    machine = machine_of(history, "A ?B; B")
    machine.add("A")
    machine.add("B")
    assert called(history) == [("B",)]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"called": "A"}, ["A"]),
        ({"called": ["A", "C"]}, ["A", "C"]),
        ({"called_except": "A"}, ["C", "B"]),
        ({"changed": "A"}, ["A", "B"]),
        ({"changed_except": "A"}, ["C"]),
        ({"called": ["A", "B"], "changed_except": "B"}, ["A"]),
    ],
)
def test_filters(make: Make, options: dict[str, Any], expected: list[str]) -> None:
    history = make(**options)
    machine = machine_of(history)
    for state in ("A", "C", "B"):
        machine.add(state)
    assert called(history) == [(state,) for state in expected]


def test_since_counts_what_was_filtered_out(make: Make) -> None:
    history = make(called="C")
    machine = machine_of(history)
    machine.add("A")
    machine.add("B")
    machine.add("C")
    (record,) = history.find()
    assert (record.sum_diff, record.since) == (1, 4)


def test_tracked_states(make: Make) -> None:
    history = make(states=["A", "B"])
    machine = machine_of(history)
    machine.add("A", "C")
    (record,) = history.find()
    assert record.ticks == {"A": 1, "B": 0}
    assert (record.sum, record.sum_tracked) == (2, 1)
    with pytest.raises(UnknownState):
        history.find(activated="C")


def test_only_so_many_are_kept(make: Make) -> None:
    history = make(max_records=3)
    machine = machine_of(history, "A; B!")
    machine.add("A")
    for _ in range(9):
        machine.add("B")
    found = history.find()
    assert [one.ticks["B"] for one in found] == [13, 15, 17]
    assert history.active_between("A", START, at(1))
    assert not history.inactive_between("A", START, at(1))


def test_queries_by_state_and_time(make: Make, clock: Clock) -> None:
    history = make()
    machine = machine_of(history)
    clock.now += 10
    machine.add("A")
    clock.now += 10
    machine.remove("A")
    assert history.activated_between("A", at(5), at(15))
    assert not history.activated_between("A", at(11), at(30))
    assert history.deactivated_between("A", at(15), at(25))
    assert not history.deactivated_between("A", at(0), at(15))
    assert history.active_between("A", at(12), at(13))
    assert not history.active_between("A", at(1), at(9))
    assert not history.active_between("A", at(21), at(30))
    assert history.inactive_between("A", at(1), at(9))
    assert not history.inactive_between("A", at(12), at(13))
    assert history.inactive_between("A", at(12), at(22))
    assert history.active_between("A", START.timestamp() + 19, at(22))
    assert not history.active_between("A", at(-9), at(-1))  # nothing is known of then
    assert not history.inactive_between("A", at(-9), at(-1))
    assert history.last_activated("A") == at(10)
    assert history.last_activated("B") is None
    assert history.activated_recently("A", 10)
    assert not history.activated_recently("A", 9)


def test_find(make: Make, clock: Clock) -> None:
    history = make()
    machine = machine_of(history, "A; B; C!")
    machine.add("A", args={"n": 1})
    clock.now += 1
    machine.add("B", args={"n": 2, "more": [1, 2]})
    clock.now += 1
    machine.add("C", args={"n": 1})
    clock.now += 1
    machine.remove("A")
    assert called(history, args={"n": 1}) == [("A",), ("C",)]
    assert called(history, args={"more": (1, 2)}) == [("B",)]
    assert called(history, args={"n": 1, "more": 1}) == []
    assert called(history, args={"n": object()}) == []
    assert called(history, active=["A", "B"]) == [("B",), ("C",)]
    assert called(history, inactive="A") == [("A",)]
    assert called(history, activated="A") == [("A",)]
    assert called(history, deactivated="A") == [("A",)]
    assert called(history, called="C") == [("C",)]
    assert called(history, start=at(1), end=at(2)) == [("B",), ("C",)]
    assert called(history, min_sum=2, max_sum=3) == [("B",), ("C",)]
    assert called(history, where=lambda one: one.number % 2 == 0) == [("A",), ("C",)]
    assert called(history, limit=1) == [("A",)]
    assert called(history, limit=2, newest_first=True) == [("A",), ("C",)]
    assert [one.called for one in history.latest(2)] == [("A",), ("C",)]
    with pytest.raises(UnknownState):
        history.find(activated="Nothing")
    with pytest.raises(InvalidArgument, match="time zone"):
        history.find(start=datetime(2026, 1, 1))  # noqa: DTZ001


def test_arguments_as_far_as_json_can_hold_them(make: Make) -> None:
    class Colour(Enum):
        RED = "red"

    @dataclasses.dataclass
    class Point:
        x: int
        y: float

    history = make()
    machine = machine_of(history, "A!")
    machine.add(
        "A",
        args={
            "point": Point(1, 2.5),
            "colour": Colour.RED,
            "when": START,
            "error": ValueError("no"),
            "path": Path("a/b"),
            "object": object(),
            "nan": float("nan"),
            "keys": {1: 2},
        },
    )
    assert history.latest()[0].args == {
        "point": {"x": 1, "y": 2.5},
        "colour": "red",
        "when": "2026-01-02T03:04:05+00:00",
        "error": "ValueError: no",
        "path": "a/b",
    }
    machine.add(StateName[Any]("A"), args=Point(3, 4))
    assert history.latest()[0].args == {"x": 3, "y": 4}


@pytest.mark.parametrize(("args", "kept"), [(False, {}), (["a"], {"a": 1})])
def test_which_arguments_are_kept(make: Make, args: Any, kept: dict[str, int]) -> None:
    history = make(args=args)
    machine_of(history).add("A", args={"a": 1, "secret": 2})
    assert history.latest()[0].args == kept


def test_a_machine_is_made_again(make: Make, clock: Clock) -> None:
    history = make()
    machine = machine_of(history, "A +C; B -A; C; D")
    machine.add("A")
    machine.add("B")
    machine.dispose()
    clock.now += 5
    again = history.restore()
    assert again.id == "m"
    assert again.schema == machine.schema
    assert again.string() == "(B:1 C:1)"
    assert again.tick("A") == 2
    assert again.machine_tick == 1
    assert history in again.tracers
    again.add("D")
    assert called(history) == [("A",), ("B",), ("D",)]
    known = history.machine_record()
    assert known is not None
    assert (known.first_seen, known.last_seen) == (at(0), at(5))
    assert known.snapshot == again.export()


def test_a_given_machine_takes_over_the_state(make: Make) -> None:
    history = make()
    machine_of(history).add("A")
    mine: AnyMachine = Machine("A; B -A; C", id="m", handlers={"BState": lambda: None})
    assert history.restore(mine) is mine
    assert mine.is_("A")
    with pytest.raises(ImportMismatch):
        history.restore(Machine("A; B -A; C", id="other"))


def test_nothing_to_restore(make: Make) -> None:
    with pytest.raises(InvalidArgument, match="no machine"):
        make().restore()


def test_a_new_machine_begins_anew(make: Make, clock: Clock) -> None:
    history = make()
    machine_of(history).add("A")
    clock.now += 10
    machine = machine_of(history)
    clock.now += 10
    assert history.active_between("A", at(1), at(2))
    assert not history.active_between("A", at(15), at(20))
    machine.add("C")
    assert [one.ticks["A"] for one in history.find()] == [1, 0]
    assert [one.since for one in history.find()] == [1, 1]


def test_an_import_is_seen(make: Make, clock: Clock) -> None:
    history = make()
    machine = machine_of(history)
    other: AnyMachine = Machine("A; B -A; C", id="m")
    other.add("A")
    machine.import_(other.export())
    clock.now += 10
    machine.add("C")
    assert history.latest()[0].diff == {"C": 1}
    assert history.active_between("A", at(11), at(12))


def test_a_schema_that_grows(make: Make) -> None:
    history = make()
    machine = machine_of(history, "A; B")
    machine.add("A")
    machine.set_schema("A; New; B")
    machine.add("New")
    assert history.latest()[0].ticks["New"] == 1
    assert history.activated_between("New", at(-1), at(1))
    again = history.restore()
    assert again.active == ("A", "New")


def test_a_history_is_of_one_machine(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    history = make()
    machine_of(history).add("A")
    other: Machine[Any] = Machine("A; X", id="other")
    other.bind_tracer(history)
    assert "this is the history of 'm'" in caplog.text
    other.add("X")
    other.set_schema("A; X; Y")
    other.dispose()
    assert [one.called for one in history.find()] == [("A",)]
    assert history.restore().active == ("A",)
    with pytest.raises(InvalidArgument, match="max_records"):
        make(max_records=0)


def test_memory_counts_its_records() -> None:
    history = MemoryHistory()
    machine_of(history).add("A")
    assert len(history) == 1
