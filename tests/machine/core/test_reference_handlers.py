"""Handlers: what they are given, what they see, and how they are bound."""

from __future__ import annotations

from typing import Any

import pytest

from machine.core.handlers import on
from machine.core.machine import Machine
from machine.core.mutation import Mutation
from machine.core.transition import Event, Transition
from machine.errors import InvalidHandler
from machine.schema.schema import EXCEPTION
from machine.waits.result import Result
from tests.machine.vector_kit import (
    CLOCK,
    OVERRUN,
    TIMEOUT,
    Raised,
    Recorder,
    build,
    letter,
    no_rels,
)


def test_27_the_queue_tick_of_a_nested_mutation() -> None:
    machine = no_rels("A")
    nested: list[Result] = []

    def enter() -> bool:
        nested.append(machine.add("C"))
        return True

    machine.bind({"BEnter": enter})
    machine.set("B")
    assert machine.active == ("C", "B")
    assert nested[0].tick == 4


def test_36_a_handler_sees_the_transition() -> None:
    machine = no_rels("A")
    recorder = Recorder(machine)
    seen: dict[str, Any] = {}

    def enter(transition: Transition, event: Event) -> None:
        seen["enter"] = (machine.active, transition.target, transition.called, event.name)
        seen["moves"] = (transition.enters, transition.exits, transition.before)

    def state(transition: Transition) -> None:
        changed = transition.time_after.diff_since(transition.time_before)
        seen["state"] = (machine.active, changed.to_index())

    machine.bind({"DEnter": enter, "DState": state})
    machine.set("D")
    assert seen["enter"] == (("A",), ("D",), ("D",), "DEnter")
    assert seen["moves"] == (("D",), ("A",), ("A",))
    assert seen["state"] == (("D",), {"A": 1, "B": 0, "C": 0, "D": 1, EXCEPTION: 0})
    assert recorder.calls.count("DEnter") == 1


def test_42_handlers_are_given_the_arguments() -> None:
    machine = no_rels("A")
    seen: list[tuple[str, object]] = []

    def enter(foo: str) -> None:
        seen.append(("BEnter", foo))

    def leave(args: dict[str, object]) -> None:
        seen.append(("AExit", args["foo"]))

    def state(event: Event, missing: str = "default") -> None:
        seen.append(("CState", event.args["foo"]))
        assert missing == "default"

    machine.bind({"BEnter": enter, "AExit": leave, "CState": state})
    for call, name in ((machine.add, "B"), (machine.remove, "A"), (machine.set, "C")):
        assert call(name, args={"foo": "bar"}).executed
    assert seen == [("BEnter", "bar"), ("AExit", "bar"), ("CState", "bar")]


def test_43_a_mutation_knows_the_event_it_was_made_for() -> None:
    machine = no_rels()
    seen: list[Mutation] = []

    def state(event: Event) -> None:
        machine.add("B", args=event.args, source=event)
        machine.remove("A", source=event)

    def other(mutation: Mutation) -> None:
        seen.append(mutation)

    machine.bind({"AState": state, "BState": other, "AEnd": other})
    machine.add("A")
    assert machine.active == ("B",)
    for one in seen:
        assert one.source is not None
        assert one.source.machine == machine.id
        assert one.source.time == 0
    assert len(seen) == 2


def test_50_functions_of_any_name() -> None:
    machine = no_rels("A")
    done: list[str] = []

    @on.end("A")
    def whatever() -> None:
        done.append("end")

    machine.bind({"AExit": lambda: True, "whatever": whatever})
    machine.remove("A")
    assert machine.not_("A")
    assert done == ["end"]


def test_51_a_self_handler_may_say_no() -> None:
    machine = no_rels("A")
    recorder = Recorder(machine)
    count: list[int] = []

    def again() -> bool:
        count.append(1)
        return False

    machine.bind({"AA": again})
    assert letter(machine.set("A", "B", args={"x": 1})) == "C"
    assert len(count) == 1
    assert recorder.calls == ["BEnter", "AA"]


def test_65_the_error_keeps_what_the_handler_raised() -> None:
    machine = no_rels()

    def state() -> None:
        raise Raised("BState broke")

    errors: list[object] = []

    def error_state(error: object) -> None:
        errors.append(error)

    machine.bind({"BState": state, "ExceptionState": error_state})
    assert letter(machine.add("A", "B", "C")) == "C"
    assert "BState broke" in str(machine.err)
    assert machine.err is errors[0]
    assert machine.err is not None
    traceback = machine.err.__traceback__
    names = []
    while traceback is not None:
        names.append(traceback.tb_frame.f_code.co_name)
        traceback = traceback.tb_next
    assert "state" in names


def test_98_a_handler_that_takes_too_long() -> None:
    machine = no_rels(handler_timeout=TIMEOUT, handler_deadline=1.0)
    machine.bind({"AState": lambda: CLOCK.advance(OVERRUN)})
    assert letter(machine.add("A")) == "C"
    assert not machine.active


def test_101_handlers_are_detached() -> None:
    machine = no_rels()
    recorder = Recorder(machine)
    recorder.binding.detach()
    machine.add("A")
    assert not recorder.calls
    again = Recorder(machine)
    machine.detach(again.binding.id)
    machine.add("B")
    assert not again.calls


class Misspelt:
    """Handlers of a state that is not there."""

    def AEnter(self) -> None: ...

    def ZEnter(self) -> None: ...


def test_102_a_handler_of_an_unknown_state() -> None:
    machine = build("A; B; C")
    with pytest.raises(InvalidHandler, match="Z from handler ZEnter"):
        machine.bind(Misspelt())
    with pytest.raises(InvalidHandler, match="Z from handler ZState"):
        machine.bind({"ZState": lambda: None})


class Named(Machine[Any]):
    """A machine whose own methods are handlers, and of which not all are."""

    def AEnter(self) -> None: ...

    def AState(self) -> None:
        self.add("B")

    def unrelated(self) -> None: ...


def test_102_methods_of_the_machine_itself() -> None:
    machine = Named("A; B; C")
    machine.add("A")
    assert set(machine.active) == {"A", "B"}


def test_104_errors_with_a_state() -> None:
    machine = no_rels()
    error = Raised("once")
    machine.add_err_state("B", error)
    assert machine.is_("B")
    assert machine.is_err
    assert machine.err is error
    other = no_rels()
    other.add_err(Raised("twice"))
    assert other.is_err
    assert not other.is_("B")
