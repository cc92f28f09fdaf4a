"""Runs of many jobs: their ends, and the queue behind a slow job."""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

import grid
import node
from grid.client.client import Client as GridClient
from tests.node.kit import LONG, offer, until_free

Servers = Callable[..., grid.Server]


async def started(servers: Servers, *kinds: str, **settings: Any) -> None:
    """A peer that offers kinds, in its own process."""
    server = servers()
    offer(server, *kinds, isolation="task", **settings)
    await server.start()


async def break_off(pool: node.Client) -> None:
    async for number in pool.map(itertools.repeat(1)):
        if number:
            break


async def be_cancelled(pool: node.Client) -> None:
    async def read() -> None:
        async for _ in pool.map([0.05] * 1000):
            pass

    reading = asyncio.create_task(read())
    await asyncio.sleep(0.2)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading


async def be_cancelled_while_it_ends(pool: node.Client) -> None:
    ending = asyncio.create_task(pool.map([0.05] * 1000).results())
    await asyncio.sleep(0.2)
    ending.cancel()
    await asyncio.sleep(0)
    ending.cancel()
    await asyncio.wait([ending])


async def fail_in_on_progress(pool: node.Client) -> None:
    def broken(_: int) -> None:
        raise ZeroDivisionError("of the listener")

    with pytest.raises(ZeroDivisionError):
        async for _ in pool.map(itertools.repeat(0.001), on_progress=broken):
            pass


async def fail_in_the_inputs(pool: node.Client) -> None:
    def inputs() -> Iterator[float]:
        yield from [0.05] * 10
        raise ZeroDivisionError("of the inputs")

    run = pool.map(inputs())
    await anext(run)
    with pytest.raises(ZeroDivisionError):
        await run.results()


@pytest.mark.parametrize(
    "end",
    [
        break_off,
        be_cancelled,
        be_cancelled_while_it_ends,
        fail_in_on_progress,
        fail_in_the_inputs,
    ],
)
async def test_a_run_that_is_left_lets_its_workers_go(
    grid_servers: Servers, grid_client: GridClient, end: Callable[[node.Client], Any]
) -> None:
    server = grid_servers()
    settings: dict[str, Any] = {"min": 2, "max": 2, "warm": 0, "spare": 0}

    @node.worker(server, "doze", isolation="task", **settings)
    def doze(seconds: float) -> bool:
        time.sleep(min(seconds, 0.05))
        return True

    await server.start()
    async with node.Client(grid_client, "doze", timeout=LONG) as pool:
        for _ in range(3):  # more of them than there are workers
            await end(pool)
        assert await asyncio.wait_for(pool.map([0.0] * 3, workers=1).results(), LONG) == [True] * 3
        await until_free(grid_client, "doze")


async def test_a_run_that_is_read_no_more_is_let_go_with_its_last_reference(
    grid_servers: Servers, grid_client: GridClient
) -> None:
    await started(grid_servers, "square", min=1, max=1)
    async with node.Client(grid_client, "square", timeout=LONG) as pool:
        first = await anext(pool.map(itertools.repeat(3)))  # a run that only the call refers to
        assert first == 9
        await until_free(grid_client, "square")
        run = pool.map(itertools.repeat(3))
        reading = asyncio.create_task(anext(run))
        await asyncio.sleep(0)
        reading.cancel()
        await asyncio.wait([reading])
        assert await anext(run) == 9  # a read that was given up does not end the run
        del run
        await until_free(grid_client, "square")
        reading = asyncio.create_task(_read_all(pool))
        await asyncio.sleep(0.05)
        reading.cancel()
        await asyncio.wait([reading])  # it keeps its error, with the traceback
        await until_free(grid_client, "square")


async def _read_all(pool: node.Client) -> None:
    async for number in pool.map(itertools.repeat(3)):
        assert number == 9


