"""Fixtures of the tests of streams."""

from collections.abc import AsyncIterator

import pytest

import grid
from tests.grid.echo_kit import go_over_the_wire
from tests.grid.stream_kit import Serve, owners


@pytest.fixture(params=["session", "local"])
async def client(
    request: pytest.FixtureRequest, grid_client: grid.Client, monkeypatch: pytest.MonkeyPatch
) -> grid.Client:
    """A client on both ways: over a session, and inside the process."""
    go_over_the_wire(request.param, monkeypatch)
    return grid_client


@pytest.fixture
async def serve(grid_server: grid.Server) -> AsyncIterator[Serve]:
    """A function that opens a mailbox for an owner, which serves each request in a task."""
    async for one in owners(grid_server):
        yield one
