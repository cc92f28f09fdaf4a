"""Messages that are larger than subscribers take, on the grid."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

import grid
from grid.errors import MessageTooLarge
from rpc.buses import Channel
from rpc.buses.grid import GridBus

SOON = 20.0
NEWS = Channel("news", scope="news")


async def test_a_message_that_is_too_large_is_refused_and_ends_no_subscription(
    grid_servers: Callable[..., grid.Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("grid.client.router.local_dispatcher", lambda _: None)
    peer = grid_servers(max_message_bytes=200_000)
    await peer.start()
    async with grid.Client(
        peer.config.namespace, etcd=peer.config.etcd, max_message_bytes=200_000
    ) as client:
        there, here = GridBus(peer), GridBus(client)
        await there.announce(NEWS.scope)
        flows = [await here.subscribe(NEWS), await here.subscribe(NEWS, queue=True)]
        async with asyncio.timeout(SOON):
            with pytest.raises(MessageTooLarge):
                await there.publish(NEWS, bytes(200_001))
            assert await there.publish(NEWS, b"small") == 2
            for flow in flows:
                assert await anext(flow) == b"small"
        await here.close()
        await there.close()
