"""Services on the grid's own bus, over sessions with TLS."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import grid
from grid.embedded import Etcd
from tests.grid.tls_kit import Authority
from tests.rpc.services.greeting_grid import GreeterClient, GreeterServer
from tests.rpc.services.greeting_pb2 import Hello
from tests.rpc.services.kit import Greeter


@pytest.fixture(autouse=True)
def over_a_session(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("grid.client.router.local_dispatcher", lambda _: None)


async def test_a_bus_has_the_tls_of_its_client(
    grid_servers: Callable[..., grid.Server], grid_etcd: Etcd, grid_namespace: str, tmp_path: Path
) -> None:
    authority = Authority(tmp_path / "authority")
    peer = grid_servers(tls=authority.tls("peer"), unix_socket=False)
    await peer.start()
    tls = authority.tls("client")
    async with (
        grid.Client(grid_namespace, etcd=grid_etcd.endpoint, tls=tls) as grid_client,
        GreeterServer(Greeter("one"), peer, server_id="one"),
        GreeterClient(grid_client) as client,
    ):
        answer = await client.greet(Hello(text="hello"))
        assert (answer.text, answer.server) == ("HELLO", "one")
