"""Servers with leases as long as their tests want, and the ways to them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

import grid
from grid.embedded import Etcd
from tests.grid.echo_kit import EchoGrid, go_over_the_wire

# Tests of these rooms lose no lease, but keep the event loop from running: with large messages,
# with thousands of them, and with collections of garbage. On a busy machine that takes seconds.
STALLING = frozenset({"client", "mailbox", "sync", "transport"})


@pytest.fixture
def lease(request: pytest.FixtureRequest) -> float:
    """Seconds of the servers' leases; parametrize it to have another."""
    return 60.0 if Path(request.node.path).parent.name in STALLING else 2.0


@pytest.fixture
def grid_servers(
    grid_servers: Callable[..., grid.Server], lease: float
) -> Callable[..., grid.Server]:
    """The same, with a lease of `lease` seconds."""
    return lambda **options: grid_servers(**{"lease": lease, **options})


@pytest.fixture(params=["session", "unary", "local"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Each of the three ways to a mailbox."""
    return go_over_the_wire(request.param, monkeypatch)


@pytest.fixture(params=["session", "local"])
def stream_way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The ways that tells and streams have."""
    return go_over_the_wire(request.param, monkeypatch)


@pytest.fixture
async def peer(
    grid_etcd: Etcd, grid_namespace: str, grid_servers: Callable[..., grid.Server]
) -> AsyncIterator[EchoGrid]:
    """A peer that echoes, once it is started, and clients of it."""
    peer = EchoGrid(grid_namespace, grid_etcd.endpoint, grid_servers)
    yield peer
    await peer.close()
