"""The processes that are measured: `python -m bench.roles ROLE JSON`."""

from __future__ import annotations

import asyncio
import gc
import importlib
import json
import logging
import os
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from functools import partial
from pathlib import Path
from typing import Any

import grpc.aio

from bench.raw_etcd import RawEtcd
from bench.running import closed_loop, run
from bench.talk import Orders, Role, keep_answers_apart, read_orders, say, until_closed
from grid import ActorContext, EchoMsg, Mailbox, Server
from grid.testing import wait_until

__all__ = ["ECHO_METHOD", "echo_actor"]

ECHO_METHOD = "/bench.Echo/Echo"

_WARM = 200  # actors started before memory is read for the first time
_AT_ONCE = 500

_Bare = asyncio.Queue[tuple[EchoMsg, "asyncio.Future[EchoMsg]"]]


async def bare_echo(given: dict[str, Any], orders: Orders) -> None:
    """The yardstick of requests: a grpc.aio server with the smallest possible handler."""

    async def echo(request: EchoMsg, _: grpc.aio.ServicerContext[EchoMsg, EchoMsg]) -> EchoMsg:
        return EchoMsg(msg=request.msg)

    handler: grpc.RpcMethodHandler[EchoMsg, EchoMsg] = grpc.unary_unary_rpc_method_handler(
        echo,
        request_deserializer=EchoMsg.FromString,
        response_serializer=EchoMsg.SerializeToString,
    )
    server = grpc.aio.server()
    service, method = ECHO_METHOD.strip("/").split("/")
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler(service, {method: handler}),)
    )
    port = server.add_insecure_port(f"127.0.0.1:{given.get('port', 0)}")
    await server.start()
    say(address=f"127.0.0.1:{port}")
    await until_closed(orders)
    await server.stop(0)


async def echo_peer(given: dict[str, Any], orders: Orders) -> None:
    """A peer with one actor that echoes out of its mailbox."""
    names = ("listen", "advertise", "unix_socket")
    addresses = {name: given[name] for name in names if name in given}
    server = Server(given["namespace"], etcd=given["etcd"], **addresses)
    server.define("echo", lambda _: echo_actor, mailbox=given.get("mailbox", 1024))
    async with server:
        await server.client.start_actor("echo", peer=server.name)
        say(name=server.name)
        await until_closed(orders)


async def echo_actor(ctx: ActorContext) -> None:
    """Answers every message with a new one like it."""
    async for request in ctx.mailbox:
        message = request.message
        assert isinstance(message, EchoMsg)
        request.respond(EchoMsg(msg=message.msg))


async def names_peer(given: dict[str, Any], orders: Orders) -> None:
    """A peer that opens as many mailboxes as it is told, all at once."""
    async with Server(given["namespace"], etcd=given["etcd"], lease=given["lease"]) as server:
        say(name=server.name)
        async for _order in orders:
            names = [f"m{number}" for number in range(given["names"])]
            began = time.perf_counter()
            opened = await asyncio.gather(*(_open(server, name) for name in names))
            say(seconds=time.perf_counter() - began, opened=len(opened))


async def _open(server: Server, name: str) -> Mailbox:
    return await server.open_mailbox(name)


async def key_watch(given: dict[str, Any], orders: Orders) -> None:
    """A bare watch of one key; says when the key went, by the machine's monotonic clock."""
    async with (
        RawEtcd(given["etcd"]) as raw,
        aclosing(raw.deletes(given["key"], exact=True)) as gone,
    ):
        await anext(gone)
        say(ready=True)
        while not await anext(gone):
            pass
        at = time.monotonic()
        async for _order in orders:
            say(gone=at)


async def leader_peer(given: dict[str, Any], orders: Orders) -> None:
    """A peer that competes for the leader, until SIGTERM."""
    server = Server(given["namespace"], etcd=given["etcd"], lease=given["lease"])
    server.define("leader", lambda _: _lead, mailbox=64)
    serving = asyncio.create_task(server.serve())
    await wait_until(lambda: server.state == "serving", "the peer serves")
    say(name=server.name)
    closed = asyncio.create_task(until_closed(orders))
    await asyncio.wait([serving, closed], return_when=asyncio.FIRST_COMPLETED)
    for task in (serving, closed):
        task.cancel()
    await asyncio.gather(serving, closed, return_exceptions=True)


