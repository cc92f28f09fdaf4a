"""States of workers that follow what happens to them, seen from outside of their processes."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from typing import Any

import pytest

import grid
import node
import rpc
from grid.client.client import Client as GridClient
from grid.testing import wait_until
from tests.node.kit import LONG, offer, status, until_ready, workers_of

Servers = Callable[..., grid.Server]


async def one_process(servers: Servers, client: GridClient, kind: str, **settings: Any) -> str:
    """The name of the only worker of a kind, which is a process."""
    server = servers()
    offer(server, kind, min=1, max=1, **settings)
    await server.start()
    ((name, worker),) = workers_of(await until_ready(client, kind, 1)).items()
    assert worker.pid != os.getpid()
    return name


@pytest.mark.parametrize("by_hand", [False, True], ids=["run", "by_hand"])
async def test_a_job_that_takes_too_long_is_an_error_and_then_the_end_of_its_worker(
    by_hand: bool, grid_servers: Servers, grid_client: GridClient
) -> None:
    await one_process(grid_servers, grid_client, "dozer", job_timeout=0.5)
    async with node.Client(grid_client, "dozer", timeout=LONG) as pool:
        async with (
            rpc.Client[Any](grid_client, "dozer-pool") as seen,
            pool.worker() as worker,
        ):
            machine = await worker.machine(timeout=LONG)
            assert await worker.run(0.0) == 0.0
            overran = machine.when("ErrWorkTimeout", "Exception", "Working")
            failed = seen.machine.when_ticks("ErrWorker", 2)
            if by_hand:
                await machine.add("WorkRequested", args={"input": 600.0})
                await asyncio.wait_for(overran, LONG)
            else:
                running = asyncio.create_task(worker.run(600.0))
                await asyncio.wait_for(overran, LONG)
                with pytest.raises(node.WorkerLost):
                    await running
            await asyncio.wait_for(failed, LONG)
        assert await pool.run(0.0) == 0.0


async def test_a_function_that_overruns_is_seen_and_one_that_raises_too(
    grid_servers: Servers, grid_client: GridClient
) -> None:
    await one_process(grid_servers, grid_client, "fragile", job_timeout=0.5)
    async with node.Client(grid_client, "fragile", timeout=LONG) as pool, pool.worker() as worker:
        machine = await worker.machine(timeout=LONG)
        raised = machine.when_ticks("ErrWork", 2)
        with pytest.raises(node.JobFailed, match="no luck"):
            await worker.run({"do": "raise", "text": "no luck"})
        await asyncio.wait_for(raised, LONG)
        await asyncio.wait_for(machine.when_not("Exception"), LONG)
        overran = machine.when("ErrWorkTimeout")
        running = asyncio.create_task(worker.run({"do": "sleep", "seconds": 600}))
        await asyncio.wait_for(overran, LONG)
        with pytest.raises(node.WorkerLost):
            await running


async def test_workers_see_that_the_supervisor_is_lost_and_that_the_next_one_has_come(
    grid_servers: Servers, grid_client: GridClient
) -> None:
    leading = grid_servers()
    leading.actor("leader")(node.supervise)
    await leading.start()
    name = await one_process(grid_servers, grid_client, "whoami")
    async with rpc.Client[Any](grid_client, name, states=node.WorkerStates) as seen:
        machine = seen.machine
        await asyncio.wait_for(machine.when("SuperConnected"), LONG)
        assert machine.tick("ErrSupervisor") == 0
        lost = machine.when_ticks("ErrSupervisor", 2)
        await leading.stop()  # the peer of the worker leads from now on
        await asyncio.wait_for(lost, LONG)
        await asyncio.wait_for(machine.when("SuperConnected"), LONG)
        assert machine.not_("Exception")
        assert machine.tick("SuperConnected") == 3
    assert workers_of(await until_ready(grid_client, "whoami", 1)).keys() == {name}


async def test_a_worker_serves_its_client_until_the_job_that_this_one_left_behind_has_ended(
    grid_servers: Servers, grid_client: GridClient
) -> None:
    name = await one_process(grid_servers, grid_client, "whoami")
    async with (
        rpc.Client[Any](grid_client, name, states=node.WorkerStates, interval=0.02) as seen,
        node.Client(grid_client, "whoami", timeout=LONG) as pool,
    ):
        machine = seen.machine
        assert machine.not_("ServeClient")
        worker = await pool.worker()
        await asyncio.wait_for(machine.when("ServeClient", "ClientConnected"), LONG)
        running = asyncio.create_task(worker.run(1.5))
        await asyncio.wait_for(machine.when("Working"), LONG)
        running.cancel()
        left = machine.when_not("ClientConnected")
        await worker.close()
        await asyncio.wait_for(left, LONG)
        assert machine.is_("ServeClient", "Working")
        await asyncio.wait_for(machine.when_not("ServeClient"), LONG)
        assert machine.is_("Idle")


async def test_a_client_shows_its_claims_its_workers_and_its_supervisor(
    grid_servers: Servers, grid_client: GridClient
) -> None:
    async with node.Client(grid_client, "whoami", timeout=LONG) as pool:
        mach = pool.mach
        assert mach.is_("Start", "SuperDisconnected")
        with pytest.raises(node.UnknownKind):
            await pool.worker()
        assert mach.tick("ErrSupervisor") >= 2
        leading = grid_servers()
        leading.actor("leader")(node.supervise)
        await leading.start()
        await one_process(grid_servers, grid_client, "whoami")
        async with rpc.Client[Any](grid_client, "whoami-pool") as seen:
            given = seen.machine.when_ticks("ProvideWorker", 2)
            worker = await pool.worker()
            await asyncio.wait_for(given, LONG)
        assert mach.is_("Ready", "WorkerReady", "SuperConnected")
        assert mach.not_("WorkerRequested")
        waiting = asyncio.ensure_future(pool.worker())
        await asyncio.wait_for(mach.when("WorkerRequested"), LONG)
        assert mach.is_("WorkerReady")
        lost = mach.when_ticks("ErrSupervisor", 2)
        await leading.stop()  # the peer of the worker leads from now on
        await asyncio.wait_for(lost, LONG)
        await asyncio.wait_for(mach.when("SuperConnected"), LONG)
        assert (await worker.run())["worker"] == worker.name
        assert mach.tick("ErrWorker") == 0
        os.kill((await worker.run())["pid"], signal.SIGKILL)
        await asyncio.wait_for(mach.when_ticks("ErrWorker", 2), LONG)
        await asyncio.wait_for(waiting, LONG)
        assert mach.is_("WorkerReady")
        assert mach.not_("WorkerRequested", "Exception")
        await waiting.result().close()
        assert mach.not_("WorkerReady", "Ready")
    assert mach.disposed


async def test_a_machine_may_refuse_a_client(
    grid_servers: Servers, grid_client: GridClient
) -> None:
    server = grid_servers()
    offer(server, "dozer", isolation="task", max=1)
    await server.start()
    async with node.Client(grid_client, "dozer", timeout=LONG) as pool:
        assert await pool.run(0.0) == 0.0  # at the second try

    async def free() -> bool:
        return (await status(grid_client, "dozer")).serving == 0

    await wait_until(free, "the worker's release", timeout=LONG)
