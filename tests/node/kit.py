"""Pools for the tests."""

from __future__ import annotations

import asyncio
from typing import Any

import grid
import node
from grid.client.client import Client as GridClient
from grid.testing import wait_until
from node.names import SUPERVISOR
from node.pool_pb2 import PoolsQuery, PoolsStatus, PoolStatus, WorkerReport
from tests.node import jobs

__all__ = ["LONG", "offer", "status", "until_free", "until_ready", "workers_of"]

LONG = 30.0  # seconds for what takes less than one on an idle machine


def offer(server: grid.Server, *kinds: str, **settings: Any) -> None:
    """Have a peer offer kinds of `jobs`."""
    given = {"min": 1, "max": 4, "warm": 0, "grace": 2.0, "rest": 0.2, "spare": 0, **settings}
    for kind in kinds:
        target = getattr(jobs, kind, None) or getattr(jobs, kind.capitalize())
        node.worker(server, kind, **given)(target)


async def status(client: GridClient, kind: str) -> PoolStatus:
    """The state of a pool; an empty one if the supervisor does not know it."""
    try:
        told = await client.request(SUPERVISOR, PoolsQuery(kind=kind), reply=PoolsStatus)
    except grid.GridError:
        return PoolStatus()
    return told.pools[0] if told.pools else PoolStatus()


async def until_ready(client: GridClient, kind: str, count: int) -> PoolStatus:
    """Wait until a pool has this many workers that can serve, and no other."""

    found = PoolStatus()

    async def ready() -> bool:
        nonlocal found
        found = await status(client, kind)
        return found.ready == count == len(workers_of(found))

    await wait_until(ready, f"{count} workers of {kind!r}", timeout=LONG)
    return found


async def until_free(client: GridClient, kind: str) -> None:
    """Wait until no worker serves, no claim waits, and no task of a run is left."""

    async def free() -> bool:
        found = await status(client, kind)
        names = {one.get_name() for one in asyncio.all_tasks()}
        busy = any(one.startswith(("map ", "link to")) for one in names)
        return found.ready > 0 and not (found.serving or found.waiting or busy)

    await wait_until(free, f"all workers of {kind!r} to be free", timeout=LONG)


def workers_of(found: PoolStatus) -> dict[str, WorkerReport]:
    """All workers of a pool, by name."""
    return {one.name: one for agent in found.agents for one in agent.workers}
