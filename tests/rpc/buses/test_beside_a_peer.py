"""A local bus beside a peer, on the same event loop."""

import pytest

import grid
from grid.embedded import Etcd
from rpc.services import LocalBus


async def test_a_blocking_call_beside_a_local_bus_warns_of_the_peer(
    grid_etcd: Etcd, grid_namespace: str
) -> None:
    bus = LocalBus()
    await bus.open_inbox("inbox", {}, size=4)  # before the peer, which is found all the same
    async with grid.Server(grid_namespace, etcd=grid_etcd.endpoint, name="shop"):
        with (
            pytest.warns(RuntimeWarning, match="event loop of peer 'shop'"),
            grid.sync.Client(grid_namespace, etcd=grid_etcd.endpoint) as client,
        ):
            assert len(client.query("peer")) == 1
    await bus.close()
