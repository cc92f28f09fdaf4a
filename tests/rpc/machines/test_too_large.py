"""Messages that are over the limit: their cause gets the error at once, and nothing is left."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import grid
from grid.errors import MessageTooLarge
from machine import Machine
from rpc.machines.client import Client
from rpc.machines.errors import RemoteError
from rpc.machines.server import Server
from tests.rpc.machines.kit import SCHEMA

LIMIT = 100_000
LARGE = "x" * (LIMIT + 1)


@pytest.fixture(params=["in process", "over a session"], autouse=True)
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "over a session":
        monkeypatch.setattr("grid.client.router.local_dispatcher", lambda _: None)


async def test_large_arguments_and_answers_are_refused_at_once(
    grid_servers: Callable[..., grid.Server],
) -> None:
    machine: Machine[Any] = Machine(SCHEMA, id="lights")
    getters: dict[str, Any] = {"large": lambda: LARGE, "double": lambda number: 2 * number}
    limit: dict[str, Any] = {"max_message_bytes": LIMIT}
    async with (
        grid_servers(**limit) as peer,
        grid.Client(peer.config.namespace, etcd=peer.config.etcd, **limit) as grid_client,
        Server(machine, peer, getters=getters),
        Client[Any](grid_client, "lights", timeout=60, getters={"large": lambda: LARGE}) as client,
    ):
        remote = client.machine
        with pytest.raises(MessageTooLarge):
            await remote.add("A", args={"text": LARGE})
        with pytest.raises(MessageTooLarge):
            await remote.add_ns("A", args={"text": LARGE})
        with pytest.raises(MessageTooLarge):
            await remote.when_args("A", {"text": LARGE})
        with pytest.raises(MessageTooLarge):
            await client.get("double", number=LARGE)
        with pytest.raises(MessageTooLarge):
            await remote.log(LARGE)
        with pytest.raises(RemoteError, match="MessageTooLarge"):
            await client.get("large")
        assert machine.not_("A")
        assert (await remote.add("A")).executed
        assert await client.get("double", number=2) == 4
        assert client.mach.is_("Ready")
