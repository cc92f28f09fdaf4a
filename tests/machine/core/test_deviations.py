"""Where this machine decides otherwise than its reference: one test for what no table has.

`data/deviations.json` lists all of them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from machine.core.machine import Machine
from machine.core.mutation import Mutation
from machine.core.transition import Event, Transition
from machine.errors import HandlerTimeout, MachineDisposed, MachineError, SchemaError
from machine.lists import states_remove
from machine.rules.kinds import Kind
from machine.schema.schema import EXCEPTION, Schema
from machine.waits.result import Result
from tests.machine.vector_kit import (
    CLOCK,
    OVERRUN,
    TIMEOUT,
    AnyMachine,
    Raised,
    Recorder,
    build,
    deviates,
    letter,
    no_rels,
    rows,
    vectors,
)

TABLES = ("relation", "handlers", "queue", "raising", "timeouts", "golden", "reference")
HERE = Path(__file__).parents[1]


def refuse(*names: str) -> Mapping[str, Callable[[], None]]:
    """Handlers of these names that raise."""

    def broken() -> None:
        raise Raised(", ".join(names))

    return dict.fromkeys(names, broken)


@pytest.mark.parametrize(
    ("handler", "tick"), [("ExceptionEnter", 0), ("ExceptionState", 2), ("AnyState", 1)]
)
def test_1_a_raise_while_an_error_is_added(handler: str, tick: int) -> None:
    machine = build("A")
    binding = machine.bind(refuse(handler))
    assert letter(machine.add_err(Raised("first"))) == "C"
    assert machine.tick(EXCEPTION) == tick
    assert isinstance(machine.err, Raised)
    assert machine.err.args == (handler,)
    binding.detach()
    assert letter(machine.add("A")) == "E"
    assert not machine.queue_len


@pytest.mark.parametrize("handler", ["ExceptionEnter", "ExceptionState"])
def test_1_a_raise_that_follows_a_raise(handler: str) -> None:
    machine = build("A; B")
    binding = machine.bind(refuse("AState", handler))
    assert letter(machine.add("A")) == "C"
    assert not machine.active
    binding.detach()
    assert letter(machine.add("A", "B")) == "E"
    assert not machine.is_err


def test_4_a_query_is_asked_at_once_and_ends_with_the_machine() -> None:
    machine = no_rels("A")
    assert machine.when_query(lambda clock: clock["A"] == 1).done
    wait = machine.when_query(lambda clock: clock["A"] > 9)
    assert not wait.done
    machine.dispose_now()
    assert wait.done
    assert isinstance(wait.error, MachineDisposed)


def test_5_an_exit_handler_cancels_an_auto_transition() -> None:
    machine = build("A*; B* -A ?X; C* ?X; X", "A")
    calls: list[str] = []

    def leave() -> bool:
        calls.append("AExit")
        return False

    machine.bind({"AExit": leave, "CEnter": lambda: calls.append("CEnter")})
    assert letter(machine.add("X")) == "E"
    assert calls == ["AExit"]
    assert machine.active == ("A", "X")


@pytest.mark.parametrize("last", [True, False], ids=["last", "middle"])
def test_6_a_self_handler_cancels_an_auto_transition(last: bool) -> None:
    machine = build("A*; B*; P -B; X")
    machine.add("P")
    machine.add("X")
    if not last:
        machine.add("A")
    assert machine.active == (("X", "A", "P") if last else ("A", "X", "P"))

    def again(transition: Transition) -> bool:
        return not transition.auto

    binding = machine.bind({"AA": again})
    assert letter(machine.remove("P")) == "E"
    assert machine.tick("B") == 0
    binding.detach()
    machine.remove("X")
    assert machine.is_("B")


@pytest.mark.parametrize("text", ["A ?Z", "A +Z", "A -Z", "A >Z"])
def test_9_and_10_an_unknown_name_is_an_error(text: str) -> None:
    with pytest.raises(SchemaError, match="'Z'"):
        Schema.parse(text)


def test_13_the_order_of_names_decides() -> None:
    parsed = Schema.parse("A* -B; B* -A; X")
    for names, winner in (("A B X Exception", "A"), ("B A X Exception", "B")):
        machine: AnyMachine = Machine(Schema(parsed, order=names.split()))
        machine.add("X")
        assert set(machine.active) == {winner, "X"}


@pytest.mark.parametrize("text", ["A; End", "A; B; AB; BB", "Any; A", "Foo; FooState; State"])
def test_14_names_that_can_be_read_in_two_ways(text: str) -> None:
    with pytest.raises(SchemaError):
        Schema.parse(text)


def late(**handlers: Any) -> tuple[AnyMachine, list[Result]]:
    """A machine after a handler that overran its deadline, with +B queued meanwhile."""
    machine = build("A; B; C", handler_timeout=TIMEOUT, handler_deadline=TIMEOUT / 2)
    nested: list[Result] = []

    def enter() -> None:
        nested.append(machine.add("B"))
        CLOCK.advance(OVERRUN)

    machine.bind({"AEnter": enter, **handlers})
    assert letter(machine.add("A")) == "C"
    return machine, nested


def test_16_an_error_is_taken_after_a_deadline() -> None:
    machine, _ = late()
    assert isinstance(machine.err, HandlerTimeout)
    assert letter(machine.add("C")) == "C"
    assert letter(machine.add_err(Raised("after"))) == "E"
    assert isinstance(machine.err, Raised)
    assert machine.tick(EXCEPTION) == 3


def test_19_what_a_deadline_drops_is_canceled() -> None:
    machine, nested = late()
    assert nested[0].queued
    assert letter(nested[0].wait(0)) == "C"
    assert machine.when_queue(nested[0]).done
    assert machine.queue_tick >= nested[0].tick
    assert machine.tick("B") == 0


@pytest.mark.parametrize("answer", [True, False])
def test_20_what_is_put_in_front_can_be_awaited(answer: bool) -> None:
    machine = no_rels()
    nested: list[Result] = []
    machine.bind(
        {"AState": lambda: nested.append(machine.prepend(Kind.ADD, "B")), "BEnter": lambda: answer}
    )
    machine.add("A")
    assert nested[0].queued
    assert letter(nested[0].wait(0)) == ("E" if answer else "C")


def test_20_a_dry_run_in_a_handler_can_be_awaited() -> None:
    machine = build("A; B ?C; C")
    nested: list[Result] = []
    machine.bind({"AState": lambda: nested.extend((machine.can_add("B"), machine.can_add("C")))})
    machine.add("A")
    assert [letter(one) for one in nested] == ["Q", "Q"]
    assert [letter(one.wait(0)) for one in nested] == ["C", "E"]


async def test_21_waits_end_with_the_machine() -> None:
    machine = no_rels()
    before = machine.when("A")
    machine.dispose_now()
    for wait in (before, machine.when("A"), machine.when_args("A", {}), machine.when_err()):
        assert wait.done
        with pytest.raises(MachineDisposed):
            await wait
    await machine.when_disposed()


def test_22_a_parent_has_children_with_and_without_handlers() -> None:
    # There is no context to cancel: disposing of the parent is what ends it.
    parent = no_rels()
    silent: AnyMachine = Machine("A", parent=parent)
    loud: AnyMachine = Machine("A", parent=parent, handlers={"AState": lambda: None})
    ended: list[str] = []
    silent.on_dispose(lambda: ended.append("silent"))
    loud.on_dispose(lambda: ended.append("loud"))
    parent.dispose()
    assert sorted(ended) == ["loud", "silent"]
    assert silent.disposed
    assert loud.disposed


def test_23_an_order_names_every_state_once() -> None:
    machine = no_rels("A")
    for names in ("A A B C D", "A B C", "A B C D Exception Exception", "A B C D E Exception"):
        with pytest.raises(MachineError):
            machine.verify_states(names.split())
    machine.verify_states(["D", "C", "B", "A", EXCEPTION])
    assert machine.names == ("D", "C", "B", "A", EXCEPTION)
    assert tuple(machine.time()) == (0, 0, 0, 1, 0)


def test_24_a_handler_knows_that_it_is_a_dry_run() -> None:
    machine = no_rels()
    seen: list[bool] = []

    def enter(mutation: Mutation, event: Event) -> None:
        assert event.mutation is mutation
        seen.append(mutation.check)

    machine.bind({"AEnter": enter})
    assert letter(machine.can_add("A")) == "E"
    assert letter(machine.add("A")) == "E"
    assert seen == [True, False]


def test_25_a_wait_for_fewer_arguments_is_its_own() -> None:
    machine = build("M!")
    narrow = machine.when_args("M", {"x": 1})
    wide = machine.when_args("M", {})
    machine.add("M", args={"x": 2})
    assert wide.done
    assert not narrow.done
    machine.add("M", args={"x": 1})
    assert narrow.done


def test_26_a_dry_run_passes_its_arguments() -> None:
    machine = no_rels("A")
    machine.bind({"AExit": lambda args: args["ok"], "BEnter": lambda args: args["ok"]})
    for ok, said in ((True, "E"), (False, "C")):
        assert letter(machine.can_remove("A", args={"ok": ok})) == said
        assert letter(machine.can_add("B", args={"ok": ok})) == said


def test_26_all_lists_count() -> None:
    assert states_remove(["A", "B", "C", "D"], ["A"], ["C"]) == ("B", "D")


def test_28_the_tick_of_the_queue_never_goes_back() -> None:
    first: AnyMachine = Machine("A; B", id="same")
    first.add("A")
    second: AnyMachine = Machine("A; B", id="same")
    for _ in range(3):
        second.toggle("B")
    second.import_(first.export())
    assert second.queue_tick == 4
    third: AnyMachine = Machine("A; B", id="same")
    third.import_(first.export())
    assert third.queue_tick == first.queue_tick == 2


def test_a_vector_that_deviates_really_does() -> None:
    for table in TABLES:
        for vector in vectors(table):
            assert (vector.deviation is not None) == any(map(deviates, vector.steps)), vector.id
            assert vector.reason or vector.deviation is None


def test_the_list_of_deviations_is_whole() -> None:
    listed = {one["item"]: set(one["vectors"]) for one in rows("deviations")}
    used: dict[int, set[str]] = {}
    for table in (*TABLES, "waits"):
        for row in rows(table):
            if row.get("deviation") is not None:
                prefix = "5.1/" if table == "reference" else ""
                used.setdefault(row["deviation"], set()).add(prefix + row["id"])
    for item, ids in used.items():
        assert ids <= listed[item]
    code = "".join(path.read_text() for path in HERE.rglob("test_*.py"))
    for one in rows("deviations"):
        assert one["kept"] or one["vectors"] or one["test"], one["item"]
        for name in one["test"]:
            assert re.search(rf"def {name}\(", code), name


def test_recorded_calls_are_complete() -> None:
    # What the tables compare calls with: no handler is called that the recorder does not see.
    machine = no_rels()
    recorder = Recorder(machine)
    machine.add("A")
    assert recorder.calls == ["AEnter", "AnyEnter", "AState", "AnyState"]
