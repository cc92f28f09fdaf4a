"""A worker in the process of its peer, without isolation: for tests, and for async jobs."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections import deque
from typing import Any

from grid.errors import GridError
from node.agent.handle import Handlers
from node.worker.definition import WorkerDefinition
from node.worker.serving import JobServer
from rpc.machines.server import Host

__all__ = ["TaskWorker"]

_log = logging.getLogger("node.worker")


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
        self.pid: int = os.getpid()
        self.log: deque[str] = deque()
        self._handlers = handlers
        self._beat = beat
        self._reason = "it ended"
        self._definition = definition
        self._host = host
        self._supervised = False
        self._jobs: JobServer | None = None
        self._stopping = asyncio.Event()
        self._living = asyncio.create_task(self._live(), name=f"worker {name}")

    def supervised(self, connected: bool) -> None:
        """Tell it whether there is a supervisor."""
        self._supervised = connected
        if self._jobs is not None:
            self._jobs.supervised(connected)

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
        try:
            jobs = self._jobs = JobServer(
                self._definition,
                self._host,
                self.name,
                lambda client: self._handlers.client(self, client),
                job_timeout=self._definition.settings.job_timeout,
                grace=self._definition.settings.grace,
                on_stuck=lambda reason: self._handlers.stuck(self, reason),
            )
            jobs.supervised(self._supervised)
            await self._serve(jobs)
        except Exception as error:  # noqa: BLE001 - whatever it was, the agent must know
            self._reason = f"{type(error).__name__}: {error}"
            if not isinstance(error, GridError):
                _log.exception("worker %s has failed", self.name)
        finally:
            self._handlers.exited(self, self._reason)

    async def _serve(self, jobs: JobServer) -> None:
        tasks: list[asyncio.Task[Any]] = []
        try:
            await jobs.start()
            self._handlers.ready(self)
            beating = asyncio.create_task(self._beats(jobs), name=f"worker {self.name} beats")
            stopping = asyncio.create_task(self._stopping.wait(), name=f"worker {self.name} stops")
            tasks = [beating, stopping]
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for one in done:
                one.result()
            await jobs.finish()
        finally:
            for one in tasks:
                one.cancel()
            with contextlib.suppress(GridError):
                await jobs.stop()

    async def _beats(self, jobs: JobServer) -> None:
        while True:
            jobs.check()
            told = {"busy": jobs.busy, "memory": 0, "jobs": jobs.jobs, "errors": jobs.errors}
            self._handlers.beat(self, told)
            await asyncio.sleep(self._beat)
