"""Fixtures for the tests of grids: a real etcd, namespaces of their own, peers.

    async def test_greets(grid_server, grid_client):
        grid_server.define("greeter", ..., mailbox=8)
        await grid_client.start_actor("greeter")

They come with the distribution; nothing need be imported. Nothing of the grid is
loaded before the first fixture is used. The async ones need pytest-asyncio.
"""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Callable, Iterator
from typing import TYPE_CHECKING

import pytest

try:
    from pytest_asyncio import fixture as async_fixture
except ImportError:  # the plain fixtures do without
    async_fixture = pytest.fixture  # type: ignore[assignment]

if TYPE_CHECKING:
    from grid.client.client import Client
    from grid.embedded import Etcd
    from grid.server.server import Server

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def grid_etcd() -> Iterator[Etcd]:
    """A real etcd on a free port, for the whole run."""
    from grid.embedded import Etcd

    with Etcd() as etcd:
        yield etcd


@pytest.fixture
def grid_namespace() -> str:
    """A namespace that no other test uses."""
    return f"test-{next(_numbers)}"


@async_fixture
async def grid_servers(
    grid_etcd: Etcd, grid_namespace: str
) -> AsyncIterator[Callable[..., Server]]:
    """Makes servers of the test's namespace; what the test has started is stopped.

    Arguments are those of `grid.Server`. Start them with `await server.start()`.
    """
    from grid.server.server import Server

    made: list[Server] = []

    def make(**options: object) -> Server:
        defaults = {"etcd": grid_etcd.endpoint, "lease": 2.0, "drain_timeout": 2.0}
        server = Server(grid_namespace, **{**defaults, **options})  # type: ignore[arg-type]
        made.append(server)
        return server

    yield make
    for server in made:
        await server.stop()


@async_fixture
async def grid_server(grid_servers: Callable[..., Server]) -> AsyncIterator[Server]:
    """A started server in the test's namespace."""
    server = grid_servers()
    await server.start()
    yield server


@async_fixture
async def grid_client(grid_etcd: Etcd, grid_namespace: str) -> AsyncIterator[Client]:
    """A client of the test's namespace."""
    from grid.client.client import Client

    async with Client(grid_namespace, etcd=grid_etcd.endpoint) as client:
        yield client
