"""The servers and subscribers of the benchmark of services, each a process of its own."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import Any

from bench.roles import echo_actor
from bench.talk import Orders, say, until_closed
from grid import Client, EchoMsg, Server
from rpc.buses.nats import NatsBus
from rpc.buses.redis import RedisBus
from rpc.services import (
    CallContext,
    MethodSpec,
    MultiCall,
    Opening,
    Routing,
    ServiceClient,
    ServiceServer,
    ServiceSpec,
    Updates,
)

__all__ = [
    "Echo",
    "EchoClient",
    "EchoServer",
    "bare_nats",
    "on_broker",
    "on_grid",
    "subscribers",
]

_ECHO = MethodSpec("Echo", "echo", EchoMsg, EchoMsg)
_ALL = MethodSpec("All", "all", EchoMsg, EchoMsg, routing=Routing.MULTI)
_NEWS = MethodSpec("News", "news", EchoMsg, EchoMsg, routing=Routing.MULTI, subscription=True)
_SPEC = ServiceSpec("bench.Echo", (_ECHO, _ALL, _NEWS))


class EchoClient(ServiceClient):
    """Like a generated client."""

    def __init__(self, bus: Any, **options: Any) -> None:
        super().__init__(_SPEC, bus, **options)

    async def echo(self, request: EchoMsg) -> EchoMsg:
        """Call one server."""
        return await self._call(_ECHO, (), request, None, None)

    def all(self, request: EchoMsg) -> MultiCall[EchoMsg]:
        """Call all servers."""
        return self._call_all(_ALL, (), request, None, None)

    def subscribe_news(self, size: int) -> Opening[Updates[EchoMsg]]:
        """Subscribe to what servers publish."""
        return self._subscribe(_NEWS, (), size)


class EchoServer(ServiceServer):
    """Like a generated server."""

    def __init__(self, service: Any, bus: Any, **options: Any) -> None:
        super().__init__(_SPEC, service, bus, **options)

    async def publish_news(self, message: EchoMsg) -> int | None:
        """Publish to all subscribers."""
        return await self._publish(_NEWS, (), message)


class Echo:
    """Answers every message with a new one like it.

    Args:
        slow: seconds that it takes.
    """

    def __init__(self, slow: float = 0.0) -> None:
        self._slow = slow

    async def echo(self, request: EchoMsg, _: CallContext) -> EchoMsg:
        """Answer."""
        if self._slow:
            await asyncio.sleep(self._slow)
        return EchoMsg(msg=request.msg)

    all = echo


async def on_grid(given: dict[str, Any], orders: Orders) -> None:
    """A peer with some servers, and an echo actor if it is given a name."""
    async with AsyncExitStack() as stack:
        peer = await stack.enter_async_context(
            Server(given["namespace"], etcd=given["etcd"], unix_socket=False)
        )
        if "echo" in given:
            peer.define("echo", lambda _: echo_actor, mailbox=1024)
            await peer.client.start_actor("echo", name=given["echo"], peer=peer.name)
        for _ in range(given.get("servers", 1)):
            await stack.enter_async_context(EchoServer(Echo(given.get("slow", 0.0)), peer))
        say(ready=True)
        await until_closed(orders)


async def on_broker(given: dict[str, Any], orders: Orders) -> None:
    """A server on a broker."""
    bus = RedisBus(given["url"]) if given["kind"] == "redis" else NatsBus(given["url"])
    async with EchoServer(Echo(), bus):
        say(ready=True)
        await until_closed(orders)
    await bus.close()


async def bare_nats(given: dict[str, Any], orders: Orders) -> None:
    """The yardstick on NATS: a subscription that answers."""
    import nats

    connection = await nats.connect(given["url"])

    async def answer(message: Any) -> None:
        request = EchoMsg.FromString(message.data)
        await message.respond(EchoMsg(msg=request.msg).SerializeToString())

    await connection.subscribe("bench.echo", queue="bench", cb=answer)
    await connection.flush()
    say(ready=True)
    await until_closed(orders)
    await connection.close()


async def subscribers(given: dict[str, Any], orders: Orders) -> None:
    """Many subscribers of one process; says when all have got as many messages as ordered."""
    count, got, wanted = given["count"], 0, 0
    enough = asyncio.Event()

    async def read(updates: Updates[EchoMsg]) -> None:
        nonlocal got
        async for _ in updates:
            got += 1
            if got == wanted:
                enough.set()

    async with AsyncExitStack() as stack:
        grid_client = await stack.enter_async_context(
            Client(given["namespace"], etcd=given["etcd"])
        )
        client = await stack.enter_async_context(EchoClient(grid_client))
        readers = []
        for _ in range(count):
            updates = await stack.enter_async_context(client.subscribe_news(100_000))
            readers.append(asyncio.create_task(read(updates)))
        say(ready=True)
        async for order in orders:
            wanted += int(order) * count
            if got < wanted:
                enough.clear()
                await enough.wait()
            say(got=got)
        for reader in readers:
            reader.cancel()
        await asyncio.gather(*readers, return_exceptions=True)
