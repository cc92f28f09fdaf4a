"""Work in the background of a state."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from machine import (
    InvalidArgument,
    Machine,
    StateContext,
    helpers,
)
from machine.helpers import Pool, StateLoop

AnyMachine = Machine[Any]


def make(schema: Any = "A; B; C", **options: Any) -> AnyMachine:
    return Machine(schema, **options)


# -- in the background -------------------------------------------------------------------


async def test_sleep_ends_with_its_context() -> None:
    machine = make()
    ctx = machine.state_ctx("A")
    assert await helpers.sleep(ctx, 0)
    asyncio.get_running_loop().call_soon(machine.add, "A")
    assert not await helpers.sleep(ctx, 60)
    assert not await helpers.sleep(ctx, 60)


async def test_interval() -> None:
    machine = make()
    ctx = machine.state_ctx("A")
    calls: list[int] = []

    def three() -> bool:
        calls.append(1)
        return len(calls) < 3

    async def until_a() -> None:
        calls.append(1)
        if len(calls) == 5:
            machine.add("A")
        await asyncio.sleep(0)

    assert await helpers.interval(ctx, 0.001, three)
    assert len(calls) == 3
    assert await helpers.interval(ctx, 60, three, length=0.001)
    assert len(calls) == 3
    assert not await helpers.interval(ctx, 0.001, until_a)
    assert len(calls) == 5
    assert not await helpers.interval(ctx, 0.001, until_a)
    with pytest.raises(InvalidArgument, match="above 0"):
        await helpers.interval(ctx, 0, three)


async def test_healthchecks_and_what_comes_later() -> None:
    machine = make("Healthcheck!; A")
    ctx = machine.state_ctx("A")
    task = ctx.create_task(helpers.healthcheck(ctx, machine, 0.001))
    await machine.when_ticks_eq("Healthcheck", 5)

    async def value(number: int) -> int:
        return number

    assert await helpers.go_after(ctx, 0, value, 3) == 3
    assert await helpers.go_after(ctx, 0, lambda: "plain") == "plain"
    late = helpers.go_after(ctx, 60, pytest.fail, "the context has expired")
    machine.add("A")
    await asyncio.wait([task, late])
    assert late.cancelled()


async def test_a_loop_ends_with_its_state() -> None:
    rounds: list[int] = []

    async def state(machine: AnyMachine, ctx: Any) -> None:
        loop = StateLoop(ctx)
        while loop.ok():
            rounds.append(1)
            if len(rounds) == 3:
                machine.remove("A")
        rounds.append(0)

    machine = make(handlers={"AState": state})
    machine.add("A")
    await machine.when_ticks_eq("A", 2)
    assert rounds == [1, 1, 1, 0]
    assert machine.err is None


async def test_a_loop_that_runs_wild_is_an_error() -> None:
    async def state(ctx: Any) -> None:
        loop = StateLoop(ctx, threshold=10, window=60)
        while loop.ok():  # noqa: ASYNC110 - that is what is wrong with it
            await asyncio.sleep(0)

    machine = make(handlers={"AState": state})
    machine.add("A")
    await machine.when_err()
    assert isinstance(machine.err, helpers.BusyLoop)
    assert "10 rounds" in str(machine.err)
    with pytest.raises(InvalidArgument):
        StateLoop(machine.state_ctx("A"), threshold=0)


async def test_a_pool_has_a_limit() -> None:
    machine = make()
    pool = Pool(machine.state_ctx("A"), 2)
    running: set[int] = set()
    most: list[int] = []

    async def work(number: int, *, twice: bool = False) -> int:
        running.add(number)
        most.append(len(running))
        await asyncio.sleep(0)
        running.discard(number)
        return number * (2 if twice else 1)

    tasks = [pool.start(work, number, twice=True) for number in range(10)]
    assert pool.full
    assert pool.start_now(work, 0) is None
    await pool.join()
    assert [task.result() for task in tasks] == [2 * number for number in range(10)]
    assert max(most) == 2
    one = pool.start_now(work, 7)
    assert one is not None
    assert await one == 7


async def test_a_pool_ends_with_its_state() -> None:
    machine = make()
    machine.add("A")
    pool = Pool(machine.state_ctx("A"), 1)
    began: list[int] = []

    async def work(number: int) -> None:
        began.append(number)
        await asyncio.sleep(60)

    tasks = [pool.start(work, number) for number in range(3)]
    await asyncio.sleep(0)
    machine.remove("A")
    await pool.join()
    assert all(task.cancelled() for task in tasks)
    assert began == [0]
    assert pool.start_now(work, 4) is None
    assert len(pool) == 0


async def test_a_pool_goes_on_when_one_fails() -> None:
    machine = make()
    pool = Pool(machine.state_ctx("A"), 1)
    done: list[int] = []

    async def work(number: int) -> None:
        if not number:
            raise ValueError("zero")
        done.append(number)

    for number in range(3):
        pool.start(work, number)
    await pool.join()
    assert done == [1, 2]
    await machine.when_err()
    assert str(machine.err) == "zero"


# -- fan_out -----------------------------------------------------------------------------


async def test_workers_have_their_turns() -> None:
    fan = helpers.fan_out("Start; Fetch ?Start", "Fetch", 5)
    assert fan.schema.groups["FetchWorkers"] == fan.workers
    assert fan.schema["Fetch"].require == ("Start",)
    assert fan.schema.names[-1] == "Exception"
    machine = make(fan.schema)
    running: set[int] = set()
    most: list[int] = []

    async def work(number: int, ctx: Any) -> None:
        assert ctx.state == f"Fetch{number}"
        running.add(number)
        most.append(len(running))
        await asyncio.sleep(0)
        running.discard(number)

    fan.bind(machine, work, limit=2)
    machine.add("Start", "Fetch")
    await asyncio.wait_for(machine.when(fan.done), 5)
    assert max(most) == 2
    assert machine.is_(fan.dones)
    assert machine.not_(*fan.workers)
    machine.remove("Fetch")
    assert machine.active == ("Start",)
    machine.add("Fetch")
    await asyncio.wait_for(machine.when(fan.done), 5)
    assert len(most) == 10
    assert machine.err is None


async def test_workers_are_cancelled_with_the_whole() -> None:
    fan = helpers.fan_out("", "Fetch", 3)
    machine = make(fan.schema)
    ended: list[int] = []

    async def work(number: int, ctx: Any) -> None:
        try:
            await asyncio.sleep(60)
        finally:
            ended.append(number)

    fan.bind(machine, work)
    machine.add("Fetch")
    await asyncio.sleep(0)
    machine.remove("Fetch")
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert sorted(ended) == [1, 2, 3]
    assert not machine.active


async def test_a_worker_that_fails_leaves_the_others() -> None:
    fan = helpers.fan_out("", "Fetch", 3)
    machine = make(fan.schema)

    async def work(number: int, ctx: Any) -> None:
        if number == 1:
            raise ValueError("one")

    fan.bind(machine, work, limit=1)
    machine.add("Fetch")
    await asyncio.wait_for(machine.when("Fetch2Done", "Fetch3Done"), 5)
    assert machine.is_("Fetch1", "Exception")
    assert machine.not_(fan.done)


def test_wrong_fans() -> None:
    with pytest.raises(InvalidArgument, match="workers"):
        helpers.fan_out("", "Fetch", 0)
    with pytest.raises(InvalidArgument, match="Fetch1"):
        helpers.fan_out("Fetch1", "Fetch", 2)
    fan = helpers.fan_out("", "Fetch", 1)
    with pytest.raises(InvalidArgument, match="limit"):
        fan.bind(make(fan.schema), lambda n, ctx: asyncio.sleep(0), limit=0)


async def test_workers_whose_own_awaits_are_cancelled_hold_up_no_others() -> None:
    fan = helpers.fan_out("Start", "Fetch", 3)
    machine, began = make(fan.schema), list[int]()

    async def work(number: int, ctx: StateContext) -> None:
        began.append(number)
        if number == 1:
            raise asyncio.CancelledError

    fan.bind(machine, work, limit=1)
    machine.add("Fetch")
    await asyncio.wait_for(machine.when(fan.dones[2]), 5)
    assert began == [1, 2, 3]
    assert machine.is_(fan.workers[0])
