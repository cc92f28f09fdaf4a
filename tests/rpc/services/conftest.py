"""A hall on each bus: services must be the same on all of them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import pytest
import pytest_asyncio

import grid
from rpc.services import LocalBus
from tests.rpc.services.kit import Hall, hall

WAYS = ("local", "grid")


@pytest_asyncio.fixture(params=WAYS)
async def the_hall(
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
    grid_servers: Callable[..., grid.Server],
) -> AsyncIterator[Hall]:
    """A hall on each bus; on the grid all messages go over gRPC."""
    if request.param == "local":
        bus = LocalBus()
        async with hall(lambda: bus, lambda: bus) as made:
            yield made
        await bus.close()
        return
    monkeypatch.setattr("grid.client.router.local_dispatcher", lambda _: None)
    peers = [grid_servers() for _ in range(2)]
    for peer in peers:
        await peer.start()
    turns = iter(range(1000))
    async with (
        grid.Client(peers[0].config.namespace, etcd=peers[0].config.etcd) as client,
        hall(lambda: peers[next(turns) % 2], lambda: client) as made,
    ):
        yield made
