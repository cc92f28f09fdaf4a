"""Mirrors and calls under lost, repeated, swapped and damaged messages, and lost connections."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from grid.client.client import Client as GridClient
from grid.server.server import Server as Peer
from grid.testing import wait_until
from machine import Machine
from rpc.machines.client import Client
from rpc.machines.errors import (
    AccessDenied,
    NotConnected,
    ProtocolError,
    SourceGone,
    SourceRestarted,
)
from rpc.machines.server import Server
from tests.rpc.machines.kit import SCHEMA, Spoiled, SpoilingClient


@pytest.mark.parametrize("kind", ["drop", "double", "swap", "damage", "all"])
async def test_a_mirror_heals_whatever_happens_to_updates(
    grid_server: Peer, grid_client: GridClient, kind: str
) -> None:
    machine: Machine[Any] = Machine(SCHEMA, id="lights")
    spoiling: Any = SpoilingClient(grid_client)
    async with (
        Server(machine, grid_server, interval=0.001),
        Client[Any](spoiling, "lights", interval=0.001) as client,
    ):
        spoiling.kinds = ("drop", "double", "swap", "damage") if kind == "all" else (kind,)
        for _ in range(40):
            machine.add("B")
            await asyncio.sleep(0.002)  # so that there are many updates
        spoiling.kinds = ()
        machine.add("A")
        await wait_until(lambda: client.machine.time() == machine.time(), "the mirror to be equal")
        assert spoiling.made
        assert client.connected


async def test_a_call_whose_connection_breaks_runs_once(
    grid_server: Peer, grid_client: GridClient
) -> None:
    class Counting(Machine[Any], schema=SCHEMA):
        runs = 0

        def BState(self) -> None:
            self.runs += 1

    machine = Counting(id="lights")
    spoiling: Any = SpoilingClient(grid_client)
    async with Server(machine, grid_server), Client[Any](spoiling, "lights") as client:
        for count in range(1, 4):
            spoiling.cut_after_sending = 1
            assert (await client.machine.add("B")).executed
            assert machine.runs == count
            assert client.machine.tick("B") == machine.tick("B")
        assert client.mach.not_("RetryingCall", "RetryingConn")


async def test_a_mirror_follows_a_machine_that_is_served_again(
    grid_server: Peer, grid_client: GridClient
) -> None:
    machine: Machine[Any] = Machine(SCHEMA, id="lights")
    first = Server(machine, grid_server)
    await first.start()
    machine.add("B")
    machine.add("B")
    async with Client[Any](grid_client, "lights") as client:
        remote = client.machine
        waits = remote.when("A"), remote.when_ticks_eq("B", 9)
        context = remote.state_ctx("D")
        await first.stop()
        await client.mach.when_not("Ready")
        assert not remote.connected
        assert remote.is_("B")  # the last that was known
        machine = Machine(SCHEMA, id="lights")
        async with Server(machine, grid_server):
            machine.add("A")
            await waits[0]
            assert remote.connected
            assert remote.clock() == machine.clock()
            with pytest.raises(SourceRestarted):
                await waits[1]
            assert not context.expired or remote.tick("D") == 0


async def test_a_machine_that_ends_ends_its_mirrors(
    grid_server: Peer, grid_client: GridClient
) -> None:
    machine: Machine[Any] = Machine(SCHEMA, id="lights")
    async with Server(machine, grid_server):
        client = Client[Any](grid_client, "lights")
        await client.start()
        gone = client.machine.when_disposed()
        machine.dispose()
        await gone
        assert client.mach.is_("ConnRetryFailed")
        with pytest.raises(SourceGone):
            await client.start()
        await client.close()


async def test_refusals_are_for_good(grid_server: Peer, grid_client: GridClient) -> None:
    machine: Machine[Any] = Machine(SCHEMA, id="lights")
    async with Server(machine, grid_server, access=lambda _: None):
        with pytest.raises(AccessDenied):
            await Client[Any](grid_client, "lights").start()
    async with Server(machine, grid_server):
        wrong = Machine({"A": {}, "X": {}}).schema
        with pytest.raises(ProtocolError, match="only there B, C, D; only here X"):
            await Client[Any](grid_client, "lights", states=wrong).start()


async def test_what_a_shallow_mirror_shows_goes_on_over_streams(
    grid_server: Peer, grid_client: GridClient
) -> None:
    machine: Machine[Any] = Machine(SCHEMA, id="lights")
    spoiling: Any = SpoilingClient(grid_client)
    async with (
        Server(machine, grid_server),
        Client[Any](spoiling, "lights", shallow=True) as client,
    ):
        remote = client.machine
        await remote.add("B")
        lasting = remote.state_ctx("B")
        for _ in range(3):
            await remote.add("A")
            await remote.remove("A")
        spoiling.cut_after_sending = 1
        assert (await remote.add("A")).executed
        assert client.connected
        assert client.resyncs == 0
        assert (remote.tick("A"), remote.tick("B"), remote.restarts) == (7, 1, 1)
        assert not lasting.expired


class _Crossing(Spoiled):
    """A stream on which an update is on its way when the mirror asks for a snapshot."""

    def __init__(self, stream: Any, spoiler: Any) -> None:
        super().__init__(stream, spoiler)
        self.on_its_way, self.asked, self.taken = (asyncio.Event() for _ in range(3))

    async def send(self, message: Any) -> None:
        """See `grid.Stream`."""
        if message.HasField("resync"):
            self.asked.set()
            await self.taken.wait()
        await super().send(message)

    async def receive(self) -> Any:
        """See `grid.Stream`."""
        if self.asked.is_set():
            self.taken.set()
        message = await super().receive()
        if message is not None and message.HasField("clock"):
            self.on_its_way.set()
            await self.asked.wait()
        return message


async def test_an_update_that_was_on_its_way_ends_no_sync(
    grid_server: Peer, grid_client: GridClient
) -> None:
    machine: Machine[Any] = Machine(SCHEMA, id="lights")
    streams: list[_Crossing] = []

    class Crossing(SpoilingClient):
        async def stream(self, name: str, first: Any, *, timeout: float | None = None) -> Any:
            """See `grid.Client`."""
            inner = await grid_client.stream(name, first, timeout=timeout)
            streams.append(_Crossing(inner, self))
            return streams[-1]

    crossing: Any = Crossing(grid_client)
    async with (
        Server(machine, grid_server, interval=60.0),
        Client[Any](crossing, "lights") as client,
    ):
        machine.add("A")  # the first change after a pause is told at once
        await streams[0].on_its_way.wait()
        machine.add("B")
        assert await client.machine.sync() == machine.time()
        assert client.machine.is_("A", "B")


class _Held(Spoiled):
    """A stream on which the first mutation is held up until it may go."""

    async def send(self, message: Any) -> None:
        """See `grid.Stream`."""
        spoiler: Any = self._spoiler
        if message.HasField("mutation"):
            spoiler.sending.set()
            await spoiler.may_go.wait()
        await super().send(message)


async def test_a_call_that_was_given_up_unsent_is_not_sent_later(
    grid_server: Peer, grid_client: GridClient
) -> None:
    machine: Machine[Any] = Machine(SCHEMA, id="lights")

    class Holding(SpoilingClient):
        sending, may_go, may_open = asyncio.Event(), asyncio.Event(), asyncio.Event()
        opened = 0

        async def stream(self, name: str, first: Any, *, timeout: float | None = None) -> Any:
            """See `grid.Client`."""
            self.opened += 1
            if self.opened > 1:
                await self.may_open.wait()
            return _Held(await grid_client.stream(name, first, timeout=timeout), self)

    holding: Any = Holding(grid_client)
    async with Server(machine, grid_server) as server, Client[Any](holding, "lights") as client:
        for mirror in server.mirrors:
            mirror.cut()
        await client.mach.when("Disconnected")
        first = asyncio.ensure_future(client.machine.add("A", timeout=20.0))
        second = asyncio.ensure_future(client.machine.add("B", timeout=1.0))
        await asyncio.sleep(0)
        holding.may_open.set()
        await holding.sending.wait()
        with pytest.raises(NotConnected, match="nothing was sent"):
            await second
        holding.may_go.set()
        assert (await first).executed
        await client.machine.sync()
        assert machine.not_("B")
