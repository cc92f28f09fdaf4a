"""The processes that are measured: `python -m bench.roles ROLE JSON`."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc.aio

from bench.running import run
from grid import ActorContext, EchoMsg, Server

__all__ = ["ECHO_METHOD"]

ECHO_METHOD = "/bench.Echo/Echo"

Orders = AsyncIterator[str]
Role = Callable[[dict[str, Any], Orders], Awaitable[None]]


def _say(**what: Any) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


async def _orders() -> Orders:
    """The lines of stdin; ends when it is closed."""
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        yield line.decode().strip()


async def bare_echo(_: dict[str, Any], orders: Orders) -> None:
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
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    _say(address=f"127.0.0.1:{port}")
    async for _order in orders:
        pass
    await server.stop(0)


async def echo_peer(given: dict[str, Any], orders: Orders) -> None:
    """A peer with one actor that echoes out of its mailbox."""
    server = Server(given["namespace"], etcd=given["etcd"])
    server.define("echo", lambda _: _echo, mailbox=1024)
    async with server:
        await server.client.start_actor("echo", peer=server.name)
        _say(name=server.name)
        async for _order in orders:
            pass


async def _echo(ctx: ActorContext) -> None:
    async for request in ctx.mailbox:
        message = request.message
        assert isinstance(message, EchoMsg)
        request.respond(EchoMsg(msg=message.msg))


_ROLES: dict[str, Role] = {"bare_echo": bare_echo, "echo_peer": echo_peer}


def main() -> None:
    """Run the role that the command line names."""
    logging.basicConfig(level=logging.ERROR)
    role, given = sys.argv[1:]
    run(_main(_ROLES[role], json.loads(given)))


async def _main(role: Role, given: dict[str, Any]) -> None:
    await role(given, _orders())


if __name__ == "__main__":
    main()
