"""Ray: the best of three ways to call an actor on another process.

Awaiting an async actor, awaiting a plain one, and `ray.get` of as many answers
as there are callers.
"""

from __future__ import annotations

import importlib
import logging
import os
import secrets
import tempfile
import time
from functools import partial
from typing import Any

from bench.model import percentile
from bench.peers import PAYLOAD
from bench.running import Load, closed_loop
from bench.talk import Orders, drive_on_order, say, until_closed

__all__ = ["drive", "serve"]

_STORE = 100 * 1024 * 1024


async def serve(_: dict[str, Any], orders: Orders) -> None:
    """A role: nothing; Ray's processes are started by the one that drives."""
    say(ready=True)
    await until_closed(orders)


def _define(ray: Any, kind: str) -> Any:
    class Plain:  # local, so that it is sent by value
        def echo(self, data: bytes) -> bytes:
            return bytes(bytearray(data))

    class Async:
        async def echo(self, data: bytes) -> bytes:
            return bytes(bytearray(data))

    remote = ray.remote(Plain if kind == "plain" else Async)
    return remote.options(num_cpus=0).remote()


async def drive(_: dict[str, Any], orders: Orders) -> None:
    """A role: the callers, with Ray's own processes and the two actors' below it."""
    # Else Ray leaves a token in the home folder, or goes without.
    os.environ.update(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=secrets.token_hex(32))
    ray: Any = importlib.import_module("ray")
    with tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as folder:
        ray.init(
            num_cpus=2,
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.ERROR,
            object_store_memory=_STORE,
            _temp_dir=folder,
        )
        try:
            await _drive(ray, orders)
        finally:
            ray.shutdown()


async def _drive(ray: Any, orders: Orders) -> None:
    actors = [_define(ray, kind) for kind in ("plain", "async")]
    calls = [partial(actor.echo.remote, PAYLOAD) for actor in actors]

    async def best(callers: int, seconds: float) -> Load:
        loads = [await closed_loop(call, callers, seconds) for call in calls]
        loads.append(_windows(ray.get, calls[0], callers, seconds))
        return max(loads, key=lambda load: load.rate)

    await drive_on_order(best, orders)


def _windows(get: Any, call: Any, callers: int, seconds: float) -> Load:
    """As many calls at once as there are callers, then all their answers, and again."""
    latencies: list[float] = []
    clock = time.perf_counter
    began = at = clock()
    while at < began + seconds:
        get([call() for _ in range(callers)])
        done = clock()
        latencies += [done - at] * callers
        at = done
    rate = len(latencies) / (at - began)
    return Load(rate, percentile(latencies, 50), percentile(latencies, 99), len(latencies))
