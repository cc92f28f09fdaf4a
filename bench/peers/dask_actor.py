"""Dask: an actor on a worker, called directly, not by way of the scheduler."""

from __future__ import annotations

import importlib
import tempfile
from functools import partial
from typing import Any

from bench.peers import PAYLOAD
from bench.running import closed_loop
from bench.talk import Orders, drive_on_order, say, until_closed

__all__ = ["drive", "serve"]


async def serve(_: dict[str, Any], orders: Orders) -> None:
    """A role: a scheduler and its worker."""
    distributed = _distributed()
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        given = {"host": "127.0.0.1", "dashboard": False, "dashboard_address": "127.0.0.1:0"}
        async with (
            distributed.Scheduler(port=0, **given) as scheduler,
            distributed.Worker(scheduler.address, nthreads=1, local_directory=folder, **given),
        ):
            say(address=scheduler.address)
            await until_closed(orders)


def _distributed() -> Any:
    """Dask's module, silent about what it starts and stops."""
    importlib.import_module("dask").config.set({"logging.distributed": "error"})
    return importlib.import_module("distributed")


async def drive(given: dict[str, Any], orders: Orders) -> None:
    """A role: the callers."""
    distributed = _distributed()

    class Echo:  # local, so that it is sent by value
        async def echo(self, data: bytes) -> bytes:
            return bytes(bytearray(data))

    async with distributed.Client(
        given["address"], asynchronous=True, direct_to_workers=True
    ) as client:
        actor = await client.submit(Echo, actor=True)
        await drive_on_order(partial(closed_loop, partial(actor.echo, PAYLOAD)), orders)
        del actor
