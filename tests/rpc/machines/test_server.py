"""A served machine, asked by hand in the words of the protocol."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from grid import Client
from grid.client.client import Client as GridClient
from grid.errors import RequestFailed
from grid.server.server import Server as Peer
from machine import Machine
from rpc.machine_pb2 import Hello, Mutation, Outcome, ToSource
from rpc.machines.access import Access
from rpc.machines.client import Client as MachineClient
from rpc.machines.server import Server
from tests.rpc.machines.kit import answer

SOON = 20.0
SCHEMA = {"A": {}, "B": {"multi": True}, "C": {"require": ["A"]}}


async def test_a_mutation_is_carried_out_and_answered_with_its_clock(
    grid_server: Peer, grid_client: GridClient
) -> None:
    machine = Machine(SCHEMA, id="lights")
    async with (
        Server(machine, grid_server),
        grid_client.stream("lights", Hello(version=1, mirror="m")) as stream,
    ):
        welcome = await answer(stream)
        assert tuple(welcome.names) == machine.names
        await stream.send(ToSource(mutation=Mutation(id=1, indexes=[machine.index("A")])))
        outcome = await answer(stream)
        assert outcome.result == Outcome.EXECUTED
        assert list(outcome.clock.indexes) == [machine.index("A")]
        machine.add("B")
        pushed = await answer(stream)
        assert list(pushed.indexes) == [machine.index("B")]


@pytest.mark.parametrize(
    ("hello", "said"),
    [
        (Hello(version=9, mirror="m"), "version 9"),
        (Hello(version=1, mirror="m", token="wrong"), "no access"),  # noqa: S106
    ],
)
async def test_a_visitor_that_cannot_be_served_is_told_so(
    grid_server: Peer, grid_client: Client, hello: Hello, said: str
) -> None:
    machine = Machine(SCHEMA, id="lights")
    async with Server(machine, grid_server, access={"right": Access.all()}):
        with pytest.raises(RequestFailed, match=said):
            await grid_client.stream("lights", hello)


async def test_a_machine_is_served_again_after_its_peer_lost_the_lease(
    grid_server: Peer, grid_client: GridClient
) -> None:
    machine = Machine(SCHEMA, id="lights")
    async with (
        Server(machine, grid_server, interval=0.01) as server,
        MachineClient[Any](grid_client, "lights") as client,
    ):
        machine.add("A")
        await client.machine.when("A")
        lifecycle = grid_server._lifecycle
        assert lifecycle is not None
        wait, tick = client.machine.when_ticks("A", 2), client.machine.tick("A")
        await lifecycle.peer.joined().lease.abandon("the test takes it")
        async with asyncio.timeout(SOON):
            await server.mach.when_not("RpcReady")
            await client.mach.when_not("Ready")
            await server.mach.when("Ready")
            await client.mach.when("Ready")
            # It is the same source as before, so what waits goes on.
            assert (await client.machine.remove("A")).executed
            machine.add("A")
            await wait
        assert client.machine.tick("A") == tick + 2


async def test_a_stop_that_is_cancelled_frees_the_name(
    grid_server: Peer, grid_client: GridClient
) -> None:
    server = Server(Machine(SCHEMA, id="lights"), grid_server)
    await server.start()
    async with MachineClient[Any](grid_client, "lights"):
        stopping = asyncio.create_task(server.stop())
        await asyncio.sleep(0)
        stopping.cancel()
        await asyncio.wait([stopping])
    async with Server(Machine(SCHEMA, id="lights"), grid_server):
        pass
