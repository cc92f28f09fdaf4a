"""A hall on each bus: services must be the same on all of them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import pytest_asyncio

import grid
from rpc.buses.bus import Capabilities
from rpc.buses.nats import NatsBus
from rpc.buses.redis import RedisBus
from rpc.services import LocalBus, SelectionOptions
from tests.rpc.brokers import find_broker
from tests.rpc.services.kit import Hall, hall

WAYS = ("local", "grid", "claims", "redis", "nats")


class Claims(LocalBus):
    """A local bus that hides its directory, so that services need claims on it."""

    capabilities = Capabilities()


@pytest_asyncio.fixture(params=WAYS)
async def the_hall(
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
    grid_servers: Callable[..., grid.Server],
) -> AsyncIterator[Hall]:
    """A hall on each bus; on the grid all messages go over gRPC."""
    _skip_what_others_show(request)
    quick = SelectionOptions(accept_first=True, affinity_timeout=2.0)
    monkeypatch.setattr("rpc.services.psrpc.client._FIRST", quick)
    if request.param == "grid":
        monkeypatch.setattr("grid.client.router.local_dispatcher", lambda _: None)
        making = _on_the_grid(grid_servers)
    elif request.param in ("redis", "nats"):
        server = request.getfixturevalue(f"{request.param}_server")
        kind: Any = RedisBus if request.param == "redis" else NatsBus
        making = _on_a_bus(lambda: kind(server.url))
    else:
        bus = LocalBus() if request.param == "local" else Claims()
        making = _on_a_bus(lambda: bus)
    async with making as made:
        made.knows_members = request.param in ("local", "grid")
        made.multi_timeout = 20.0 if made.knows_members else 1.5
        yield made


def _skip_what_others_show(request: pytest.FixtureRequest) -> None:
    # The protocol of claims is the same on each of its buses; one for each kind of call is enough.
    way, calls_one = request.param, request.module.__name__.endswith("test_queue_calls")
    if way in ("redis", "nats") and calls_one:
        pytest.skip("shown on the bus `claims`")
    if way == "claims" and not calls_one and all(map(find_broker, ("redis", "nats"))):
        pytest.skip("shown on Redis and NATS")


@asynccontextmanager
async def _on_a_bus(make: Callable[[], Any]) -> AsyncIterator[Hall]:
    buses = [make(), make()]
    turns = iter(range(1000))
    try:
        async with hall(lambda: buses[next(turns) % 2], lambda: buses[1]) as made:
            yield made
    finally:
        for bus in buses:
            await bus.close()


@asynccontextmanager
async def _on_the_grid(grid_servers: Callable[..., grid.Server]) -> AsyncIterator[Hall]:
    # No test of a hall lets a lease end, and large messages keep the event loop from running.
    peers = [grid_servers(lease=20.0) for _ in range(2)]
    for peer in peers:
        await peer.start()
    turns = iter(range(1000))
    async with (
        grid.Client(peers[0].config.namespace, etcd=peers[0].config.etcd) as client,
        hall(lambda: peers[next(turns) % 2], lambda: client) as made,
    ):
        yield made
