"""A client that closes ends all that is under way, to its own process as to others."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

import grid
from grid.embedded import Etcd
from grid.errors import ClientClosed, GridError, OutcomeUnknown
from grid.testing import wait_until
from grid.wire_pb2 import EchoMsg

Servers = Callable[..., grid.Server]


class Receivers:
    """Actors that answer nothing, and what they saw."""

    def __init__(self, server: grid.Server) -> None:
        self.arrived: list[str] = []
        self.left: list[str] = []
        server.actor("slow", mailbox=8)(self.slow)
        server.actor("feed", mailbox=8)(self.feed)

    async def slow(self, ctx: grid.ActorContext) -> None:
        async with asyncio.TaskGroup() as tasks:
            async for request in ctx.mailbox:
                self.arrived.append("request")
                tasks.create_task(self.wait(request))

    async def wait(self, request: grid.Request[Any]) -> None:
        await request.until_cancelled()
        self.left.append("opening" if request.opens_stream else "request")

    async def feed(self, ctx: grid.ActorContext) -> None:
        async for request in ctx.mailbox:
            async with request.accept() as stream:
                self.arrived.append("stream")
                try:
                    async for _ in stream:
                        pass
                except GridError as error:
                    self.left.append(type(error).__name__)


async def test_all_that_is_under_way_ends_with_the_client(
    stream_way: str, grid_servers: Servers, grid_etcd: Etcd, grid_namespace: str
) -> None:
    server = grid_servers()
    seen = Receivers(server)
    await server.start()
    client = grid.Client(grid_namespace, etcd=grid_etcd.endpoint)
    for name in ("slow", "feed"):
        await client.start_actor(name)

    async def opened() -> grid.Stream:
        return await client.stream("slow", EchoMsg(), timeout=60)

    stream = await client.stream("feed", EchoMsg())
    waiting: list[Awaitable[Any]] = [
        asyncio.create_task(client.request("slow", EchoMsg(), timeout=60)),
        client.send("slow", EchoMsg(), timeout=60),
        asyncio.create_task(stream.receive()),
        asyncio.create_task(opened()),
    ]
    await wait_until(lambda: len(seen.arrived) == 4, "all are there")
    await client.close()
    for one in waiting:
        with pytest.raises(OutcomeUnknown):
            await asyncio.wait_for(one, 5)
    await wait_until(lambda: len(seen.left) == 4, "their receivers know")
    assert sorted(seen.left) == ["OutcomeUnknown", "opening", "request", "request"]
    with pytest.raises(ClientClosed):
        await client.request("slow", EchoMsg())
    with pytest.raises(OutcomeUnknown):
        await stream.send(EchoMsg())
