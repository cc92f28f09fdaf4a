"""Threads and tasks that use the same machine: nothing is lost, nobody hangs."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import gc
import sys
import threading
import weakref
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

from machine import (
    Machine,
    MachineDisposed,
    Options,
    Result,
    Time,
    Tracer,
    Transition,
    WaitTimeout,
    helpers,
)

AnyMachine = Machine[Any]

THREADS = 8
ROUNDS = 10_000
LIMITS = Options(queue_limit=10**9, handler_timeout=60)


def make(schema: Any = "A; B; C", **options: Any) -> AnyMachine:
    return Machine(schema, **options)


@contextlib.contextmanager
def switching_often() -> Iterator[None]:
    """Threads take turns every few instructions."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


def in_threads(
    function: Callable[[int], object],
    count: int = THREADS,
    beside: Callable[[], object] | None = None,
) -> None:
    """Call a function in many threads, and another one meanwhile; raise what they raise."""
    errors: list[BaseException] = []

    def run(number: int) -> None:
        try:
            function(number)
        except BaseException as error:  # noqa: BLE001 - raised below
            errors.append(error)

    threads = [threading.Thread(target=run, args=(n,), daemon=True) for n in range(count)]
    for thread in threads:
        thread.start()
    while beside is not None and any(thread.is_alive() for thread in threads):
        beside()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive(), "a thread hangs"
    for error in errors:
        raise error


# -- many threads, one machine -----------------------------------------------------------


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
    with machine._busy:
        for _ in range(3):
            assert machine.add("A").queued
        assert machine.add("A").canceled
    machine.add("B")
    assert machine.queue_len == 0
    assert machine.tick("A") == 5


def test_a_duplicate_of_what_nobody_works_off_is_worked_off() -> None:
    machine = make(handlers={"BState": lambda: None})
    with machine._busy:
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


# -- waits -------------------------------------------------------------------------------


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
    assert machine._waiters is not None
    assert len(machine._waiters) == 1


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
