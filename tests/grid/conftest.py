"""A peer that echoes, and the ways to its mailboxes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import pytest

import grid
from grid.embedded import Etcd
from tests.grid.echo_kit import EchoGrid, go_over_the_wire


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
