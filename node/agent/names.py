"""The names of workers whose processes have ended: free at once, not when their leases end."""

from __future__ import annotations

import asyncio
import contextlib

from grid.errors import GridError
from grid.etcd import EtcdClient
from grid.registry.names import Kind, full_name
from node.names import process_peer

__all__ = ["Releases"]

_TIMEOUT = 5.0  # seconds to tell etcd


class Releases:
    """Releases of names that are under way.

    The lease of a worker's process is long, so that a job which holds up its event loop does not
    cost it its names: its agent watches over it, and knows when it has ended.
    """

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def release(self, etcd: EtcdClient, namespace: str, worker: str) -> None:
        """Free the names of a worker's process that has ended."""
        task = asyncio.create_task(
            _release(etcd, full_name(namespace, Kind.PEER, process_peer(worker))),
            name=f"release of {worker}",
        )
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def done(self, patience: float) -> None:
        """Wait for all of them, but not for longer than this; what is left then ends by itself."""
        if self._tasks:
            await asyncio.wait([*self._tasks], timeout=patience)
        for one in [*self._tasks]:
            one.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


async def _release(etcd: EtcdClient, key: str) -> None:
    with contextlib.suppress(GridError):  # they end with the lease
        found = await etcd.get(key, timeout=_TIMEOUT)
        if found is not None and found.lease:
            await etcd.revoke(found.lease, timeout=_TIMEOUT)
