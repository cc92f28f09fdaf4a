"""Topics of a server whose peer loses its lease and joins again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

import grid
from grid.testing import wait_until
from rpc.services import AlreadyServed, NoServers
from tests.grid.server.lease_kit import lease, revoke
from tests.rpc.services.greeting_grid import GreeterClient, GreeterRegion, GreeterServer
from tests.rpc.services.greeting_pb2 import Hello
from tests.rpc.services.kit import SOON, Greeter

__all__ = ["lease"]

HELLO = Hello(text="hello")


async def test_a_topic_that_is_taken_back_meanwhile_does_not_come_again(
    grid_servers: Callable[..., grid.Server], caplog: pytest.LogCaptureFixture
) -> None:
    eu, us = GreeterRegion("eu"), GreeterRegion("us")
    peer = grid_servers()
    await peer.start()
    async with (
        grid.Client(peer.config.namespace, etcd=peer.config.etcd) as grid_client,
        GreeterServer(Greeter("a"), peer) as server,
        GreeterClient(grid_client, timeout=SOON) as client,
        asyncio.timeout(SOON),
    ):
        await server.register_regional_topic(eu)
        await server.register_regional_topic(us)

        def lost() -> bool:
            return sum("register again" in one.getMessage() for one in caplog.records) >= 3

        (registered,) = await grid_client.query("peer")
        await revoke(grid_client, registered.lease)
        await wait_until(lost, "the registrations to be lost")
        await server.deregister_regional_topic(eu)
        with pytest.raises(AlreadyServed):
            await server.register_regional_topic(us)

        async def back() -> bool:
            try:
                return bool(await client.regional(us, HELLO))
            except NoServers:
                return False

        await wait_until(back, "the other topic to be served again")
        assert (await client.greet(HELLO)).server == "a"
        with pytest.raises(NoServers):
            await client.regional(eu, HELLO)
        await server.register_regional_topic(eu)
        assert (await client.regional(eu, HELLO)).server == "a"
