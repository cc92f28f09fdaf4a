"""Interrupts, context variables, and machines that nobody needs any more."""

from __future__ import annotations

import contextvars
import gc
import threading
import weakref
from typing import Any

import pytest

from machine import (
    Machine,
    Options,
    Time,
    Tracer,
    Transition,
)

AnyMachine = Machine[Any]

LIMITS = Options(queue_limit=10**9, handler_timeout=60)


def make(schema: Any = "A; B; C", **options: Any) -> AnyMachine:
    return Machine(schema, **options)


# -- interrupts --------------------------------------------------------------------------


class Interrupt(BaseException):
    """As KeyboardInterrupt, which pytest would take for its own."""


def test_an_interrupt_in_a_handler_comes_out_and_the_machine_goes_on() -> None:
    def state(machine: AnyMachine) -> None:
        machine.add("C")
        raise Interrupt

    machine = make(handlers={"AState": state})
    with pytest.raises(Interrupt):
        machine.add("A")
    assert machine.active == ("C",)
    assert machine.tick("A") == 2
    assert machine.transition is None
    assert machine.add("B").executed
    machine.when("B").wait(1)
    assert machine.err is None


def test_an_interrupt_in_negotiation_changes_nothing() -> None:
    def enter() -> bool:
        raise Interrupt

    machine = make(handlers={"AEnter": enter})
    wait = machine.when("B")
    with pytest.raises(Interrupt):
        machine.add("A")
    assert machine.tick("A") == 0
    machine.add("B")
    assert wait.done


def test_who_waits_hears_of_what_an_interrupt_left() -> None:
    class Stops(Tracer):
        def transition_end(self, tx: Transition) -> None:
            raise Interrupt

    machine = make()
    wait = machine.when("A")
    machine.bind_tracer(Stops())
    with pytest.raises(Interrupt):
        machine.add("A")
    assert machine.is_("A")
    assert wait.done


def test_two_interrupts_leave_a_machine_that_works() -> None:
    def state(machine: AnyMachine) -> None:
        machine.add("B")
        raise Interrupt

    def interrupt() -> None:
        raise Interrupt

    machine = make(handlers={"AState": state, "BState": interrupt})
    with pytest.raises(Interrupt):
        machine.add("A")
    assert machine.transition is None
    assert machine.not_("A", "B")
    machine.remove("B")
    assert machine.add("C").executed
    assert machine.queue_len == 0


def test_an_interrupt_in_eval() -> None:
    def interrupt() -> None:
        raise Interrupt

    machine = make()
    with pytest.raises(Interrupt):
        machine.eval("test", interrupt)
    assert machine.add("A").executed
    assert machine.eval("test", lambda: None)


# -- context variables, memory -----------------------------------------------------------

var: contextvars.ContextVar[str] = contextvars.ContextVar("var", default="none")


def test_handlers_see_the_context_of_who_mutated() -> None:
    """Also if somebody else drains the queue."""
    seen: list[str] = []
    entered, go_on = threading.Event(), threading.Event()

    def hold() -> None:
        seen.append(var.get())
        entered.set()
        go_on.wait(10)

    machine = make(
        handlers={"AState": hold, "BState": lambda: seen.append(var.get())}, options=LIMITS
    )

    def drain() -> None:
        var.set("drainer")
        machine.add("A")
        machine.add("C")
        seen.append(var.get())

    thread = threading.Thread(target=drain)
    thread.start()
    entered.wait(10)
    context = contextvars.copy_context()
    context.run(var.set, "other")
    assert context.run(machine.add, "B").queued
    go_on.set()
    thread.join(10)
    assert seen == ["drainer", "other", "drainer"]


def test_machines_with_open_waits_and_contexts_go_away() -> None:
    machine = make(handlers={"AState": lambda: None})
    waits = [machine.when("A"), machine.when_query(lambda clock: False), machine.when_disposed()]
    ctx = machine.state_ctx("A")
    gone = weakref.ref(machine)
    del machine, waits, ctx
    gc.collect()
    assert gone() is None


def test_a_disposed_machine_goes_away_though_somebody_has_a_wait_of_it() -> None:
    machine = make()
    wait = machine.when("A")
    machine.dispose()
    gone = weakref.ref(machine)
    del machine
    gc.collect()
    assert gone() is None
    assert wait.done


def test_on_change_may_be_set_at_any_time() -> None:
    machine = make()
    seen: list[Time] = []
    machine.add("B")
    machine.on_change = lambda machine, before, after: seen.append(after)
    machine.add("A")
    assert [time.is1("A") for time in seen] == [True]


def test_an_interrupt_before_the_first_final_handler_takes_all_back() -> None:
    armed = False

    def clock() -> float:
        if armed and machine.is_("A"):
            raise Interrupt
        return 0.0

    machine = make(handlers={"AState": lambda: None}, options=Options(clock=clock))
    machine.add("B")
    armed = True
    with pytest.raises(Interrupt):
        machine.add("A")
    armed = False
    assert machine.string_all() == "(B:1) [A:2 C:0 Exception:0]"
    assert machine.add("A").executed


def test_an_interrupt_in_on_change_keeps_auto_states_and_observers() -> None:
    ended: list[tuple[str, ...]] = []

    class Watching(Tracer):
        def transition_end(self, tx: Transition) -> None:
            ended.append(tx.called)

    def interrupt(*_: object) -> None:
        machine.on_change = None
        raise Interrupt

    machine = make("A; B* ?A", tracers=[Watching()])
    machine.on_change = interrupt
    with pytest.raises(Interrupt):
        machine.add("A")
    assert machine.active == ("A", "B")
    assert ended == [("A",), ("B",)]


def test_a_thread_may_wait_without_an_end() -> None:
    machine = make()
    wait = machine.when("A")
    threading.Timer(0.05, machine.add, ["A"]).start()
    wait.wait(float("inf"))
