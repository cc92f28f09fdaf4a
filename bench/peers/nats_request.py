"""NATS: `request` and `respond` of nats-py, with a nats-server in between."""

from __future__ import annotations

import importlib
from functools import partial
from typing import Any

from bench.brokers import broker
from bench.peers import PAYLOAD
from bench.running import closed_loop
from bench.talk import Orders, drive_on_order, say, until_closed

__all__ = ["drive", "serve"]

_SUBJECT = "echo"


async def serve(_: dict[str, Any], orders: Orders) -> None:
    """A role: the broker and a subscriber that responds."""
    nats: Any = importlib.import_module("nats")
    async with broker("nats") as port:
        connection = await nats.connect(f"nats://127.0.0.1:{port}")

        async def echo(message: Any) -> None:
            await message.respond(bytes(bytearray(message.data)))

        await connection.subscribe(_SUBJECT, cb=echo)
        await connection.flush()
        say(port=port)
        await until_closed(orders)
        await connection.close()


async def drive(given: dict[str, Any], orders: Orders) -> None:
    """A role: the callers."""
    nats: Any = importlib.import_module("nats")
    connection = await nats.connect(f"nats://127.0.0.1:{given['port']}")
    call = partial(connection.request, _SUBJECT, PAYLOAD, timeout=10)
    await drive_on_order(partial(closed_loop, call), orders)
    await connection.close()
