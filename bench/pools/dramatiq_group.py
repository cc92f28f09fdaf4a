"""dramatiq over Redis: a group of messages, and their results."""

from __future__ import annotations

import asyncio
import importlib
import os
import sys
from typing import Any

from bench.brokers import broker
from bench.pools import run_on_order
from bench.talk import Orders

__all__ = ["run"]

_TIMEOUT = 60_000  # milliseconds for the results


async def run(given: dict[str, Any], orders: Orders) -> None:
    """A role: the caller, Redis, and the worker processes of one thread each."""
    async with broker("redis") as port:
        os.environ["BENCH_REDIS"] = f"redis://127.0.0.1:{port}"
        workers = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "dramatiq", "bench.pools.dramatiq_actor"),
            *("--processes", str(given["workers"]), "--threads", "1"),
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        try:
            await run_on_order(_run, orders)
        finally:
            workers.terminate()
            await workers.wait()


def _run(jobs: int) -> list[int]:
    module: Any = importlib.import_module("bench.pools.dramatiq_actor")
    sent = module.group([module.actor.message(number) for number in range(jobs)]).run()
    return list(sent.get_results(block=True, timeout=_TIMEOUT))
