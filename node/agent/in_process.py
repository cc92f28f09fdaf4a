"""A worker in the process of its peer, without isolation: for tests, and for async jobs."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections import deque

from grid.errors import GridError
from node.agent.handle import Handlers
from node.worker.definition import WorkerDefinition
from node.worker.serving import JobServer
from rpc.machines.server import Host

__all__ = ["TaskWorker"]


class TaskWorker:
    """A worker that is a task.

    Attributes:
        name: of the worker.
        pid: of this process.
        log: empty.
    """

    def __init__(
        self, name: str, definition: WorkerDefinition, host: Host, handlers: Handlers, beat: float
    ) -> None:
        self.name = name
        self.pid = os.getpid()
        self.log: deque[str] = deque()
        self._handlers = handlers
        self._beat = beat
        self._reason = "it ended"
        self._jobs = JobServer(definition, host, name, lambda client: handlers.client(self, client))
        self._stopping = asyncio.Event()
        self._living = asyncio.create_task(self._live(), name=f"worker {name}")

    def end(self) -> None:
        """Ask it to finish its job and to end."""
        self._stopping.set()

    def kill(self, reason: str) -> None:
        """End it at once; a thread goes on until its job returns."""
        self._reason = reason
        self._living.cancel()

    async def ended(self) -> None:
        """Return once it is gone."""
        await asyncio.wait([self._living])

    async def _live(self) -> None:
        jobs = self._jobs
        beating = None
        try:
            await jobs.start()
            self._handlers.ready(self)
            beating = asyncio.create_task(self._beats(), name=f"worker {self.name} beats")
            await self._stopping.wait()
            await jobs.finish()
        except GridError as error:
            self._reason = f"{type(error).__name__}: {error}"
        finally:
            if beating is not None:
                beating.cancel()
            with contextlib.suppress(GridError):
                await jobs.stop()
            self._handlers.exited(self, self._reason)

    async def _beats(self) -> None:
        jobs = self._jobs
        while True:
            told = {"busy": jobs.busy, "memory": 0, "jobs": jobs.jobs, "errors": jobs.errors}
            self._handlers.beat(self, told)
            await asyncio.sleep(self._beat)
