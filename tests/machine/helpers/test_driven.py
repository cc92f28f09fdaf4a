"""Waits of helpers, awaited by tasks and waited for by threads."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from machine import Machine, WaitTimeout, helpers

AnyMachine = Machine[Any]


def make(schema: Any = "A; B; C", **options: Any) -> AnyMachine:
    return Machine(schema, **options)


async def test_nothing_happens_before_it_is_awaited() -> None:
    machine = make()
    wait = helpers.add_and_wait(machine, "A")
    assert not wait.done
    assert machine.not_("A")
    assert await wait
    assert wait.done
    assert machine.is_("A")


async def test_the_value_stays() -> None:
    machine = make()
    wait = helpers.add_and_wait(machine, "A")
    assert await wait
    machine.remove("A")
    assert await wait
    assert machine.not_("A")


async def test_tasks_and_task_groups_take_it() -> None:
    machine = make()
    async with asyncio.TaskGroup() as group:
        added = group.create_task(helpers.add_and_wait(machine, "A"))
        both = group.create_task(helpers.wait_for_all(machine.when("A"), machine.when("B")))
        answer = group.create_task(helpers.add_then_wait_for(machine, "B", "C", timeout=5))
        asyncio.get_running_loop().call_later(0, machine.add, "C")
    assert added.result()
    assert both.result() == [None, None]
    assert answer.result()


async def test_many_tasks_await_one() -> None:
    """The mutation is made once, whoever comes first."""
    machine = make("A; Request; Response")
    wait = helpers.add_then_wait_for(machine, "Request", "Response", timeout=5)
    tasks = [asyncio.ensure_future(wait_in_a_task(wait)) for _ in range(3)]
    await asyncio.sleep(0)
    machine.add("Response")
    assert await asyncio.gather(*tasks) == [True, True, True]
    assert machine.tick("Request") == 1


async def wait_in_a_task(wait: helpers.DrivenWait[bool]) -> bool:
    return await wait


async def test_another_waiter_goes_on_when_one_is_cancelled() -> None:
    machine = make("Request; Response")
    wait = helpers.add_then_wait_for(machine, "Request", "Response", timeout=5)
    first, second = (asyncio.create_task(wait_in_a_task(wait)) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    machine.add("Response")
    assert await second


def test_a_thread_and_a_loop_wait_for_the_same() -> None:
    machine = make("Request; Response")
    wait = helpers.add_then_wait_for(machine, "Request", "Response", timeout=10)
    found: list[bool] = []
    thread = threading.Thread(target=lambda: found.append(wait.wait()))
    thread.start()
    machine.when("Request").wait(10)

    async def main() -> bool:
        asyncio.get_running_loop().call_soon(machine.add, "Response")
        return await wait

    assert asyncio.run(main())
    thread.join(10)
    assert found == [True]
    assert machine.tick("Request") == 1


def test_a_timeout_of_the_thread_leaves_it_open() -> None:
    machine = make("Request; Response")
    wait = helpers.add_then_wait_for(machine, "Request", "Response")
    with pytest.raises(WaitTimeout, match="Response, after Request"):
        wait.wait(0.001)
    joined = helpers.wait_for_all(machine.when("Request"), machine.when("Response"))
    with pytest.raises(WaitTimeout, match="1 of 2: Response;"):
        joined.wait(0.001)
    machine.add("Response")
    assert wait.wait(10)
    assert joined.wait(10) == [None, None]


def test_errors_stay() -> None:
    machine = make()
    wait = helpers.add_and_wait(machine, "Unknown")
    for _ in range(2):
        with pytest.raises(KeyError, match="Unknown"):
            wait.wait()
    assert isinstance(wait.error, KeyError)


def test_retries_of_a_thread_end_with_their_context() -> None:
    machine = make(handlers={"AEnter": lambda: False})
    ctx = machine.state_ctx("B")
    timer = threading.Timer(0.01, machine.add, ("B",))
    timer.start()
    wait = helpers.retry_mutation(machine, "add", "A", delay=60, max_time=600, ctx=ctx)
    assert wait.wait(10).canceled
    timer.join()


def test_retries_of_a_thread_keep_its_timeout() -> None:
    machine = make(handlers={"AEnter": lambda: False})
    wait = helpers.retry_mutation(machine, "add", "A", delay=60, max_time=600)
    with pytest.raises(WaitTimeout, match="add A to be accepted"):
        wait.wait(0.001)
    machine.dispose()
