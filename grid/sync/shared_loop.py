"""The event loop that all blocking clients of a process share."""

from __future__ import annotations

import asyncio
import threading

from grid.aio import Portal
from grid.forks import check_grpc, in_children

__all__ = ["shared_loop"]


class SharedLoop:
    """An event loop in a daemon thread, started when first needed."""

    def __init__(self) -> None:
        # Reentrant: a collection inside may run a `__del__` that makes a client.
        self._lock = threading.RLock()
        self._loop: asyncio.AbstractEventLoop | None = None

    def portal(self) -> Portal:
        """A new way into the loop."""
        check_grpc()
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                threading.Thread(
                    target=self._loop.run_forever, name="grid.sync", daemon=True
                ).start()
            return Portal(self._loop)

    def forget(self) -> None:
        """Make another loop when the next client is made: a forked child has no thread of it."""
        self.__init__()  # type: ignore[misc]


shared_loop: SharedLoop = SharedLoop()
in_children(shared_loop.forget)
