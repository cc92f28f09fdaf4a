"""Contexts of states: bodies that are left, and tasks that end with them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from machine import Machine, StateContext

AnyMachine = Machine[Any]


def make(schema: Any = "A; B; C", **options: Any) -> AnyMachine:
    return Machine(schema, **options)


async def test_a_body_is_left_when_its_state_ends() -> None:
    machine = make()
    machine.add("A")
    asyncio.get_running_loop().call_soon(machine.remove, "A")
    async with machine.state_ctx("A") as ctx:
        await asyncio.Event().wait()
    assert ctx.expired
    await asyncio.sleep(0)


async def test_a_body_that_ends_its_own_state() -> None:
    machine = make()
    async with machine.state_ctx("A"):
        machine.add("A")
        await asyncio.Event().wait()
    async with machine.state_ctx("A"):
        machine.remove("A")
    await asyncio.sleep(0)

    async def raises() -> None:
        async with machine.state_ctx("A"):
            machine.add("A")
            raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        await raises()
    await asyncio.sleep(0)
    task = asyncio.current_task()
    assert task is not None
    assert not task.cancelling()


async def test_a_caller_that_is_cancelled_as_well_is_cancelled() -> None:
    machine = make()

    async def body() -> None:
        async with machine.state_ctx("A"):
            await asyncio.Event().wait()

    task = asyncio.create_task(body())
    await asyncio.sleep(0)
    machine.add("A")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_contexts_timeouts_and_groups_go_together() -> None:
    machine = make()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01), machine.state_ctx("A"):
            await asyncio.Event().wait()
    async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
        async with machine.state_ctx("A"):
            tasks.create_task(asyncio.sleep(0))
            machine.add("A")
            await asyncio.Event().wait()
        last = tasks.create_task(asyncio.sleep(0, "last"))
    assert last.result() == "last"


async def test_nested_contexts_end_inside_out() -> None:
    machine = make()
    log: list[str] = []
    loop = asyncio.get_running_loop()
    loop.call_soon(machine.add, "A")
    async with machine.state_ctx("A"):
        loop.call_soon(machine.add, "B")
        async with machine.state_ctx("B"):
            await asyncio.Event().wait()
        log.append("after the inner")
    log.append("after the outer")
    await asyncio.sleep(0)
    assert log == ["after the outer"]


async def test_an_expired_context_starts_nothing() -> None:
    machine = make()
    ctx = machine.state_ctx("A")
    machine.add("A")
    began: list[int] = []

    async def work() -> None:
        began.append(1)

    task = ctx.create_task(work())
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ctx.expired
    await ctx.wait()
    machine.dispose()
    assert machine.state_ctx("A").expired
    assert began == []


async def test_a_context_is_the_same_for_all_until_the_state_ticks() -> None:
    machine = make("A!; B")
    before = machine.state_ctx("A")
    assert machine.state_ctx("A") is before
    seen: list[StateContext] = []
    machine.bind({"AState": lambda ctx: seen.append(ctx)})
    machine.add("A")
    assert before.expired
    assert seen[0] is machine.state_ctx("A")
    assert seen[0].tick == 1
    machine.add("B")
    assert not seen[0].expired
    machine.add("A")
    assert seen[0].expired
