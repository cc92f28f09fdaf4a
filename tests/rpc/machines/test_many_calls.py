"""Long runs of calls, high ticks, many states, sources that come late, handlers that fail."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from grid.client.client import Client as GridClient
from grid.server.server import Server as Peer
from machine import Machine, Snapshot
from rpc.machines.client import Client
from rpc.machines.server import Server

FREE: dict[str, Any] = {"A": {}, "B": {}, "C": {}, "D": {}}
LINKED: dict[str, Any] = {
    "A": {"auto": True, "require": ["C"]},
    "B": {"multi": True, "add": ["C"]},
    "C": {"after": ["D"]},
    "D": {"add": ["C", "B"]},
}
MANY = 200


@pytest.fixture(autouse=True)
def over_a_session(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("grid.client.router.local_dispatcher", lambda _: None)


@asynccontextmanager
async def serving(
    machine: Machine[Any], peer: Peer, client: GridClient, **options: Any
) -> AsyncIterator[tuple[Client[Any], Server]]:
    async with (
        Server(machine, peer, interval=options.pop("interval", 0.25)) as server,
        Client[Any](client, machine.id, **options) as remote,
    ):
        yield remote, server


async def test_many_calls_leave_both_sides_equal(
    grid_server: Peer, grid_client: GridClient
) -> None:
    machine: Machine[Any] = Machine(LINKED, id="m")
    async with serving(machine, grid_server, grid_client) as (client, _):
        remote = client.machine
        for _ in range(MANY):
            await remote.add("A", "C")
        await remote.add("D")
        await remote.when("D")
        assert remote.clock() == machine.clock()
        assert client.resyncs == 0


async def test_calls_without_results_and_pushes_keep_the_base(
    grid_server: Peer, grid_client: GridClient
) -> None:
    machine: Machine[Any] = Machine(LINKED, id="m")
    async with (
        serving(machine, grid_server, grid_client, interval=0.0) as (client, server),
        Client[Any](grid_client, "m", interval=0.01) as watching,
    ):
        remote, reader = client.machine, watching.machine
        for _ in range(MANY):
            await remote.add_ns("B")
        await remote.remove_ns("A")
        await remote.sync()
        assert remote.clock() == machine.clock()
        assert remote.tick("B") == 2 * MANY - 1
        await remote.add("D")
        assert remote.clock() == machine.clock()
        await reader.sync()
        machine.remove("D", "B")
        await asyncio.wait_for(reader.when_not("D", "B"), 20)
        assert reader.clock() == machine.clock()
        assert client.resyncs == watching.resyncs == 0
        assert next(one for one in server.mirrors if one.id == client.id).pushes == 0


async def test_high_ticks_cost_no_more_than_low_ones(
    grid_server: Peer, grid_client: GridClient
) -> None:
    costs = []
    for number, tick in enumerate((0, 1_000_000_000_000)):
        machine: Machine[Any] = Machine(FREE, id=f"m{number}")
        snapshot = machine.export()
        ticks = tuple(tick for _ in snapshot.names)
        machine.import_(Snapshot(machine.id, snapshot.names, ticks, 1, 0))
        async with serving(machine, grid_server, grid_client, interval=0.0) as (client, _):
            before = grid_client.statistics().sessions[0]
            for _ in range(50):
                await client.machine.add("A", "C")
                await client.machine.remove("A", "C")
            after = grid_client.statistics().sessions[0]
            assert client.machine.tick("A") == tick + 100
        costs.append(
            after.bytes_sent + after.bytes_received - before.bytes_sent - before.bytes_received
        )
    low, high = costs
    assert high <= 1.1 * low


async def test_many_states(grid_server: Peer, grid_client: GridClient) -> None:
    names = [f"State{number}" for number in range(100)]
    machine: Machine[Any] = Machine({**LINKED, **{name: {} for name in names}}, id="m")
    async with serving(machine, grid_server, grid_client) as (client, _):
        remote = client.machine
        for at in range(5, 95):
            await remote.remove(names[at - 3])
            await remote.add(names[at])
        await remote.add("D")
        assert set(remote.active) == set(machine.active)
        assert {"A", "B", "C", "D", *names[92:95]} == set(remote.active)


async def test_a_client_waits_for_a_source_that_comes_later(
    grid_server: Peer, grid_client: GridClient
) -> None:
    machine: Machine[Any] = Machine(FREE, id="m")
    client = Client[Any](grid_client, "m")
    starting = asyncio.create_task(client.start())
    await client.mach.when("RetryingConn")
    async with Server(machine, grid_server):
        await asyncio.wait_for(starting, 30)
        assert (await client.machine.add("A")).executed
        assert client.mach.is_("Ready")
        assert client.mach.not_("RetryingConn", "RetryingCall")
        await client.close()


async def test_a_final_handler_that_fails_ends_the_transition(
    grid_server: Peer, grid_client: GridClient
) -> None:
    class Failing(Machine[Any], schema=FREE):
        def BState(self) -> None:
            raise ValueError("broken")

    machine, local = Failing(id="m"), Failing(id="local")
    async with serving(machine, grid_server, grid_client) as (client, _):
        remote = client.machine
        result = await remote.add("A", "B", "C")
        assert result == local.add("A", "B", "C")
        assert remote.clock() == local.clock()
        assert remote.is_("A", "Exception")
        assert remote.not_("B")
