"""Many remote machines over the sessions of the grid, and what they cost on the wire."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import Any

import pytest

import grid
from grid.embedded import Etcd
from grid.server.server import Server as Peer
from grid.testing import wait_until
from machine import Machine
from rpc.machines.client import Client
from rpc.machines.payloads import Payload
from rpc.machines.server import Server
from tests.rpc.machines.kit import SCHEMA

CLIENTS, TRANSITIONS = 50, 10_000


@pytest.fixture(autouse=True)
def over_a_session(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("grid.client.router.local_dispatcher", lambda _: None)


async def test_many_clients_follow_one_machine_and_leave_alone(
    grid_server: Peer, grid_client: grid.Client, grid_etcd: Etcd, grid_namespace: str
) -> None:
    machine: Machine[Any] = Machine(SCHEMA, id="lights")
    interval = 0.05
    loop = asyncio.get_running_loop()
    async with Server(machine, grid_server, interval=interval) as server, AsyncExitStack() as stack:
        clients = [
            await stack.enter_async_context(Client[Any](grid_client, "lights"))
            for _ in range(CLIENTS)
        ]
        assert grid_client.statistics().sessions
        assert len(grid_client.statistics().sessions) == 1
        started = loop.time()
        for number in range(TRANSITIONS):
            machine.add("B")
            if number % 100 == 0:
                await asyncio.sleep(0)
        await clients[0].machine.add("A")
        for client in clients:
            await client.machine.when("A")
            assert client.machine.time() == machine.time()
            assert client.resyncs == 0
        most = (loop.time() - started) / interval + 1
        assert max(mirror.pushes for mirror in server.mirrors) <= most
        async with grid.Client(grid_namespace, etcd=grid_etcd.endpoint) as other:
            hard = Client[Any](other, "lights")
            await hard.start()
            assert len(server.mirrors) == CLIENTS + 1
        await wait_until(lambda: len(server.mirrors) == CLIENTS, "the cut client to be gone")
        assert server.mach.is_("HasClients")
        machine.add("D")
        for client in clients:
            await client.machine.when("D")
        await hard.close()
    assert server.mach.disposed


async def test_questions_cost_no_traffic(grid_server: Peer, grid_client: grid.Client) -> None:
    machine: Machine[Any] = Machine(SCHEMA, id="lights")
    async with Server(machine, grid_server), Client[Any](grid_client, "lights") as client:
        before = grid_client.statistics().sessions[0]
        for _ in range(1000):
            assert client.machine.not_("A")
            assert client.machine.tick("B") == 0
            assert client.machine.switch("A", "B") == ""
        after = grid_client.statistics().sessions[0]
        assert (before.bytes_sent, before.bytes_received) == (
            after.bytes_sent,
            after.bytes_received,
        )


async def test_calls_are_as_many_as_mutations_and_small(
    grid_server: Peer, grid_client: grid.Client
) -> None:
    machine: Machine[Any] = Machine(SCHEMA, id="lights")
    machine.add("A")
    for _ in range(1000):
        machine.add("B")
    async with (
        Server(machine, grid_server, interval=0),
        Client[Any](grid_client, "lights") as client,
    ):
        await client.machine.sync()
        before = grid_client.statistics().sessions[0]
        for _ in range(100):
            await client.machine.add("B")
        after = grid_client.statistics().sessions[0]
        assert machine.tick("B") == client.machine.tick("B")
        sent, received = (
            after.bytes_sent - before.bytes_sent,
            after.bytes_received - before.bytes_received,
        )
        assert (sent + received) / 100 < 105


@pytest.mark.parametrize("compression", ["gzip", "auto"])
async def test_sessions_that_pack_carry_machines_and_payloads(
    grid_servers: Any, grid_etcd: Etcd, grid_namespace: str, compression: str
) -> None:
    server = grid_servers(compression=compression)
    await server.start()
    machine: Machine[Any] = Machine(SCHEMA, id="lights")
    got: list[Payload] = []
    async with (
        grid.Client(
            grid_namespace, etcd=grid_etcd.endpoint, compression=compression
        ) as grid_client,
        Server(machine, server, on_payload=got.append),
        Client[Any](grid_client, "lights") as client,
    ):
        data = b"all the same " * 100_000
        await client.send_payload(Payload("text", data))
        assert got[0].data == data
        assert (await client.machine.add("A")).executed
        assert grid_client.statistics().sessions[0].bytes_sent < len(data) / 4
