"""xoscar: an actor in a pool of one process."""

from __future__ import annotations

import importlib
from functools import partial
from typing import Any

from bench.peers import PAYLOAD
from bench.running import closed_loop
from bench.talk import Orders, drive_on_order, say, until_closed
from grid.embedded.ports import free_ports

__all__ = ["drive", "serve"]

_UID = "echo"


async def serve(_: dict[str, Any], orders: Orders) -> None:
    """A role: the pool and its actor."""
    xoscar: Any = importlib.import_module("xoscar")
    address = f"127.0.0.1:{free_ports(1)[0]}"
    pool = await xoscar.create_actor_pool(address, n_process=0)
    echo = type("Echo", (xoscar.Actor,), {"echo": _echo})
    await xoscar.create_actor(echo, address=address, uid=_UID)
    say(address=address)
    await until_closed(orders)
    await pool.stop()


async def _echo(_: Any, data: bytes) -> bytes:
    return bytes(bytearray(data))


async def drive(given: dict[str, Any], orders: Orders) -> None:
    """A role: the callers."""
    xoscar: Any = importlib.import_module("xoscar")
    actor = await xoscar.actor_ref(_UID, address=given["address"])
    await drive_on_order(partial(closed_loop, partial(actor.echo, PAYLOAD)), orders)
