"""Waiting across threads and tasks: no wake-up is lost, nothing is left behind."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
import threading
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from machine import (
    MachineDisposed,
    Time,
    WaitTimeout,
    helpers,
)
from machine.waits.open_waits import OpenWaits
from machine.waits.wait import Wait
from tests.machine.thread_kit import LIMITS, THREADS, in_threads, make, switching_often


def test_what_comes_while_a_wait_is_made_is_not_missed() -> None:
    machine = make()
    first = [True]

    def query(clock: Mapping[str, int]) -> bool:
        if first.pop() if first else False:
            thread = threading.Thread(target=machine.add, args=("A",))
            thread.start()
            thread.join(10)
        return clock["A"] == 1

    machine.when_query(query).wait(10)


def test_no_wakeup_is_lost_between_threads() -> None:
    """Waiter and mutator begin at the same moment, again and again."""
    rounds = 400
    machines = [make() for _ in range(rounds)]
    start = threading.Barrier(3)

    def race(number: int) -> None:
        for machine in machines:
            start.wait(30)
            if number == 0:
                machine.add("A")
            elif number == 1:
                machine.when("A").wait(10)
            else:
                machine.when_ticks_eq("A", 1).wait(10)

    with switching_often():
        in_threads(race, 3)


def test_the_first_waits_of_two_threads_are_both_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both find that the machine has no table of waits yet."""
    plain = OpenWaits.__init__
    at_once = threading.Barrier(2)

    def slow(self: OpenWaits, machine: Any) -> None:
        with contextlib.suppress(threading.BrokenBarrierError):
            at_once.wait(0.2)
        plain(self, machine)

    monkeypatch.setattr(OpenWaits, "__init__", slow)
    machine = make()
    made = threading.Barrier(3)

    def wait(number: int) -> None:
        if number == 2:
            made.wait(10)
            machine.add("A")
            return
        one = machine.when("A")
        made.wait(10)
        one.wait(5)

    in_threads(wait, 3)


def test_the_first_waits_of_many_threads_are_all_seen() -> None:
    machines = [make() for _ in range(400)]
    start = threading.Barrier(THREADS + 1)

    def race(number: int) -> None:
        for machine in machines:
            start.wait(30)
            if number == THREADS:
                machine.add("A")
                machine.dispose()
            elif number % 2:
                machine.when_disposed().wait(10)
            else:
                ended: list[int] = []
                machine.on_dispose(functools.partial(ended.append, 1))
                machine.when_disposed().wait(10)
                assert ended == [1]

    with switching_often():
        in_threads(race, THREADS + 1)


def test_the_end_of_a_machine_comes_after_the_functions_called_for_it() -> None:
    machine = make()
    waits: list[Wait] = []
    ended: list[bool] = []
    machine.on_dispose(lambda: waits.append(machine.when_disposed()))
    machine.on_dispose(lambda: ended.append(waits[0].done))
    machine.dispose()
    assert ended == [False]
    assert waits[0].done
    assert machine.when_disposed().done


def test_threads_and_tasks_wait_for_each_other() -> None:
    """One in a loop, one in a thread, each waiting for the other's turn."""
    machine = make("Ping!; Pong!", options=LIMITS)
    rounds = 500

    def thread(_: int) -> None:
        for number in range(rounds):
            machine.when_ticks_eq("Ping", 2 * number + 1).wait(20)
            machine.add("Pong")

    async def task() -> None:
        for number in range(rounds):
            machine.add("Ping")
            await asyncio.wait_for(machine.when_ticks_eq("Pong", 2 * number + 1), 20)

    def run(number: int) -> None:
        if number:
            asyncio.run(task())
        else:
            thread(0)

    in_threads(run, 2)
    assert machine.time("Ping", "Pong") == Time((2 * rounds - 1,) * 2, ("Ping", "Pong"))


def test_contexts_taken_in_another_thread_expire() -> None:
    machine = make("A; B")
    stop = threading.Event()

    def take(number: int) -> None:
        try:
            for _ in range(300):
                ctx = machine.state_ctx("B")
                while not ctx.expired:
                    if machine.tick("B") > ctx.tick + 1 and not ctx.expired:
                        stop.wait(0.2)
                        assert ctx.expired or machine.tick("B") <= ctx.tick
                    stop.wait(0.0001)
        finally:
            taken.append(number)

    taken: list[int] = []

    def toggle(number: int) -> None:
        if number < 2:
            take(number)
            return
        while len(taken) < 2:
            machine.toggle("B")

    in_threads(toggle, 3)


def test_a_wait_in_a_thread_ends_with_the_machine() -> None:
    machine = make()
    began = threading.Event()
    found: list[BaseException] = []

    def wait() -> None:
        one = machine.when("A")
        began.set()
        try:
            one.wait(20)
        except MachineDisposed as error:
            found.append(error)

    thread = threading.Thread(target=wait)
    thread.start()
    began.wait(10)
    machine.dispose()
    thread.join(20)
    assert len(found) == 1


async def test_a_task_that_nobody_holds_is_woken() -> None:
    """As with `asyncio.Event`, what is waited for keeps who waits."""
    machine = make()
    woken: list[str] = []

    async def wait(what: Callable[[], Any], name: str) -> None:
        await what()
        woken.append(name)

    for name, what in (
        ("when", lambda: machine.when("A")),
        ("args", lambda: machine.when_args("A", {})),
        ("query", lambda: machine.when_query(lambda clock: clock["A"] == 1)),
        ("ticks", lambda: machine.when_ticks("A", 1)),
        ("queue", lambda: machine.when_queue(2)),
    ):
        asyncio.get_running_loop().create_task(wait(what, name))
    await asyncio.sleep(0)
    gc.collect()
    machine.add("A")
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert sorted(woken) == ["args", "query", "queue", "ticks", "when"]


def test_forgotten_waits_do_not_disturb_mutations() -> None:
    """The garbage collector may take waits away at any moment, also during a transition."""

    class Cycle:
        def __init__(self, kept: object) -> None:
            self.kept = kept
            self.me = self

    machine = make()
    kept = [machine.when_args("A", {"x": -1}) for _ in range(200)]
    kept += [machine.when_queue(10**6) for _ in range(200)]
    before = gc.get_threshold()
    gc.set_threshold(5, 1, 1)
    try:
        for _ in range(100):
            for number in range(50):
                Cycle(machine.when_args("A", {"x": number}))
                Cycle(machine.when_queue(10**6))
                Cycle(machine.when_ticks_eq("A", 10**6))
            machine.toggle("A")
    finally:
        gc.set_threshold(*before)
    assert not any(one.done for one in kept)
    assert machine.err is None


async def test_timeouts_leave_nothing_behind() -> None:
    machine = make()
    wait = machine.when("A")
    for _ in range(20):
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(wait, 0)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(machine.when("B"), 0)
        with contextlib.suppress(WaitTimeout):
            await helpers.wait_for_any(machine.when("C"), machine=machine, timeout=0)
    gc.collect()
    assert wait._futures == []
    assert machine._m_open_waits is not None
    assert len(machine._m_open_waits) == 1


async def test_cancelling_one_who_waits_leaves_the_others() -> None:
    machine = make()
    shared = machine.when("A")

    async def wait() -> int:
        await shared
        return 1

    async with asyncio.TaskGroup() as tasks:
        waiting = [tasks.create_task(wait()) for _ in range(20)]
        await asyncio.sleep(0)
        waiting[0].cancel()
        machine.when("A").cancel()
        await asyncio.sleep(0)
        machine.add("A")
    assert waiting[0].cancelled()
    assert sum(task.result() for task in waiting[1:]) == 19