async def test_a_finished_run_has_no_worker_while_its_results_are_read(
    grid_servers: Servers, grid_client: GridClient
) -> None:
    await started(grid_servers, "square", min=1, max=1)
    async with node.Client(grid_client, "square", timeout=LONG) as pool:
        run = pool.map(range(5))
        assert await anext(run) == 0
        await until_free(grid_client, "square")
        assert [one async for one in run] == [1, 4, 9, 16]


async def test_a_client_that_is_closed_ends_its_runs_and_what_waits(
    grid_servers: Servers, grid_client: GridClient
) -> None:
    await started(grid_servers, "whoami", min=1, max=1)
    pool = node.Client(grid_client, "whoami", timeout=LONG)
    run = pool.map(itertools.repeat(0.0))
    await anext(run)
    waiting = asyncio.create_task(pool.worker(timeout=LONG).__aenter__())
    await asyncio.sleep(0)
    await pool.close()
    with pytest.raises(grid.GridError, match="closed"):
        await asyncio.wait_for(waiting, LONG)
    with pytest.raises(grid.GridError, match="closed"):
        async for _ in run:
            pass
    await until_free(grid_client, "whoami")


async def test_a_run_that_begins_after_its_client_was_closed_is_refused(
    grid_client: GridClient,
) -> None:
    pool = node.Client(grid_client, "square")
    run = pool.map([1])
    await pool.close()
    for _ in range(2):
        with pytest.raises(grid.GridError, match="closed"):
            await asyncio.wait_for(anext(run), LONG)


async def test_runs_of_a_client_whose_grid_client_is_closed_fail(
    grid_servers: Servers, grid_etcd: Any, grid_namespace: str
) -> None:
    await started(grid_servers, "whoami", min=1, max=1)
    client = GridClient(grid_namespace, etcd=grid_etcd.endpoint)
    pool = node.Client(client, "whoami", timeout=LONG)
    run = pool.map(itertools.repeat(0.0))
    await anext(run)
    await client.close()
    with pytest.raises(grid.GridError, match="closed"):
        await asyncio.wait_for(run.results(), LONG)
    await pool.close()


async def test_jobs_behind_a_slow_one_go_to_a_worker_that_is_free(
    grid_servers: Servers, grid_client: GridClient
) -> None:
    server = grid_servers()
    begun: list[int] = []
    go_on = threading.Event()
    settings: dict[str, Any] = {"min": 2, "max": 2, "warm": 0, "spare": 0}

    @node.worker(server, "wait", isolation="task", **settings)
    def wait(number: int) -> int:
        begun.append(number)
        if number == 300:
            go_on.wait(LONG)
        return number

    await server.start()
    released = asyncio.Event()

    async def numbers() -> AsyncIterator[int]:
        for number in range(300):  # they teach that jobs are short
            yield number
        await released.wait()
        for number in range(300, 340):
            yield number

    try:
        async with node.Client(grid_client, "wait", timeout=LONG) as pool:
            run = pool.map(numbers(), ordered=False)
            assert sorted([await anext(run) for _ in range(300)]) == list(range(300))
            released.set()
            # All but the slow one, wherever they were sent at first.
            rest = [await asyncio.wait_for(anext(run), LONG) for _ in range(39)]
            assert sorted(rest) == list(range(301, 340))
            go_on.set()
            assert [one async for one in run] == [300]
    finally:
        go_on.set()
    assert sorted(begun) == list(range(340))  # each began once


async def test_slow_jobs_that_were_sent_ahead_are_shared_out(
    grid_servers: Servers, grid_client: GridClient
) -> None:
    server = grid_servers()
    begun: list[int] = []
    settings: dict[str, Any] = {"min": 2, "max": 2, "warm": 0, "spare": 0}
    both = threading.Barrier(2)

    @node.worker(server, "meet", isolation="task", **settings)
    def meet(number: int) -> int:
        begun.append(number)
        if number >= 300:
            both.wait(LONG)  # the other worker has to have one, too
        return number

    await server.start()
    async with node.Client(grid_client, "meet", timeout=LONG) as pool:
        assert await asyncio.wait_for(pool.map(range(308)).results(), LONG) == list(range(308))
    assert sorted(begun) == list(range(308))
