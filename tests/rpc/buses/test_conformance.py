"""The conformance suite on each bus, and brokers that go away."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

import grid
from grid.errors import InvalidArgument
from grid.testing import wait_until
from rpc.buses import Bus, Channel, GridBus, LocalBus
from rpc.buses.conformance import BusConformance
from rpc.buses.errors import BrokerUnavailable
from rpc.buses.nats import NatsBus
from rpc.buses.redis import RedisBus
from tests.rpc.brokers import Broker, broker


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


class TestRedisBus(BusConformance):
    @pytest.fixture(autouse=True)
    def _server(self, redis_server: Broker) -> None:
        self.url = redis_server.url

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[tuple[Bus, Bus]]:
        async with _closing(RedisBus(self.url), RedisBus(self.url)) as buses:
            yield buses


class TestNatsBus(BusConformance):
    @pytest.fixture(autouse=True)
    def _server(self, nats_server: Broker) -> None:
        self.url = nats_server.url

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[tuple[Bus, Bus]]:
        async with _closing(NatsBus(self.url), NatsBus(self.url)) as buses:
            yield buses


@asynccontextmanager
async def _closing(one: Bus, two: Bus) -> AsyncIterator[tuple[Bus, Bus]]:
    try:
        yield one, two
    finally:
        await one.close()
        await two.close()


@pytest.mark.parametrize("kind", ["redis", "nats"])
async def test_a_broker_that_is_down_is_told_and_its_return_is_noticed(
    kind: str, tmp_path: Path
) -> None:
    make = RedisBus if kind == "redis" else NatsBus
    with broker(kind, tmp_path) as server:
        server.stop()
        bus = make(server.url)
        for refused in (bus.publish(Channel("a"), b"x"), bus.subscribe(Channel("a"))):
            with pytest.raises(BrokerUnavailable, match=str(server.port)):
                await refused
        server.start()
        flow = await bus.subscribe(Channel("a"))
        await bus.publish(Channel("a"), b"1")
        assert await asyncio.wait_for(anext(flow), 20) == b"1"
        server.stop()
        server.start()
        got = asyncio.ensure_future(anext(flow))

        async def arrived() -> bool:
            with contextlib.suppress(BrokerUnavailable):
                await bus.publish(Channel("a"), b"2")
            return got.done()

        await wait_until(arrived, "a message after the broker's return", timeout=30)
        assert got.result() == b"2"
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


@pytest.mark.parametrize(
    ("bus", "url"),
    [(RedisBus, "redis://kim:se@cret@127.0.0.1:1/0"), (NatsBus, "nats://kim:se@cret@127.0.0.1:1")],
)
async def test_passwords_are_not_shown(bus: type[RedisBus | NatsBus], url: str) -> None:
    async with _closing(bus(url), bus(url)) as (one, _):
        assert "127.0.0.1:1" in repr(one)
        with pytest.raises(BrokerUnavailable) as caught:
            await one.publish(Channel("a"), b"x")
        assert "cret" not in f"{one!r} {caught.value}"
