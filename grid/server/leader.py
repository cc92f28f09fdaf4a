"""The leader: one actor, on one of the peers that allow it.

The leader is the actor of type and name `leader`. The first peer to create its
key has it; there is no vote. Each willing peer watches the key and tries as soon
as it is gone, so a takeover waits for the old lease to end and for nothing
else. A peer whose own leader ended by itself holds back for a while, so that
another peer has the first try and a leader that fails at once does not spin.

A try that finds the key taken must wait for that owner's end, and the end may
have been seen before the answer to the try: so ends are remembered by epoch.
"""

from __future__ import annotations

import asyncio
import logging
import random

from grid.deadline import now
from grid.errors import AlreadyRegistered, EtcdError, GridError
from grid.etcd import EtcdClient, WatchBatch
from grid.server.actors import ActorRunner

__all__ = ["LEADER", "Backoff", "Vacancy", "lead"]

_log = logging.getLogger("grid.leader")

LEADER = "leader"

_REST = 1.0  # seconds between a watch that failed and the next


class Vacancy:
    """The state of the leader's key, free or held, as far as is known."""

    def __init__(self) -> None:
        self._free = asyncio.Event()
        self._ended = 0  # the largest epoch whose end was seen

    def seen(self, batch: WatchBatch) -> None:
        """Take note of what the watch tells."""
        for change in batch.changes:
            if change.previous is not None:
                self._ended = max(self._ended, change.previous.create_revision)
        held = any(change.current is not None for change in batch.changes[-1:])
        if held:
            self._free.clear()
        else:
            self._free.set()

    def taken(self, epoch: int) -> None:
        """A try found the key held under this epoch."""
        if epoch > self._ended:
            self._free.clear()

    async def wait(self) -> None:
        """Return once the key may be free."""
        await self._free.wait()


class Backoff:
    """Pause in seconds after the peer's own leader ended."""

    def __init__(self, first: float = 1.0, most: float = 30.0, steady: float = 60.0) -> None:
        self._first = first
        self._most = most
        self._steady = steady
        self._next = first

    def after(self, ran: float) -> float:
        """The pause after a leader that ran for `ran` seconds; doubles while they are few."""
        if ran >= self._steady:
            self._next = self._first
        pause = self._next
        self._next = min(self._most, 2 * pause)
        return pause


async def lead(etcd: EtcdClient, key: str, runner: ActorRunner, type: str = LEADER) -> None:  # noqa: A002
    """Compete for a key until cancelled: the leader's, or that of another type of one actor.

    Args:
        etcd: where the key is watched.
        key: the full name of the actor, whose name is its type.
        runner: starts it.
        type: its type.
    """
    vacancy = Vacancy()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(_watch(etcd, key, vacancy))
        tasks.create_task(_compete(key, runner, vacancy, type))


async def _watch(etcd: EtcdClient, key: str, vacancy: Vacancy) -> None:
    while True:
        try:
            async with etcd.watch(key, exact=True) as watch:
                async for batch in watch:
                    vacancy.seen(batch)
        except EtcdError as error:
            _log.warning("%s cannot be watched: %s", key, error)
        await asyncio.sleep(_REST)


async def _compete(key: str, runner: ActorRunner, vacancy: Vacancy, type: str) -> None:  # noqa: A002
    backoff = Backoff()
    while True:
        await vacancy.wait()
        await runner.wait_defined(type)
        began = now()
        try:
            life = await runner.start(type, type, b"")
            _log.info("this peer has the %s", type)
            await asyncio.shield(life)
        except GridError as error:
            if isinstance(error, AlreadyRegistered) and error.key == key:
                vacancy.taken(error.epoch)
                continue
            # Its mailbox's name may be taken while its own is free.
            _log.warning("the %s did not start: %s", type, error)
        await asyncio.sleep(backoff.after(now() - began) * random.uniform(0.9, 1.1))
