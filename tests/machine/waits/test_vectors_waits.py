"""Waits and state contexts: what closes them, and when."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from machine.core.machine import Machine
from machine.core.mutation import Mutation
from machine.errors import UnknownState
from machine.rules.kinds import Kind
from machine.schema.schema import Schema
from machine.waits.result import Result
from machine.waits.wait import Wait
from tests.machine.script_kit import closed, needs_handlers, run_script, script_ids, scripts
from tests.machine.vector_kit import AnyMachine, Raised, Recorder, Vector, build, letter


@pytest.mark.parametrize("row", scripts("waits"), ids=script_ids("waits"))
def test_waits(row: dict[str, Any]) -> None:
    run_script(row, handlers=True)


SILENT = [row for row in scripts("waits") if not needs_handlers(row)]


@pytest.mark.parametrize("row", SILENT, ids=[row["id"] for row in SILENT])
def test_waits_without_handlers(row: dict[str, Any]) -> None:
    run_script(row, handlers=False)


def test_w8_a_context_ends_before_the_end_handler() -> None:
    machine = build("A")
    seen: list[str] = []
    contexts: list[Any] = []

    def state() -> None:
        contexts.append(machine.state_ctx("A"))
        note()

    def note() -> None:
        seen.append(closed(contexts[0]))

    machine.bind({"AState": state, "AExit": note, "AEnd": note})
    machine.add("A")
    note()
    machine.remove("A")
    note()
    assert "".join(seen) == "ooocc"


def test_w13_the_queue_counts_what_was_appended() -> None:
    machine = build("A; B; C")
    nested: list[Result] = []
    machine.bind({"AState": lambda: nested.extend((machine.add("B"), machine.add("C")))})
    assert machine.queue_tick == 1
    assert machine.add("A").tick == 0
    assert [one.tick for one in nested] == [3, 4]
    assert machine.queue_tick == 4


def test_w14_auto_mutations_do_not_count() -> None:
    machine = build("A*; X")
    machine.add("X")
    assert machine.queue_tick == 2
    assert machine.active == ("A", "X")


def test_w15_an_import_orders_by_name_and_calls_nobody() -> None:
    schema = Schema(Schema.parse("A; B; C"), order=["C", "B", "A", "Exception"])
    first: AnyMachine = Machine(schema, id="same")
    first.add("A")
    first.add("B")
    assert first.active == ("B", "A")
    second: AnyMachine = Machine(schema, id="same")
    recorder = Recorder(second)
    second.import_(first.export())
    assert second.active == ("B", "A")
    assert tuple(second.time()) == (0, 1, 1, 0)
    assert not recorder.calls
    assert (second.machine_tick, second.queue_tick) == (1, first.queue_tick)


def test_w16_a_disposed_machine() -> None:
    machine = build("A")
    machine.dispose_now()
    assert letter(machine.add("A")) == "C"
    assert machine.when("A").done
    assert machine.state_ctx("A").expired


def test_w17_a_state_is_called_once() -> None:
    machine = build("A; B")
    called: list[tuple[str, ...]] = []

    def state(mutation: Mutation) -> None:
        called.append(mutation.called)

    machine.bind({"AState": state})
    assert letter(machine.add("A", "A", "B")) == "E"
    assert called == [("A", "B")]


def test_w18_unknown_states() -> None:
    machine = build("A")
    for method in (machine.add, machine.not_, machine.when, machine.state_ctx):
        with pytest.raises(UnknownState):
            method("Z")
    assert not machine.is_("Z")
    assert not machine.has("Z")
    assert not machine.any_("Z")
    assert (machine.tick("Z"), machine.index("Z")) == (0, -1)


def test_w19_nothing_asked() -> None:
    machine = build("A")
    said = (machine.is_(), machine.not_(), machine.any_(), machine.any_([]), machine.has())
    assert said == (True, True, False, True, True)


def test_w20_a_dry_run_negotiates_only() -> None:
    machine = build("A; B")
    recorder = Recorder(machine, Vector(id="", schema="", steps=(), returns_false=("AEnter",)))
    results = (machine.can_add("A"), machine.can_add("B"), machine.can_remove("A"))
    assert [letter(one) for one in results] == ["C", "E", "E"]
    assert machine.time_sum() == 0
    assert [call for call in recorder.calls if call != "AnyEnter"] == ["AEnter", "BEnter"]
    assert machine.queue_tick == 1


@pytest.mark.parametrize("first", ["prepend", "append"])
def test_w21_what_is_put_in_front_runs_first(first: str) -> None:
    machine = build("A; B; C")
    ran: list[str] = []

    def state() -> None:
        ran.append("A")
        calls: list[Callable[[], Result]]
        calls = [lambda: machine.prepend(Kind.ADD, "C"), lambda: machine.add("B")]
        for call in calls if first == "prepend" else reversed(calls):
            assert call().queued

    machine.bind(
        {"AState": state, "BState": lambda: ran.append("B"), "CState": lambda: ran.append("C")}
    )
    assert machine.add("A").executed
    assert ran == ["A", "C", "B"]


def test_w22_auto_states_come_before_what_is_put_in_front() -> None:
    machine = build("A; B* ?A; C")
    ran: list[str] = []

    def state() -> None:
        ran.append("A")
        machine.prepend(Kind.ADD, "C")

    machine.bind(
        {"AState": state, "BState": lambda: ran.append("B"), "CState": lambda: ran.append("C")}
    )
    machine.add("A")
    assert ran == ["A", "B", "C"]


def test_w23_the_queue_ends_after_the_last_one() -> None:
    machine = build("A; B")
    waits: list[Wait] = []
    inside: list[bool] = []

    def state() -> None:
        waits.append(machine.when_queue_ends())
        machine.add("B")

    machine.bind({"AState": state, "BState": lambda: inside.append(waits[0].done)})
    machine.add("A")
    assert inside == [False]
    assert waits[0].done


def test_w24_a_cancelled_wait_is_over_at_once() -> None:
    machine = build("A; B")
    wait = machine.when("B")
    wait.cancel()
    assert wait.done
    other = machine.when("B")
    machine.add("A")
    assert not other.done
    machine.add("B")
    assert other.done
    assert other.error is None


def test_w27_the_tick_of_a_rejected_mutation_passes_too() -> None:
    machine = build("A; B")
    nested: list[Result] = []
    machine.bind({"AState": lambda: nested.append(machine.add("B")), "BEnter": lambda: False})
    machine.add("A")
    assert machine.active == ("A",)
    assert machine.when_queue(nested[0]).done
    assert letter(nested[0].wait(0)) == "C"


def test_a_raise_is_the_last_error() -> None:
    machine = build("A")

    def state() -> None:
        raise Raised("A")

    machine.bind({"AState": state})
    assert letter(machine.add("A")) == "C"
    assert machine.when_err().done
    assert "A" in str(machine.err)


def test_the_table_is_whole() -> None:
    code = {
        int(name[6:].partition("_")[0])
        for name in globals()
        if name.startswith("test_w") and name[6].isdigit()
    }
    data = {int(row["id"][1:]) for row in scripts("waits")}
    assert not code & data
    assert code | data == set(range(1, 28))
