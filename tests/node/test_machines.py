"""Workers as state machines: their states, jobs through them, mirrors and payloads."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

import grid
import node
import rpc
from grid.client.client import Client as GridClient
from grid.errors import InvalidArgument
from grid.testing import wait_until
from machine import Machine
from tests.grid.echo_kit import go_over_the_wire
from tests.node import jobs
from tests.node.kit import LONG, offer

Servers = Callable[..., grid.Server]


async def started(servers: Servers, *kinds: str) -> None:
    server = servers()
    offer(server, *kinds, isolation="task", max=1)
    await server.start()


def test_a_job_goes_through_the_states_of_the_work() -> None:
    machine = Machine(node.WorkerStates)
    machine.add("Start")
    machine.add("RpcReady")
    assert machine.is_("Ready", "Idle")
    for name in ("WorkRequested", "Working", "WorkReady"):
        machine.add(name)
        assert [one for one in machine.active if one in node.WorkerStates.WorkStatus] == [name]
    machine.remove("WorkReady")
    assert machine.is_("Idle")
    machine.remove("Start")
    assert machine.active == ()


async def test_a_plain_worker_is_seen_working_and_cannot_be_mutated(
    grid_servers: Servers, grid_client: GridClient
) -> None:
    await started(grid_servers, "fragile")
    async with node.Client(grid_client, "fragile", timeout=LONG) as pool, pool.worker() as worker:
        machine = await worker.machine(timeout=LONG)
        assert machine.is_("Ready", "Idle", "ClientConnected")
        worked = machine.when_ticks("WorkReady", 2)
        assert await worker.run({"value": 1}) == [1, 1]
        await worked
        await machine.when("Idle")
        with pytest.raises(rpc.AccessDenied):
            await machine.remove("Start")


async def test_a_machine_that_is_not_reached_in_time_leaves_nothing_behind(
    grid_servers: Servers, grid_client: GridClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_over_the_wire("session", monkeypatch)
    await started(grid_servers, "fragile")
    async with node.Client(grid_client, "fragile", timeout=LONG) as pool, pool.worker() as worker:
        before = asyncio.all_tasks()
        with pytest.raises((rpc.NotConnected, rpc.CallTimeout, grid.GridError)):
            await worker.machine(timeout=1e-6)
        await wait_until(lambda: asyncio.all_tasks() <= before, "its tasks to end", timeout=LONG)
        assert (await worker.machine(timeout=LONG)).is_("Ready")


async def test_a_release_that_is_cancelled_frees_the_worker(
    grid_servers: Servers, grid_client: GridClient
) -> None:
    await started(grid_servers, "fragile")
    async with node.Client(grid_client, "fragile", timeout=LONG) as pool:
        worker = await pool.worker()
        await worker.machine(timeout=LONG)
        closing = asyncio.create_task(worker.close())
        await asyncio.sleep(0)
        closing.cancel()
        await asyncio.wait([closing])
        assert await pool.run({"value": 2}) == [2, 1]


async def test_a_release_closes_everything_also_if_a_part_of_it_fails(
    grid_servers: Servers, grid_client: GridClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    await started(grid_servers, "fragile")
    async with node.Client(grid_client, "fragile", timeout=LONG) as pool:
        worker = await pool.worker()
        await worker.machine(timeout=LONG)
        close = rpc.Client.close

        async def broken(remote: rpc.Client[Any]) -> None:
            await close(remote)
            raise RuntimeError("the close of a remote machine failed")

        monkeypatch.setattr(rpc.Client, "close", broken)
        with pytest.raises(RuntimeError, match="the close of a remote machine failed"):
            await worker.close()
        monkeypatch.undo()
        assert await asyncio.wait_for(pool.run({"value": 2}), LONG) == [2, 1]


async def test_jobs_run_on_a_machine_and_its_client_may_drive_it(
    grid_servers: Servers, grid_client: GridClient
) -> None:
    await started(grid_servers, "squarer")
    async with node.Client(grid_client, "squarer", timeout=LONG) as pool:
        assert await pool.map(range(10)).results() == [number * number for number in range(10)]
        with pytest.raises(node.JobFailed, match="ValueError: not that one"):
            await pool.run(13)
        async with pool.worker() as worker:
            payloads: list[rpc.Payload] = []
            machine = await worker.machine(on_payload=payloads.append, timeout=LONG)
            assert machine.is_("Idle")
            assert machine.not_("Exception")
            ready = machine.when_ticks("WorkReady", 2)
            result = await machine.add("WorkRequested", args={"input": 2})
            assert not result.canceled
            await ready
            await wait_until(lambda: bool(payloads), "the payload", timeout=LONG)
            assert (payloads[0].name, payloads[0].data) == ("square", b"4")
            # A stranger may look, and no more.
            async with rpc.Client[Any](grid_client, worker.name) as stranger:
                assert stranger.machine.is_("ClientConnected")
                with pytest.raises(rpc.AccessDenied):
                    await stranger.machine.add("WorkRequested", args={"input": 3})
        with pytest.raises(node.WorkerLost, match="released"):
            await worker.machine()


async def test_a_result_that_cannot_be_sent_fails_its_job_and_the_next_one_runs(
    grid_servers: Servers, grid_client: GridClient
) -> None:
    await started(grid_servers, "squarer")
    async with node.Client(grid_client, "squarer", timeout=LONG) as pool, pool.worker() as worker:
        machine = await worker.machine(timeout=LONG)
        failed = machine.when_ticks("ErrWork", 2)
        with pytest.raises(node.JobFailed, match=r"NotPlainData: .* object, which cannot be sent"):
            await worker.run(-1)
        await asyncio.wait_for(failed, LONG)
        assert await worker.run(3) == 9
        await asyncio.wait_for(machine.when("Idle"), LONG)
        assert machine.not_("Exception")


async def test_a_machine_may_refuse_jobs_and_move_on_by_itself(
    grid_servers: Servers, grid_client: GridClient
) -> None:
    await started(grid_servers, "stepper")
    async with node.Client(grid_client, "stepper", timeout=LONG) as pool:
        assert await pool.map([2, 4, 6]).results() == [1, 2, 3]
        with pytest.raises(node.JobFailed, match=r"does not take the job: .*WorkRequestedEnter"):
            await pool.run(3)
        assert await pool.run(8) == 4


def test_a_payload_without_a_client_is_an_error_at_once() -> None:
    worker = jobs.Squarer(id="squarer-1")
    with pytest.raises(node.NoClient, match="'squarer-1' has no client to send the payload 'x'"):
        worker.send_payload("x", b"data")


def test_classes_that_cannot_be_workers_are_refused() -> None:
    server = grid.Server("nowhere", etcd="127.0.0.1:1")
    with pytest.raises(InvalidArgument, match=r"a node\.WorkerMachine, not Plain"):

        @node.worker(server, "plain")
        class Plain:
            pass

    with pytest.raises(InvalidArgument, match="needs no arguments"):

        @node.worker(server, "needy")
        class Needy(node.WorkerMachine[node.WorkerStates]):
            def __init__(self, size: int) -> None:
                super().__init__()

    with pytest.raises(InvalidArgument, match="1 for a machine"):
        node.worker(server, "squarer", concurrency=2)(jobs.Squarer)
