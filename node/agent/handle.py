"""The interface of workers to their agent, whatever they run in."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any, Protocol

__all__ = ["Handlers", "WorkerHandle"]


class WorkerHandle(Protocol):
    """A worker, seen from its agent."""

    name: str
    pid: int
    log: deque[str]

    def supervised(self, connected: bool) -> None:
        """Tell it whether there is a supervisor."""

    def end(self) -> None:
        """Ask it to finish its job and to end."""

    def kill(self, reason: str) -> None:
        """End it at once."""

    async def ended(self) -> None:
        """Return once it is gone."""


class Handlers(Protocol):
    """Calls of a worker to its agent."""

    def forked(self, worker: WorkerHandle) -> None:
        """Its process is there."""

    def ready(self, worker: WorkerHandle) -> None:
        """It can serve."""

    def client(self, worker: WorkerHandle, client: str) -> None:
        """It serves this client from now on; "" for none."""

    def beat(self, worker: WorkerHandle, what: Mapping[str, Any]) -> None:
        """A sign of life: `busy` seconds, `memory` in bytes, number of `jobs` and `errors`."""

    def stuck(self, worker: WorkerHandle, reason: str) -> None:
        """It must be ended: a job goes on after its client has left or cancelled it."""

    def printed(self, worker: WorkerHandle, line: str) -> None:
        """A line of its output."""

    def exited(self, worker: WorkerHandle, reason: str) -> None:
        """It has ended."""
