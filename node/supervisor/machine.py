"""The machine of a pool: it follows what its policy knows, and is served under a name.

The policy decides; the machine shows what it came to, in states that users wait for.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass

from grid.errors import AlreadyRegistered, GridError
from machine.core.machine import Machine
from machine.core.transition import Event
from node.errors import PoolError
from node.events import tell, tell_error
from node.names import pool_machine
from node.supervisor.states import PoolStates
from rpc.machines.access import Access
from rpc.machines.server import Host, Server

__all__ = ["Facts", "PoolMachine", "serve"]

_log = logging.getLogger("node.supervisor")

_PAUSE = 0.5  # seconds until a name is tried again that a former supervisor still has


@dataclass(frozen=True, slots=True)
class Facts:
    """Numbers of a pool at one moment.

    Attributes:
        least: workers that must be ready for the pool to be ready.
        size: workers that it wants.
        live, ready, free: workers that it has, that can serve, and that may be granted.
        trouble: why it does not get what it wants; "" if it does, or will.
    """

    least: int = 0
    size: int = 0
    live: int = 0
    ready: int = 0
    free: int = 0
    trouble: str = ""


class PoolMachine(Machine[PoolStates], schema=PoolStates):
    """The machine of one pool.

    Args:
        kind: of its workers.
        knows: true if there is a worker of that name, whose agent is connected.
        kill: ends a worker at once.
    """

    def __init__(
        self, kind: str, knows: Callable[[str], bool], kill: Callable[[str], object]
    ) -> None:
        super().__init__(id=pool_machine(kind))
        self._knows = knows
        self._kill = kill
        self._facts = Facts()
        self._killing: set[str] = set()
        self.add("Start")

    def follow(self, facts: Facts) -> None:
        """Bring the states in line with what is known."""
        before, self._facts = self._facts, facts
        if facts == before:
            return
        self._turn("PoolReady", facts.ready >= facts.least)
        self._turn("WorkersAvailable", facts.free > 0)
        if facts.trouble != before.trouble:
            self.remove("ErrPool", "Exception")
            if facts.trouble:
                self.add_err_state("ErrPool", PoolError(facts.trouble))
        normal = facts.live == facts.ready == facts.size and not facts.trouble
        self._turn("PoolNormalized" if normal else "NormalizingPool", active=True)

    def _turn(self, name: str, active: bool) -> None:
        if active and self.not_(name):
            self.add(name)
        elif not active and self.is_(name):
            self.remove(name)

    # -- workers -----------------------------------------------------------------------------

    def gone(self, worker: str, reason: str, failed: bool) -> None:
        """Note the end of a worker."""
        tell(self, "WorkerGone", worker=worker, reason=reason)
        if worker in self._killing:
            self._killing.discard(worker)
            tell(self, "WorkerKilled", worker=worker)
            if not self._killing:
                self.remove("KillingWorker")
        elif failed:
            tell_error(self, "ErrWorker", PoolError(f"worker {worker!r}: {reason}"))

    def PoolReadyEnter(self) -> bool:  # noqa: N802
        """There are enough workers."""
        return self._facts.ready >= self._facts.least

    def KillWorkerEnter(self, event: Event) -> bool:  # noqa: N802
        """There is such a worker."""
        worker = event.args.get("worker")
        return isinstance(worker, str) and self._knows(worker)

    def KillWorkerState(self, event: Event) -> None:  # noqa: N802
        """Have it ended."""
        worker = str(event.args.get("worker"))
        self._killing.add(worker)
        self._kill(worker)
        self.add("KillingWorker")
        self.remove("KillWorker")


async def serve(machine: PoolMachine, host: Host) -> None:
    """Serve the machine of a pool until the task is cancelled, and dispose of it then.

    It waits for its name as long as a former supervisor has it, and for etcd.
    """
    server = Server(machine, host, access=Access(mutate={"KillWorker"}))
    try:
        while True:
            if await _started(server):
                break
            await asyncio.sleep(_PAUSE)
        await asyncio.Event().wait()
    finally:
        machine.dispose()
        await machine.join()
        await server.stop()


async def _started(server: Server) -> bool:
    try:
        await server.start()
    except AlreadyRegistered:
        return False
    except GridError as error:
        _log.warning("the machine %s is not served yet: %s", server.name, error)
        return False
    return True