async def _lead(ctx: ActorContext) -> None:
    told = json.dumps({"peer": ctx.peer, "epoch": ctx.epoch, "acts": time.monotonic()})
    async for request in ctx.mailbox:
        request.respond(EchoMsg(msg=told))


async def idle_actors(given: dict[str, Any], orders: Orders) -> None:
    """A peer with many actors that wait on their mailboxes; says what one of them weighs."""
    server = Server(given["namespace"], etcd=given["etcd"])
    server.define("echo", lambda _: echo_actor, mailbox=16)
    async with server:

        async def start(first: int, count: int) -> None:
            names = [f"a{number}" for number in range(first, first + count)]
            await asyncio.gather(
                *(server.client.start_actor("echo", name=name, peer=server.name) for name in names)
            )

        await start(0, _WARM)
        before = _resident_kib()
        for first in range(_WARM, _WARM + given["actors"], _AT_ONCE):
            await start(first, min(_AT_ONCE, _WARM + given["actors"] - first))
        say(kib=(_resident_kib() - before) / given["actors"])
        await until_closed(orders)


async def idle_tasks(given: dict[str, Any], orders: Orders) -> None:
    """The yardstick of actors: as many tasks that wait on queues."""
    queues: dict[str, asyncio.Queue[EchoMsg]] = {}
    tasks = []

    async def wait(queue: asyncio.Queue[EchoMsg]) -> None:
        await queue.get()

    before = _resident_kib()
    for number in range(given["actors"]):
        queue = queues[f"a{number}"] = asyncio.Queue(16)
        tasks.append(asyncio.create_task(wait(queue), name=f"a{number}"))
    await asyncio.sleep(0)
    say(kib=(_resident_kib() - before) / given["actors"])
    await until_closed(orders)
    for task in tasks:
        task.cancel()


def _resident_kib() -> float:
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1024


async def local_requests(given: dict[str, Any], orders: Orders) -> None:
    """Requests inside one process: to a mailbox, to a bare queue, to nothing."""
    message = EchoMsg(msg="m" * 98)
    server = Server(given["namespace"], etcd=given["etcd"])
    server.define("echo", lambda _: echo_actor, mailbox=1024)
    queue: _Bare = asyncio.Queue(1024)
    serving = asyncio.create_task(_serve_queue(queue))
    async with server:
        client = server.client
        await client.start_actor("echo", peer=server.name)

        async def ask_queue() -> EchoMsg:
            answer: asyncio.Future[EchoMsg] = asyncio.get_running_loop().create_future()
            queue.put_nowait((message, answer))
            return await answer

        sides: dict[str, Callable[[], Awaitable[EchoMsg | None]]] = {
            "ours": partial(client.request, "echo", message, reply=EchoMsg),
            "queue": ask_queue,
            "empty": lambda: asyncio.ensure_future(_nothing()),
        }
        say(name=server.name)
        async for order in orders:
            side, callers = order.split()
            load = await closed_loop(sides[side], int(callers), given["seconds"])
            say(rate=load.rate, p50=load.p50)
    serving.cancel()


async def _nothing() -> None:
    """The empty coroutine."""


async def _serve_queue(queue: _Bare) -> None:
    while True:
        message, answer = await queue.get()
        answer.set_result(EchoMsg(msg=message.msg))


def main() -> None:
    """Run the role that the command line names."""
    logging.basicConfig(level=logging.ERROR)
    name, given = sys.argv[1:]
    keep_answers_apart()
    run(_main(_role(name), json.loads(given)))


def _role(name: str) -> Role:
    """A function of this module, or of another one of this package: `raw_tcp.serve`."""
    module, _, function = name.rpartition(".")
    found: Role = getattr(importlib.import_module(f"bench.{module or 'roles'}"), function)
    return found


async def _main(role: Role, given: dict[str, Any]) -> None:
    await role(given, read_orders())


if __name__ == "__main__":
    main()
