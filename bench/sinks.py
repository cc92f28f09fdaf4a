"""The processes behind `bench.one_way`: they count what arrives, and send until told to stop.

A rate is what has arrived at the receiver, from the first send until the last
arrival. Where the receiver cannot say itself when that is, it is asked.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import Any

import grpc.aio

from bench.drivers import MESSAGE
from bench.talk import Orders, say, until_closed
from grid import ActorContext, Client, EchoMsg, GridError, Server

__all__ = ["at_home", "bare", "bare_server", "ours", "peer", "queue"]

_METHOD = "/bench.Sink/Take"
_QUEUE = 1024
_POLL = 0.005
_SETTLED = 0.25  # seconds without an arrival: the rest is lost
_Send = Callable[[float], Awaitable[int]]
_Count = Callable[[], Awaitable[int]]


class _Counters:
    """A peer's actors that take streams and tells, and one that says how many came."""

    def __init__(self) -> None:
        self._came: Counter[str] = Counter()

    def define(self, server: Server, mailbox: int) -> None:
        """Make them known to a server."""
        server.define("stream", lambda _: self._streams, mailbox=16)
        server.define("tell", lambda _: self._tells, mailbox=mailbox)
        server.define("count", lambda _: self._count, mailbox=16)

    async def start(self, server: Server) -> None:
        """Start all three."""
        for actor in ("stream", "tell", "count"):
            await server.client.start_actor(actor, peer=server.name)

    async def _streams(self, ctx: ActorContext) -> None:
        came = self._came
        request: Any
        async for request in ctx.mailbox:
            async for _item in request.accept():
                came["stream"] += 1

    async def _tells(self, ctx: ActorContext) -> None:
        came = self._came
        async for _request in ctx.mailbox:
            came["tell"] += 1

    async def _count(self, ctx: ActorContext) -> None:
        async for request in ctx.mailbox:
            message = request.message
            assert isinstance(message, EchoMsg)
            request.respond(EchoMsg(msg=str(self._came[message.msg])))


async def peer(given: dict[str, Any], orders: Orders) -> None:
    """A role: a peer that counts."""
    server, counters = Server(given["namespace"], etcd=given["etcd"]), _Counters()
    counters.define(server, given["mailbox"])
    async with server:
        await counters.start(server)
        say(name=server.name)
        await until_closed(orders)


async def ours(given: dict[str, Any], orders: Orders) -> None:
    """A role: sends to the peer; orders are `stream 1 SECONDS` and `tell SENDERS SECONDS`."""
    async with Client(given["namespace"], etcd=given["etcd"]) as client:
        await _obey(client, orders)


async def at_home(given: dict[str, Any], orders: Orders) -> None:
    """A role: a peer that sends to itself."""
    server, counters = Server(given["namespace"], etcd=given["etcd"]), _Counters()
    counters.define(server, given["mailbox"])
    async with server:
        await counters.start(server)
        await _obey(server.client, orders)


async def _obey(client: Any, orders: Orders) -> None:
    say(ready=True)
    async for order in orders:
        kind, senders, seconds = order.split()
        sends = partial(_tell, client, int(senders)) if kind == "tell" else partial(_stream, client)
        await _report(sends, partial(_came, client, kind), float(seconds))


async def _stream(client: Any, seconds: float) -> int:
    sent = 0
    async with client.stream("stream", MESSAGE) as stream:
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            await stream.send(MESSAGE)
            sent += 1
    return sent


async def _tell(client: Any, senders: int, seconds: float) -> int:
    end = time.perf_counter() + seconds

    async def sender() -> int:
        sent = 0
        while time.perf_counter() < end:
            try:
                await client.tell("tell", MESSAGE)
                sent += 1
            except GridError:  # the mailbox is full: its actor's turn
                await asyncio.sleep(0)
        return sent

    return sum(await asyncio.gather(*(sender() for _ in range(senders))))


async def _came(client: Client, kind: str) -> int:
    reply = await client.request("count", EchoMsg(msg=kind), reply=EchoMsg)
    return int(reply.msg)


async def _report(send: _Send, count: _Count, seconds: float) -> None:
    """Send, wait until all has arrived or nothing comes any more, and say how it went."""
    before = await count()
    began = time.perf_counter()
    sent = await send(seconds)
    came, at = 0, began
    while came < sent:
        now = await count() - before
        if now > came:
            came, at = now, time.perf_counter()
        elif time.perf_counter() > at + _SETTLED + seconds:
            break
        if came < sent:
            await asyncio.sleep(_POLL)
    say(rate=came / (at - began), sent=sent, lost=sent - came)


async def queue(_: dict[str, Any], orders: Orders) -> None:
    """A role, the yardstick of tells: a task puts into a queue, another one gets."""
    say(ready=True)
    async for order in orders:
        seconds = float(order.split()[-1])
        filled: asyncio.Queue[EchoMsg | None] = asyncio.Queue(_QUEUE)
        taking = asyncio.create_task(_take(filled))
        began = time.perf_counter()
        while time.perf_counter() < began + seconds:
            await filled.put(MESSAGE)
        await filled.put(None)
        came = await taking
        say(rate=came / (time.perf_counter() - began), sent=came, lost=0)


async def _take(filled: asyncio.Queue[EchoMsg | None]) -> int:
    came = 0
    while await filled.get() is not None:
        came += 1
    return came


async def bare_server(_: dict[str, Any], orders: Orders) -> None:
    """A role, the yardstick of streams: counts the messages of a client's stream."""

    async def take(
        messages: AsyncIterator[EchoMsg], _: grpc.aio.ServicerContext[EchoMsg, EchoMsg]
    ) -> EchoMsg:
        came = 0
        async for _message in messages:
            came += 1
        return EchoMsg(msg=str(came))

    handler: grpc.RpcMethodHandler[EchoMsg, EchoMsg] = grpc.stream_unary_rpc_method_handler(
        take,
        request_deserializer=EchoMsg.FromString,
        response_serializer=EchoMsg.SerializeToString,
    )
    server = grpc.aio.server()
    service, method = _METHOD.strip("/").split("/")
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler(service, {method: handler}),)
    )
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    say(address=f"127.0.0.1:{port}")
    await until_closed(orders)
    await server.stop(0)


async def bare(given: dict[str, Any], orders: Orders) -> None:
    """A role: writes to that server."""
    async with grpc.aio.insecure_channel(given["address"]) as channel:
        take: Any = channel.stream_unary(
            _METHOD,
            request_serializer=EchoMsg.SerializeToString,
            response_deserializer=EchoMsg.FromString,
        )
        say(ready=True)
        async for order in orders:
            began = time.perf_counter()
            end = began + float(order.split()[-1])
            call, sent = take(), 0
            while time.perf_counter() < end:
                await call.write(MESSAGE)
                sent += 1
            await call.done_writing()
            came = int((await call).msg)
            say(rate=came / (time.perf_counter() - began), sent=sent, lost=sent - came)
