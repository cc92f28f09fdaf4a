"""Threads and tasks that use the same machine: nothing is lost, nobody hangs."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from machine import (
    Options,
    Result,
    Tracer,
    Transition,
)
from tests.machine.thread_kit import LIMITS, THREADS, AnyMachine, in_threads, make, switching_often

ROUNDS = 10_000


@pytest.mark.parametrize("handled", [False, True], ids=["plain", "handled"])
def test_every_mutation_of_every_thread_counts(handled: bool) -> None:
    calls: list[None] = []
    handlers: Any = {"AState": lambda: calls.append(None)} if handled else ()
    machine = make("A!; B", options=LIMITS, handlers=handlers)
    results: list[list[Result]] = [[] for _ in range(THREADS)]

    def hammer(number: int) -> None:
        mine = results[number]
        for _ in range(ROUNDS):
            mine.append(machine.add("A"))

    in_threads(hammer)
    total = THREADS * ROUNDS
    assert machine.tick("A") == 2 * total - 1
    assert machine.queue_tick == total + 1
    assert machine.queue_len == 0
    assert all(one.final.executed for mine in results for one in mine)
    queued = [one.tick for mine in results for one in mine if one.queued]
    assert len(queued) == len(set(queued))
    assert len(calls) == (total if handled else 0)


def test_ticks_and_queue_ticks_add_up_when_threads_disagree() -> None:
    machine = make(options=LIMITS, handlers={"AState": lambda: None})
    ran: list[None] = []

    class Counts(Tracer):
        def transition_end(self, tx: Transition) -> None:
            ran.append(None)

    machine.bind_tracer(Counts())

    def hammer(number: int) -> None:
        for round_ in range(ROUNDS // 4):
            if (round_ + number) % 2:
                machine.add("A")
            else:
                machine.remove("A")

    in_threads(hammer)
    assert machine.queue_tick == len(ran) + 1
    assert machine.is_("A") is (machine.tick("A") % 2 == 1)
    assert machine.queue_len == 0


def test_a_small_queue_refuses_and_goes_on() -> None:
    machine = make("A!; B", options=Options(queue_limit=5, handler_timeout=60))
    executed = [0] * THREADS

    def hammer(number: int) -> None:
        for _ in range(ROUNDS // 10):
            executed[number] += machine.add("A").wait(20).executed

    with switching_often():
        in_threads(hammer)
    assert machine.tick("A") == max(0, 2 * sum(executed) - 1)
    assert machine.queue_len == 0
    assert machine.add("B").executed


def test_a_full_queue_that_nobody_works_off_is_worked_off() -> None:
    """Others queued while a thread held the lock only to look."""
    machine = make("A!; B", options=Options(queue_limit=3), handlers={"BState": lambda: None})
    with machine._m_busy:
        for _ in range(3):
            assert machine.add("A").queued
        assert machine.add("A").canceled
    machine.add("B")
    assert machine.queue_len == 0
    assert machine.tick("A") == 5


def test_a_duplicate_of_what_nobody_works_off_is_worked_off() -> None:
    machine = make(handlers={"BState": lambda: None})
    with machine._m_busy:
        first = machine.add("A")
        assert first.queued
    second = machine.add("A")
    assert first.final.executed
    assert second.final.executed
    assert machine.queue_len == 0


def test_readers_see_whole_states() -> None:
    machine = make("A! -B; B! -A; C", options=LIMITS, handlers={"AState": lambda: None})

    def hammer(number: int) -> None:
        for _ in range(ROUNDS // 10):
            machine.add("A" if number % 2 else "B")

    def read() -> None:
        assert machine.active in ((), ("A",), ("B",))
        time = machine.time("A", "B")
        assert not (time.is1("A") and time.is1("B"))
        for mutation in machine.queue:
            assert mutation.called in (("A",), ("B",))
        machine.will_be("A")
        machine.is_queued_above(3, "add", "B")
        machine.export()
        machine.string_all()
        machine.inspect()

    with switching_often():
        in_threads(hammer, beside=read)


def test_handlers_never_overlap() -> None:
    inside: list[int] = []
    most: list[int] = []

    def handler() -> None:
        inside.append(1)
        most.append(len(inside))
        inside.pop()

    machine = make(
        "A!; B!", options=LIMITS, handlers=dict.fromkeys(("AEnter", "AState", "BState"), handler)
    )

    def hammer(number: int) -> None:
        for _ in range(ROUNDS // 20):
            machine.add("A" if number % 2 else "B")
            machine.eval("test", handler, timeout=60)

    with switching_often():
        in_threads(hammer)
    assert set(most) == {1}


def test_binding_and_detaching_while_others_mutate() -> None:
    machine = make("A!; B", options=LIMITS)

    def hammer(number: int) -> None:
        for _ in range(ROUNDS // 10):
            machine.add("A")

    def bind() -> None:
        binding = machine.bind({"AState": lambda: None})
        binding.detach()

    with switching_often():
        in_threads(hammer, beside=bind)
    assert machine.tick("A") == 2 * THREADS * (ROUNDS // 10) - 1
    assert machine.err is None


def test_disposing_while_others_mutate() -> None:
    for _ in range(50):
        machine = make("A!; B", options=LIMITS, handlers={"AState": lambda: None})
        left: list[Result] = []
        start = threading.Barrier(4)

        def hammer(
            number: int,
            machine: AnyMachine = machine,
            start: threading.Barrier = start,
            left: list[Result] = left,
        ) -> None:
            start.wait()
            if number == 0:
                machine.dispose()
                return
            left.extend(machine.add("A") for _ in range(20))

        in_threads(hammer, 4)
        machine.when_disposed().wait(10)
        for result in left:
            result.wait(10)
        assert machine.disposed
