"""State handlers that are coroutines, and the contexts that own what they do."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from typing import Any

import pytest

from machine import InvalidHandler, Machine, NoEventLoop, StateContext
from machine.testing import assert_no_error, wait_until, wait_until_error

AnyMachine = Machine[Any]


def make(schema: Any = "A; B; C", **options: Any) -> AnyMachine:
    return Machine(schema, **options)


async def rounds(count: int = 5) -> None:
    """Let everybody else go on for a while."""
    for _ in range(count):
        await asyncio.sleep(0)


class Stays:
    """AState stays until it is cancelled, and writes down what happens to it."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.count = 0

    async def AState(self) -> None:
        self.count += 1
        name = str(self.count)
        self.log.append(f"{name} begins")
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.log.append(f"{name} cancelled")
            raise


# -- the life of a task ------------------------------------------------------------------


async def test_it_runs_after_the_transition_and_ends_with_the_state() -> None:
    stays = Stays()
    machine = make(handlers=stays)
    assert machine.add("A").executed
    assert stays.log == []
    await rounds()
    assert stays.log == ["1 begins"]
    machine.remove("A")
    await rounds()
    assert stays.log == ["1 begins", "1 cancelled"]
    assert_no_error(machine)


async def test_a_multi_state_that_begins_anew_ends_the_old_task() -> None:
    stays = Stays()
    machine = make("A!; B", handlers=stays)
    for _ in range(3):
        machine.add("A")
        await rounds()
    assert stays.log == ["1 begins", "1 cancelled", "2 begins", "2 cancelled", "3 begins"]
    machine.dispose()
    await rounds()
    assert stays.log[-1] == "3 cancelled"


async def test_a_state_that_ends_before_its_task_began() -> None:
    stays = Stays()
    machine = make(handlers=stays)
    machine.add("A")
    machine.remove("A")
    await rounds()
    assert stays.log == []
    assert_no_error(machine)


async def test_what_it_raises_becomes_the_machines_error() -> None:
    async def fails() -> None:
        await asyncio.sleep(0)
        raise ValueError("broken")

    machine = make(handlers={"AState": fails})
    machine.add("A")
    error = await wait_until_error(machine, ValueError)
    assert machine.is_("A", "Exception")
    assert any("AState, a task of A" in note for note in error.__notes__)


async def test_what_it_raises_while_it_is_cancelled_is_an_error_too() -> None:
    async def fails() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            raise ValueError("cleaning up")

    machine = make(handlers={"AState": fails})
    machine.add("A")
    await rounds()
    machine.remove("A")
    await wait_until_error(machine, ValueError)


async def test_it_may_refuse_to_be_cancelled() -> None:
    go_on = asyncio.Event()
    done: list[str] = []

    async def stubborn() -> None:
        try:
            await go_on.wait()
        except asyncio.CancelledError:
            await go_on.wait()
        done.append("done")

    machine = make(handlers={"AState": stubborn})
    machine.add("A")
    await rounds()
    assert machine.remove("A").executed
    assert machine.add("A").executed
    go_on.set()
    await wait_until(machine, lambda: len(done) == 2)
    assert_no_error(machine)


async def test_cancelled_by_itself_is_no_error() -> None:
    async def gives_up() -> None:
        raise asyncio.CancelledError

    machine = make(handlers={"AState": gives_up})
    machine.add("A")
    await rounds()
    assert machine.active == ("A",)
    assert machine.err is None


async def test_it_may_mutate_and_await_its_own_machine() -> None:
    async def works(machine: AnyMachine, ctx: StateContext) -> None:
        assert (await machine.add("B")).executed
        await machine.when("C")
        machine.remove("A")
        assert ctx.expired
        await asyncio.sleep(0)
        pytest.fail("it has been cancelled")

    machine = make(
        handlers={
            "AState": works,
            "BState": lambda machine: asyncio.get_running_loop().call_soon(machine.add, "C"),
        }
    )
    machine.add("A")
    await asyncio.wait_for(machine.when_ticks_eq("A", 2), 5)
    await rounds()
    assert set(machine.active) == {"B", "C"}
    assert_no_error(machine)


async def test_it_may_mutate_while_it_is_cancelled() -> None:
    async def tidies(machine: AnyMachine) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            machine.add("B")

    machine = make(handlers={"AState": tidies})
    machine.add("A")
    await rounds()
    machine.remove("A")
    await asyncio.wait_for(machine.when("B"), 5)
    assert machine.active == ("B",)


async def test_it_may_dispose_its_machine() -> None:
    log: list[bool] = []

    async def ends(machine: AnyMachine) -> None:
        machine.dispose()
        log.append(machine.disposed)
        await asyncio.sleep(0)
        log.append(False)

    machine = make(handlers={"AState": ends})
    machine.add("A")
    await asyncio.wait_for(machine.when_disposed(), 5)
    await rounds()
    assert log == [True]


async def test_an_end_handler_is_not_cancelled() -> None:
    log: list[str] = []

    async def ends(machine: AnyMachine) -> None:
        await asyncio.sleep(0)
        log.append("ended")

    machine = make(handlers={"AEnd": ends, "AnyState": ends})
    machine.add("A")
    machine.remove("A")
    await wait_until(machine, lambda: len(log) == 3)


