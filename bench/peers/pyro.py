"""Pyro5 with its fastest serializer: blocking callers, a thread and a connection each."""

from __future__ import annotations

import asyncio
import importlib
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from bench.model import percentile
from bench.peers import PAYLOAD
from bench.running import Load
from bench.talk import Orders, drive_on_order, say, until_closed

__all__ = ["drive", "serve"]

_MOST_CALLERS = 256
_SETTINGS = {"SERIALIZER": "marshal", "SERVERTYPE": "thread", "THREADPOOL_SIZE": _MOST_CALLERS}


class Echo:
    """The object that is called."""

    def echo(self, data: bytes) -> bytes:
        """The bytes, once more."""
        return bytes(bytearray(data))


async def serve(_: dict[str, Any], orders: Orders) -> None:
    """A role: the daemon, in a thread of its own."""
    pyro = _pyro()
    daemon = pyro.Daemon(host="127.0.0.1")
    uri = daemon.register(pyro.expose(Echo)())
    serving = threading.Thread(target=daemon.requestLoop, daemon=True)
    serving.start()
    say(uri=str(uri))
    await until_closed(orders)
    daemon.shutdown()


async def drive(given: dict[str, Any], orders: Orders) -> None:
    """A role: the callers."""
    pyro = _pyro()

    async def threads(callers: int, seconds: float) -> Load:
        return await asyncio.to_thread(_load, pyro, given["uri"], callers, seconds)

    await drive_on_order(threads, orders)


def _pyro() -> Any:
    for name, value in _SETTINGS.items():
        setattr(importlib.import_module("Pyro5").config, name, value)
    return importlib.import_module("Pyro5.api")


def _load(pyro: Any, uri: str, callers: int, seconds: float) -> Load:
    clock = time.perf_counter
    ready = threading.Barrier(callers)

    def caller(_: int) -> tuple[list[float], float, float]:
        latencies: list[float] = []
        with pyro.Proxy(uri) as proxy:
            proxy.echo(PAYLOAD)  # connects
            ready.wait()
            began = at = clock()
            while at < began + seconds:
                proxy.echo(PAYLOAD)
                done = clock()
                latencies.append(done - at)
                at = done
        return latencies, began, at

    with ThreadPoolExecutor(callers) as pool:
        seen = list(pool.map(caller, range(callers)))
    latencies = [latency for one, _, _ in seen for latency in one]
    elapsed = max(end for _, _, end in seen) - min(began for _, began, _ in seen)
    return Load(
        len(latencies) / elapsed,
        percentile(latencies, 50),
        percentile(latencies, 99),
        len(latencies),
    )
