"""The machine of a pool: what its states say, and what users may do with it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

import grid
import node
import rpc
from grid.client.client import Client as GridClient
from grid.errors import EtcdUnavailable
from grid.testing import wait_until
from node.supervisor.machine import Facts, PoolMachine, serve
from tests.node.kit import LONG, offer, status, until_ready, workers_of

Servers = Callable[..., grid.Server]


def pool_machine() -> tuple[PoolMachine, list[str]]:
    killed: list[str] = []
    return PoolMachine("square", lambda worker: worker == "w1", killed.append), killed


def test_the_states_follow_the_numbers() -> None:
    machine, _ = pool_machine()
    machine.follow(Facts(least=2, size=2, live=2, ready=1, free=1))
    assert machine.is_("PoolStarting", "NormalizingPool")
    assert machine.not_("Ready")
    machine.follow(Facts(least=2, size=2, live=2, ready=2, free=1))
    assert machine.is_("Ready", "PoolReady", "PoolNormalized", "WorkersAvailable")
    machine.follow(Facts(least=2, size=2, live=1, ready=1, free=0))
    machine.gone("w2", "killed", failed=True)
    assert machine.is_("NormalizingPool")
    assert not any(map(machine.is_, ("Ready", "PoolReady", "PoolStarting", "WorkersAvailable")))
    assert machine.tick("ErrWorker") == machine.tick("WorkerGone") == 2
    assert machine.not_("Exception")
    # Nobody makes the pool ready by hand.
    assert machine.add("PoolReady").canceled


def test_a_pool_in_trouble_says_why_until_it_is_well() -> None:
    machine, _ = pool_machine()
    machine.follow(Facts(least=1, size=1, trouble="ModuleNotFoundError: nope"))
    assert machine.is_("ErrPool", "Exception")
    assert "nope" in str(machine.err)
    machine.gone("w1", "it ended with 1", failed=True)
    assert machine.is_("ErrPool", "Exception")
    machine.follow(Facts(least=1, size=1, live=1, ready=1, free=1))
    assert machine.is_("Ready", "PoolNormalized")
    assert machine.not_("ErrPool")
    assert machine.not_("Exception")


def test_an_order_to_kill_is_for_workers_that_there_are() -> None:
    machine, killed = pool_machine()
    assert machine.add("KillWorker", args={"worker": "w7"}).canceled
    assert machine.add("KillWorker").canceled
    assert not machine.add("KillWorker", args={"worker": "w1"}).canceled
    assert killed == ["w1"]
    assert machine.is_("KillingWorker")
    machine.gone("w1", "it was told to", failed=True)
    assert machine.not_("KillingWorker")
    assert (machine.tick("WorkerKilled"), machine.tick("ErrWorker")) == (2, 0)


async def test_users_wait_for_a_pool_and_end_its_workers(
    grid_servers: Servers, grid_client: GridClient
) -> None:
    server = grid_servers()
    offer(server, "square", isolation="task", min=2, max=2)
    await server.start()
    async with rpc.Client[Any](grid_client, "square-pool", states=node.PoolStates) as remote:
        pool = remote.machine
        await asyncio.wait_for(pool.when("Ready"), LONG)
        await asyncio.wait_for(pool.when("PoolNormalized"), LONG)
        worker = next(iter(workers_of(await until_ready(grid_client, "square", 2))))
        ended = pool.when_ticks("WorkerKilled", 2)
        assert not (await pool.add("KillWorker", args={"worker": worker})).canceled
        await asyncio.wait_for(ended, LONG)
        await asyncio.wait_for(pool.when("Ready", "PoolNormalized"), LONG)
        assert worker not in workers_of(await until_ready(grid_client, "square", 2))
        assert (await pool.add("KillWorker", args={"worker": worker})).canceled
        with pytest.raises(rpc.AccessDenied):
            await pool.add("ErrPool")


async def test_the_machine_of_a_pool_waits_for_etcd(
    grid_servers: Servers, grid_client: GridClient
) -> None:
    server = grid_servers()
    await server.start()

    class Host:
        """A peer whose etcd is out for a while."""

        out = True
        tries = 0

        async def open_mailbox(self, name: str, **more: Any) -> Any:
            self.tries += 1
            if self.out:
                raise EtcdUnavailable("it is out")
            return await server.open_mailbox(name, **more)

    host = Host()
    machine, _ = pool_machine()
    serving = asyncio.create_task(serve(machine, host))
    await wait_until(lambda: host.tries > 0, "a try", timeout=LONG)
    host.out = False
    async with rpc.Client[Any](grid_client, "square-pool") as remote:
        await asyncio.wait_for(remote.machine.when("Start"), LONG)
    serving.cancel()
    await asyncio.wait([serving])
    assert machine.disposed


async def test_a_machine_that_does_not_end_stops_nothing_else(
    grid_servers: Servers, grid_client: GridClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    leading = grid_servers()
    leading.actor("leader")(node.supervise)
    await leading.start()
    join, ending, end = PoolMachine.join, asyncio.Event(), asyncio.Event()

    async def slow(machine: PoolMachine) -> None:
        if machine.id == "circle-pool":
            ending.set()
            await end.wait()
        await join(machine)

    monkeypatch.setattr(PoolMachine, "join", slow)
    async with node.Client(grid_client, "circle", timeout=LONG) as circles:
        asking = asyncio.ensure_future(circles.worker())
        await wait_until(lambda: _has(grid_client, "circle"), "the question", timeout=LONG)
        asking.cancel()
    await asyncio.wait_for(ending.wait(), LONG)
    server = grid_servers()
    offer(server, "square", isolation="task")
    await server.start()
    async with rpc.Client[Any](grid_client, "square-pool") as remote:  # a tick serves it
        await asyncio.wait_for(remote.machine.when("Ready"), LONG)
    end.set()


async def _has(client: GridClient, kind: str) -> bool:
    return (await status(client, kind)).kind == kind


async def test_a_kind_that_no_peer_has_room_for_is_an_error_that_says_why(
    grid_servers: Servers, grid_client: GridClient
) -> None:
    first, second = grid_servers(), grid_servers(annotations=("gpu=1",))
    needs: dict[str, Any] = {"annotations": ["gpu=1"], "room": 1 << 60, "isolation": "task"}
    for server in (first, second):
        offer(server, "square", **needs)
        await server.start()
    await wait_until(lambda: _agents(grid_client, 2), "both agents", timeout=LONG)
    async with node.Client(grid_client, "square", timeout=LONG) as squares:
        with pytest.raises(node.NoPlace) as caught:
            await squares.run(1)
        assert f"{first.name}: it lacks the annotation gpu=1" in str(caught.value)
        assert f"{second.name}: " in str(caught.value)
        assert "MiB of memory are free; a worker needs" in str(caught.value)
        assert caught.value.reason in (await status(grid_client, "square")).trouble
    async with rpc.Client[Any](grid_client, "square-pool") as remote:
        await asyncio.wait_for(remote.machine.when("ErrPool"), LONG)


async def _agents(client: GridClient, count: int) -> bool:
    found = await status(client, "square")
    return sum(one.capacity.cpus > 0 for one in found.agents) == count
