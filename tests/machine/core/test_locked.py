"""Threads that come while another one holds a machine's lock outside of its queue are served."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from machine import Machine, Result, Snapshot, UnknownState
from machine.waits.wait import Wait
from tests.machine.thread_kit import in_threads

AnyMachine = Machine[Any]


class Name(str):
    """A name whose hash, which is looked up under the lock, runs a function once."""

    __slots__ = ("hook",)
    hook: Callable[[], object] | None

    def __hash__(self) -> int:
        hook, self.hook = self.hook, None
        if hook is not None:
            in_threads(lambda _: hook(), count=1)
        return super().__hash__()


def named(name: str, hook: Callable[[], object]) -> Name:
    found = Name(name)
    found.hook = hook
    return found


class Lamp(Machine[Any], schema="A; B"):
    meanwhile: Callable[[], object]

    def migrate_snapshot(self, snapshot: Snapshot) -> Snapshot:
        in_threads(lambda _: self.meanwhile(), count=1)
        return snapshot.for_states(self.names)


def old_lamp() -> Snapshot:
    return Snapshot("lamp", ("A", "Exception"), (1, 0))


def test_a_mutation_that_comes_during_an_import_runs_after_it() -> None:
    lamp, results, waits = Lamp(id="lamp"), list[Result](), list[Wait]()

    def meanwhile() -> None:
        results.append(lamp.add("B"))
        waits.append(lamp.when_queue_ends())

    lamp.meanwhile = meanwhile
    lamp.import_(old_lamp())
    assert results[0].final.executed
    assert waits[0].done
    assert lamp.active == ("B", "A")


def test_a_mutation_that_comes_during_an_import_that_fails_runs_after_it() -> None:
    lamp = Lamp(id="lamp")

    def broken() -> None:
        lamp.add("B")
        raise ZeroDivisionError

    lamp.meanwhile = broken
    with pytest.raises(ZeroDivisionError):
        lamp.import_(old_lamp())
    assert lamp.active == ("B",)


def test_a_wait_for_the_queue_that_comes_during_an_import_ends_with_it() -> None:
    lamp, waits = Lamp(id="lamp"), list[Wait]()
    lamp.meanwhile = lambda: waits.append(lamp.when_queue_ends())
    lamp.import_(old_lamp())
    assert waits[0].done


def test_a_machine_that_is_disposed_during_an_import_ends_after_it() -> None:
    lamp = Lamp(id="lamp")
    lamp.meanwhile = lamp.dispose
    lamp.import_(old_lamp())
    assert lamp.disposed
    assert lamp.when_disposed().done


def test_a_wait_for_the_queue_that_comes_during_a_mutation_without_observers_ends() -> None:
    machine: AnyMachine = Machine("A; B")
    waits: list[Wait] = []
    machine.add(named("A", lambda: waits.append(machine.when_queue_ends())))
    assert waits[0].done


def test_a_mutation_that_comes_during_a_wrong_one_runs_after_it() -> None:
    machine: AnyMachine = Machine("A; B")
    results: list[Result] = []
    with pytest.raises(UnknownState):
        machine.add(named("C", lambda: results.append(machine.add("B"))))
    assert results[0].final.executed
    assert machine.active == ("B",)
