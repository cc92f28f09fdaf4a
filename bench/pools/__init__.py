"""Other systems that run many small jobs on processes, each by its own best means, beside pools.

A module for each one, with a role `run`: it starts what it needs, and runs as many jobs as it is
told to. All run the same function.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from bench.peers import Peer
from bench.talk import Orders, say

__all__ = ["POOLS", "run_on_order", "small"]


def small(number: int) -> int:
    """Nearly nothing."""
    return number + 1


POOLS = (
    Peer(name="Ray tasks", module="ray_tasks", imports="ray", get="pip install ray"),
    Peer(
        name="Dask distributed, map",
        module="dask_map",
        imports="distributed",
        get="pip install distributed",
    ),
    Peer(
        name="dramatiq over Redis",
        module="dramatiq_group",
        imports="dramatiq",
        command="redis-server",
        get="pip install 'dramatiq[redis]', and the redis-server package of your system",
    ),
)


async def run_on_order(run: Callable[[int], list[int]], orders: Orders) -> None:
    """Run some jobs, say that the process is ready, then run as many as an order says."""
    await asyncio.to_thread(_seconds, run, 100)
    say(ready=True)
    async for order in orders:
        say(seconds=await asyncio.to_thread(_seconds, run, int(order)))


def _seconds(run: Callable[[int], list[int]], jobs: int) -> float:
    began = time.perf_counter()
    results = run(jobs)
    elapsed = time.perf_counter() - began
    if results != list(range(1, jobs + 1)):
        raise RuntimeError("the jobs were not done")
    return elapsed