async def test_a_negotiation_handler_cannot_be_async() -> None:
    async def enter() -> bool:
        return True

    with pytest.raises(InvalidHandler, match="async"):
        make(handlers={"AEnter": enter})


async def test_a_coroutine_is_no_answer_in_negotiation() -> None:
    async def answer() -> bool:
        return True

    machine = make(handlers={"AEnter": lambda: answer()})
    assert machine.add("A").canceled
    assert isinstance(machine.err, InvalidHandler)


async def test_the_task_has_the_context_of_who_mutated() -> None:
    var: contextvars.ContextVar[str] = contextvars.ContextVar("var", default="none")
    seen: list[str] = []

    async def state() -> None:
        await asyncio.sleep(0)
        seen.append(var.get())
        var.set("from the task")

    machine = make(handlers={"AState": state})
    var.set("caller")
    machine.add("A")
    await wait_until(machine, lambda: bool(seen))
    assert seen == ["caller"]
    assert var.get() == "caller"


# -- loops and threads -------------------------------------------------------------------


def test_without_a_loop_it_is_an_error() -> None:
    async def state() -> None:
        """Never begins."""

    machine = make(handlers={"AState": state})
    assert machine.add("A").canceled
    assert isinstance(machine.err, NoEventLoop)
    assert machine.active == ("Exception",)


async def test_a_thread_mutates_and_the_loop_does_the_work() -> None:
    threads: list[int] = []

    async def state() -> None:
        threads.append(threading.get_ident())

    machine = make("A!; B", handlers={"AState": state})
    for _ in range(20):
        assert (await asyncio.to_thread(machine.add, "A")).final.executed
    await wait_until(machine, lambda: len(threads) == 20)
    assert set(threads) == {threading.get_ident()}


async def test_a_thread_ends_the_state() -> None:
    stays = Stays()
    machine = make(handlers=stays)
    for number in range(1, 20):
        machine.add("A")
        await rounds()
        await asyncio.to_thread(machine.remove, "A")
        await wait_until(machine, lambda: stays.log[-1].endswith("cancelled"))
        assert len(stays.log) == 2 * number


def test_a_machine_outlives_its_loop() -> None:
    stays = Stays()
    machine = make(handlers=stays)

    async def main() -> None:
        machine.add("A")
        await rounds()

    asyncio.run(main())
    assert stays.log == ["1 begins", "1 cancelled"]
    assert machine.remove("A").executed
    asyncio.run(main())
    assert stays.log[2:] == ["2 begins", "2 cancelled"]
    machine.remove("A")
    assert machine.add("A").canceled
    assert isinstance(machine.err, NoEventLoop)


# -- the caller --------------------------------------------------------------------------


async def test_a_handler_that_cancels_its_caller() -> None:
    machine = make()

    async def caller() -> None:
        task = asyncio.current_task()
        assert task is not None
        machine.bind({"AState": lambda: task.cancel() and None})
        assert machine.add("A").executed
        machine.add("B")
        await asyncio.sleep(0)
        pytest.fail("it has been cancelled")

    task = asyncio.create_task(caller())
    await asyncio.wait([task])
    assert task.cancelled()
    assert set(machine.active) == {"A", "B"}


async def test_a_handler_that_raises_cancelled() -> None:
    def state() -> None:
        raise asyncio.CancelledError

    machine = make(handlers={"AState": state})
    with pytest.raises(asyncio.CancelledError):
        machine.add("A")
    assert not machine.active
    assert machine.err is None
    assert machine.add("B").executed


async def test_many_tasks_take_turns() -> None:
    machine = make("A!; B", handlers={"AState": lambda: None})

    async def one() -> None:
        for _ in range(20):
            await machine.add("A")
            await asyncio.sleep(0)

    async with asyncio.TaskGroup() as tasks:
        for _ in range(50):
            tasks.create_task(one())
    assert machine.tick("A") == 2 * 1000 - 1
    assert machine.queue_tick == 1001


# -- other loops -------------------------------------------------------------------------


async def everything() -> None:
    """A bit of all of it."""
    stays = Stays()
    machine = make("A!; B; C", handlers=stays)
    machine.add("A")
    await rounds()
    await asyncio.to_thread(machine.add, "A")
    await wait_until(machine, lambda: stays.count == 2)
    async with asyncio.timeout(10):
        async with machine.state_ctx("A"):
            await asyncio.to_thread(machine.remove, "A")
            await asyncio.Event().wait()
        async with asyncio.TaskGroup() as tasks:
            for _ in range(10):
                tasks.create_task(machine.state_ctx("B").wait())
            await asyncio.sleep(0)
            machine.add("B")
    await wait_until(machine, lambda: stays.log.count("2 cancelled") == 1)
    machine.dispose()
    await machine.when_disposed()
    assert machine.err is None


def test_asyncio_in_debug_mode() -> None:
    asyncio.run(everything(), debug=True)


def test_uvloop() -> None:
    uvloop = pytest.importorskip("uvloop")
    uvloop.run(everything())
    uvloop.run(everything(), debug=True)
