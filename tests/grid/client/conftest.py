"""Fixtures of the tests of clients."""

import pytest

import grid


@pytest.fixture(params=["session", "unary", "local"])
async def client(
    request: pytest.FixtureRequest,
    grid_server: grid.Server,
    grid_client: grid.Client,
    monkeypatch: pytest.MonkeyPatch,
) -> grid.Client:
    """A client on each of the three ways: sessions, single calls, and inside the process."""
    if request.param != "local":
        monkeypatch.setattr("grid.client.router.local_dispatcher", lambda _: None)
    if request.param == "unary":
        grid_client._transport._without_sessions.add(grid_server.address)
    return grid_client
