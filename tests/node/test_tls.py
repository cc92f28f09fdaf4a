"""Pools of peers with TLS: the processes of workers speak it, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import grid
import node
from grid.embedded import Etcd
from grid.errors import TlsRequired
from grid.registry.names import Kind
from tests.grid.tls_kit import Authority
from tests.node.kit import LONG, offer, until_ready


async def test_worker_processes_have_the_tls_of_their_peer(
    grid_servers: Callable[..., grid.Server], grid_etcd: Etcd, grid_namespace: str, tmp_path: Path
) -> None:
    authority = Authority(tmp_path / "authority")
    server = grid_servers(tls=authority.tls("peer"), unix_socket=False)
    offer(server, "fragile", min=1, max=1)
    await server.start()
    tls = authority.tls("client")
    async with (
        grid.Client(grid_namespace, etcd=grid_etcd.endpoint, tls=tls) as client,
        grid.Client(grid_namespace, etcd=grid_etcd.endpoint) as stranger,
        node.Client(client, "fragile", timeout=LONG) as pool,
    ):
        await until_ready(client, "fragile", 1)
        assert (await pool.run({"value": 7}))[0] == 7
        peers = await client.query(Kind.PEER)
        assert len(peers) == 2  # the worker's process is one
        for one in peers:
            if one.name != server.name:  # that one is in this process
                assert await client.check(one.name) == "SERVING"
                with pytest.raises(TlsRequired):
                    await stranger.check(one.name)
