"""The interface of observers: changes of transitions, dropped mutations, records."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from machine import Machine, Mutation, Options, Tracer, Transition
from machine.core.mutation import DropReason
from machine.core.records import record_of
from machine.core.tracer import send_note
from machine.core.transition import StateChange
from machine.errors import UnknownState


class Seen(Tracer):
    def __init__(self) -> None:
        self.ended: list[Transition] = []
        self.during: list[tuple[str, ...]] = []
        self.dropped: list[tuple[str, DropReason]] = []
        self.notes: list[str] = []

    def transition_start(self, tx: Transition) -> None:
        assert tx.ticks_after is tx.ticks_before
        assert tx.changes == ()

    def transition_finals(self, tx: Transition) -> None:
        self.during.append(tuple(change.name for change in tx.changes))

    def transition_end(self, tx: Transition) -> None:
        self.ended.append(tx)

    def mutation_dropped(
        self, machine: Machine[object], mutation: Mutation, reason: DropReason
    ) -> None:
        self.dropped.append((str(mutation), reason))

    def note(self, machine: Machine[object], level: str, text: str) -> None:
        self.notes.append(text)


def made(
    schema: str, handlers: object = (), options: Options | None = None
) -> tuple[Machine[object], Seen]:
    seen = Seen()
    machine: Machine[object] = Machine(schema, handlers=handlers, tracers=[seen], options=options)
    return machine, seen


def test_changes_name_the_states_that_ticked_in_the_official_order() -> None:
    machine, seen = made("A; B! -C; C")
    machine.add("C")
    machine.add("B", "A")
    machine.add("B")
    assert [tx.changes for tx in seen.ended] == [
        (StateChange(2, "C", 1, 1),),
        (StateChange(0, "A", 1, 1), StateChange(1, "B", 1, 1), StateChange(2, "C", 1, 2)),
        (StateChange(1, "B", 2, 3),),
    ]
    assert seen.during == [("C",), ("A", "B", "C"), ("B",)]
    last = seen.ended[-1]
    assert (list(last.ticks_before), list(last.ticks_after)) == ([1, 1, 2, 0], [1, 3, 2, 0])
    assert last.names == machine.names == ("A", "B", "C", "Exception")
    assert last.schema is machine.schema


def test_a_rejected_transition_has_no_changes() -> None:
    machine, seen = made("A; B", {"AEnter": lambda: False})
    assert machine.add("A").canceled
    assert seen.ended[0].changes == ()
    assert seen.ended[0].ticks_after is seen.ended[0].ticks_before


def test_changes_show_what_a_failed_final_handler_took_back() -> None:
    machine, seen = made("A; B", {"BState": lambda: 1 / 0})
    machine.add("A", "B")
    assert seen.during[0] == ("A", "B")
    assert seen.ended[0].changes == (StateChange(0, "A", 1, 1), StateChange(1, "B", 2, 2))


def test_current_ticks_are_a_snapshot() -> None:
    machine, seen = made("A; B")
    before = machine.current_ticks
    machine.add("A")
    assert list(before) == [0, 0, 0]
    assert list(machine.current_ticks) == [1, 0, 0]
    assert seen.ended[0].ticks_before is before


def test_names_of_states_are_checked() -> None:
    machine, _ = made("A; B")
    assert machine.check_states("B", ("A", "B")) == ("B", "A")
    with pytest.raises(UnknownState):
        machine.check_states("A", ("C",))


def test_a_record_keeps_the_values_of_a_transition() -> None:
    machine, seen = made("A; B", {"AState": lambda: 1 / 0})
    machine.add("A", args={"x": 1})
    tx = seen.ended[0]
    record = record_of(tx, {"x": 1})
    assert (record.machine, record.transition, str(record)) == (machine.id, tx.id, "[add] A")
    assert (record.accepted, record.error) == (False, "ZeroDivisionError: division by zero")
    assert record.changes == tx.changes
    assert record.args == {"x": 1}


# -- mutations that do not run -----------------------------------------------------------


@contextmanager
def busy(machine: Machine[object]) -> Iterator[None]:
    """Hold the machine in an eval of another thread, so that what is mutated meanwhile waits."""
    held, go = threading.Event(), threading.Event()

    def hold() -> None:
        held.set()
        go.wait()

    thread = threading.Thread(target=machine.eval, args=("test", hold))
    thread.start()
    held.wait()
    try:
        yield
    finally:
        go.set()
        thread.join()


def test_a_duplicate_is_dropped() -> None:
    machine, seen = made("A; B")
    with busy(machine):
        first, second = machine.add("A"), machine.add("A")
    assert seen.dropped == [("[add] A", DropReason.DUPLICATE)]
    assert first.final.executed
    assert second.final.executed


def test_a_full_queue_drops() -> None:
    machine, seen = made("A; B; C", options=Options(queue_limit=1))
    with busy(machine):
        machine.add("A")
        assert machine.add("B").canceled
    assert seen.dropped == [("[add] B", DropReason.QUEUE_FULL)]


def test_a_removal_without_effect_in_a_handler_is_dropped() -> None:
    machine, seen = made("A; B", {"AState": lambda machine: machine.remove("B")})
    machine.add("A")
    assert seen.dropped == [("[remove] B", DropReason.NO_EFFECT)]


def test_a_machine_that_ends_drops() -> None:
    machine, seen = made("A; B", {"AState": end})
    machine.add("A")
    assert seen.dropped == [
        ("[set] B", DropReason.DISPOSED),
        ("[add] Exception", DropReason.DISPOSED),
    ]


def end(machine: Machine[object]) -> None:
    machine.dispose()
    machine.set(["B"])
    machine.add_err(ValueError("late"))


def test_a_queue_that_is_ended_at_once_is_dropped() -> None:
    machine, seen = made("A; B")
    with busy(machine):
        machine.add("A")
        machine.remove("B")
        machine.dispose_now()
    assert seen.dropped == [
        ("[add] A", DropReason.CLEARED),
        ("[remove] B", DropReason.CLEARED),
    ]


def test_the_drain_knows_its_thread() -> None:
    seen: list[bool] = []

    def look(machine: Machine[object]) -> None:
        seen.append(machine.in_handler)
        thread = threading.Thread(target=lambda: seen.append(machine.in_handler))
        thread.start()
        thread.join()

    machine, _ = made("A", {"AState": look})
    machine.add("A")
    assert seen == [True, False]
    assert not machine.in_handler


def test_notes_reach_the_tracers_and_their_errors_do_not_come_back() -> None:
    class Broken(Tracer):
        def note(self, machine: Machine[object], level: str, text: str) -> None:
            raise ValueError(text)

    machine, seen = made("A")
    machine.bind_tracer(Broken())
    send_note(machine, "ops", "hello")
    assert seen.notes[-1] == "hello"
