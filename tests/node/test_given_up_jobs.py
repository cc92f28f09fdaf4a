"""Jobs whose clients died, left or cancelled them."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

import grid
import node
from grid.client.client import Client as GridClient
from grid.testing import wait_until
from tests.node.kit import LONG, offer, status, until_ready, workers_of
from tests.processes import alive

Servers = Callable[..., grid.Server]

_CALLER = """
import asyncio, sys, grid, node
async def main():
    async with grid.Client() as client, node.Client(client, sys.argv[1], timeout=30) as pool:
        await pool.run(eval(sys.argv[2]), on_progress=lambda *_: print("begun", flush=True))
asyncio.run(main())
"""
_HANGS: dict[str, Any] = {
    "rough": {"do": "sleep", "seconds": 1000},
    "waiter": "wait",
    "thinker": 1000,
}


async def _serving(client: GridClient, kind: str) -> int:
    return (await status(client, kind)).serving


async def _begin(run: Callable[..., Awaitable[Any]], order: Any) -> asyncio.Task[Any]:
    """A job that has begun, as it reports itself."""
    begun = asyncio.Event()

    async def call() -> Any:
        return await run(order, on_progress=lambda *_: begun.set())

    task = asyncio.create_task(call())
    await asyncio.wait_for(begun.wait(), LONG)
    return task


async def _give_up(task: asyncio.Task[Any]) -> None:
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.parametrize("kind", [*_HANGS])
async def test_a_client_that_dies_frees_a_worker_whose_job_hangs(
    grid_servers: Servers, grid_client: GridClient, grid_etcd: Any, grid_namespace: str, kind: str
) -> None:
    server = grid_servers()
    offer(server, kind, min=1, max=1, grace=0.5)
    await server.start()
    (first,) = workers_of(await until_ready(grid_client, kind, 1)).values()
    client = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", _CALLER, kind, repr(_HANGS[kind])),
        env={**os.environ, "GRID_ETCD": grid_etcd.endpoint, "GRID_NAMESPACE": grid_namespace},
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert client.stdout is not None
        assert await asyncio.wait_for(client.stdout.readline(), LONG) == b"begun\n"
    finally:
        client.kill()
        await client.wait()
    async with node.Client(grid_client, kind, timeout=LONG) as pool:
        found = await pool.run({"do": ""} if kind == "rough" else 0 if kind == "thinker" else "")
    assert (await status(grid_client, kind)).trouble == ""
    if kind == "waiter":
        assert found == [first.pid, ["wait"]]  # the task was cancelled, the process goes on
    else:
        assert found not in (first.pid, [first.pid, 1])
        assert not alive(first.pid)


@pytest.mark.parametrize("isolation", ["process", "task"])
async def test_jobs_that_are_cancelled_free_their_workers(
    grid_servers: Servers, grid_client: GridClient, isolation: str
) -> None:
    server = grid_servers()
    offer(server, "rough", "waiter", min=1, max=1, grace=0.3, isolation=isolation)
    await server.start()
    for kind, order, other in (
        ("waiter", "wait", "well"),
        ("waiter", "ignore", "well"),
        ("rough", {"do": "sleep", "seconds": 2.0}, {"do": ""}),
    ):
        async with node.Client(grid_client, kind, timeout=LONG) as pool:
            await until_ready(grid_client, kind, 1)
            for _ in range(3 if isolation == "process" else 1):  # no pause grows
                await _give_up(await _begin(pool.run, order))
                assert await pool.run(other)
        assert (await status(grid_client, kind)).trouble == ""


async def test_a_run_that_is_left_cancels_its_jobs(
    grid_servers: Servers, grid_client: GridClient
) -> None:
    server = grid_servers()
    offer(server, "waiter", min=1, max=1)
    await server.start()
    async with node.Client(grid_client, "waiter", timeout=LONG) as pool:
        begun = set[int]()
        jobs = pool.map(
            ["well", "wait", "wait"], on_job_progress=lambda index, *_: begun.add(index)
        )
        async with jobs as run:
            async for _ in run:
                break
            await wait_until(lambda: begun == {1, 2}, "both to begin", timeout=LONG)
        assert (await pool.run("well"))[1] == ["wait", "wait"]


async def test_one_job_of_several_is_cancelled_alone(
    grid_servers: Servers, grid_client: GridClient
) -> None:
    server = grid_servers()
    offer(server, "waiter", "rough", min=1, max=1, grace=0.3)
    await server.start()
    async with (
        node.Client(grid_client, "waiter", timeout=LONG) as pool,
        pool.worker() as worker,
    ):
        waiting = await _begin(worker.run, "wait")
        await _give_up(await _begin(worker.run, "wait"))
        assert (await worker.run("well"))[1] == ["wait"]
        await asyncio.sleep(0.5)  # longer than the grace
        assert not waiting.done()
        await _give_up(waiting)
        assert (await worker.run("well"))[1] == ["wait", "wait"]
    # One that waits behind another job is dropped, and costs that one nothing.
    async with node.Client(grid_client, "rough", timeout=LONG) as pool, pool.worker() as worker:
        first = await _begin(worker.run, {"do": "sleep", "seconds": 1.0})
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(worker.run({"do": "sleep", "seconds": 1000}), 0.2)
        assert (await first)[1] == 1
        assert (await worker.run({"do": ""}))[1] == 1


async def test_a_peer_that_stops_does_not_wait_for_given_up_jobs(
    grid_servers: Servers, grid_client: GridClient
) -> None:
    server = grid_servers(drain_timeout=60.0)
    offer(server, "rough", min=1, max=1, grace=0.5)
    await server.start()
    async with node.Client(grid_client, "rough", timeout=LONG) as pool:
        await _give_up(await _begin(pool.run, {"do": "sleep", "seconds": 1000}))
        began = time.monotonic()
        await server.stop()
        assert time.monotonic() - began < 10.0
