"""The event loop of all measured processes, and load on it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar

from bench.model import percentile

__all__ = ["Load", "closed_loop", "run"]

T = TypeVar("T")


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on uvloop where it exists, else on asyncio's loop."""
    try:
        import uvloop
    except ImportError:
        return asyncio.run(main)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(main)


@dataclass(frozen=True, slots=True)
class Load:
    """Rate and latencies that a number of callers saw.

    Attributes:
        rate: calls per second.
        p50: median latency in seconds.
        p99: of a hundred calls, the second slowest.
        calls: how many there were.
    """

    rate: float
    p50: float
    p99: float
    calls: int


async def closed_loop(call: Callable[[], Awaitable[object]], callers: int, seconds: float) -> Load:
    """Let a number of callers call, each one again as soon as it has its answer.

    Each calls once at least, also where the machine is so busy that the time is over before.
    """
    latencies: list[float] = []
    clock = time.perf_counter
    began = clock()
    end = began + seconds

    async def caller() -> None:
        at = clock()
        while True:
            await call()
            done = clock()
            latencies.append(done - at)
            if done >= end:
                return
            at = done

    async with asyncio.TaskGroup() as tasks:
        for _ in range(callers):
            tasks.create_task(caller())
    elapsed = clock() - began
    return Load(
        len(latencies) / elapsed,
        percentile(latencies, 50),
        percentile(latencies, 99),
        len(latencies),
    )
