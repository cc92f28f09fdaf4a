"""The conformance suite on the buses that need no broker."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

import grid
from grid.errors import InvalidArgument
from rpc.buses import Bus, Channel, GridBus, LocalBus
from rpc.buses.conformance import BusConformance


class TestLocalBus(BusConformance):
    @asynccontextmanager
    async def connected(self) -> AsyncIterator[tuple[Bus, Bus]]:
        bus = LocalBus()
        try:
            yield bus, bus
        finally:
            await bus.close()


class TestGridBus(BusConformance):
    @pytest.fixture(autouse=True)
    def _peers(self, grid_servers: Callable[..., grid.Server]) -> None:
        self.servers = grid_servers

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[tuple[Bus, Bus]]:
        one, two = self.servers(), self.servers()
        await one.start()
        await two.start()
        buses = GridBus(one), GridBus(two)
        try:
            yield buses
        finally:
            for bus in buses:
                await bus.close()


async def test_a_bus_of_a_client_subscribes_and_does_not_publish(
    grid_servers: Callable[..., grid.Server],
) -> None:
    peer = grid_servers()
    await peer.start()
    channel = Channel("a", scope="s")
    async with grid.Client(peer.config.namespace, etcd=peer.config.etcd) as client:
        there, here = GridBus(peer), GridBus(client)
        flow = await here.subscribe(channel)
        await there.announce("s")
        with pytest.raises(InvalidArgument, match="bus of a server"):
            await here.publish(channel, b"x")
        await flow.close()
        await here.close()
        await there.close()
    with pytest.raises(InvalidArgument, match="host"):
        GridBus("shop")  # type: ignore[arg-type]
