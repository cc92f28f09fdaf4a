"""The clients that are measured, each a process of its own: ours and a bare grpc.aio one."""

from __future__ import annotations

from functools import partial
from typing import Any

import grpc.aio

from bench.roles import ECHO_METHOD
from bench.running import closed_loop
from bench.talk import Orders, drive_on_order
from grid import Client, EchoMsg

__all__ = ["MESSAGE", "bare", "bare_echo", "ours"]

MESSAGE = EchoMsg(msg="m" * 98)
"""Message of all systems: 100 bytes encoded."""


def bare_echo(channel: grpc.aio.Channel) -> grpc.aio.UnaryUnaryMultiCallable[EchoMsg, EchoMsg]:
    """The unary method of `bench.roles.bare_echo`."""
    method: grpc.aio.UnaryUnaryMultiCallable[EchoMsg, EchoMsg] = channel.unary_unary(
        ECHO_METHOD,
        request_serializer=EchoMsg.SerializeToString,
        response_deserializer=EchoMsg.FromString,
    )
    return method


async def ours(given: dict[str, Any], orders: Orders) -> None:
    """A role: `client.request` to an actor on another peer."""
    async with Client(given["namespace"], etcd=given["etcd"]) as client:
        call = partial(client.request, "echo", MESSAGE, reply=EchoMsg)
        await drive_on_order(partial(closed_loop, call), orders)


async def bare(given: dict[str, Any], orders: Orders) -> None:
    """A role: the bare grpc.aio echo."""
    async with grpc.aio.insecure_channel(given["address"]) as channel:
        call = partial(bare_echo(channel), MESSAGE)
        await drive_on_order(partial(closed_loop, call), orders)
