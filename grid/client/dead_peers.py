"""Peers that cannot be reached: by when their names are free, for the errors of callers.

A peer that was killed has its names until its lease is over. What is sent to them before that is
sent again for about a second, and then fails; its caller is told how long to wait.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Coroutine

from grid.deadline import Deadline, now
from grid.errors import GridError, PeerUnreachable
from grid.registry.directory import Directory

__all__ = ["DeadPeers"]

_PATIENCE = 1.0  # seconds for etcd to tell the time of a lease
_CURRENT = 1.0  # seconds for which what it told is used again

_Asking = asyncio.Task[float | None]


class DeadPeers:
    """Explains the errors of peers that cannot be reached.

    Args:
        names: who has which name.
        launch: makes a task that ends with the client at the latest.
    """

    def __init__(
        self,
        names: Directory,
        launch: Callable[[Coroutine[None, None, float | None]], _Asking],
    ) -> None:
        self._names = names
        self._launch = launch
        self._asked: dict[int, tuple[float, _Asking]] = {}  # leases, when they were asked for

    async def explain(self, error: GridError, key: str, deadline: Deadline) -> GridError:
        """The error of a message to a full name, with the time of its owner's lease if it died."""
        owner = self._names.find(key)
        if not isinstance(error, PeerUnreachable) or owner is None or not owner.lease:
            return error
        if owner.address != error.address:
            return error  # it has another owner by now
        asking = self._ask(owner.lease)
        await asyncio.wait([asking], timeout=min(_PATIENCE, deadline.remaining()))
        ends_at = asking.result() if asking.done() and not asking.cancelled() else None
        if ends_at is None:
            return error
        left = max(1, math.ceil(ends_at - now()))
        return PeerUnreachable(
            error.address,
            f"{error.reason}; if it has died, its lease ends within {left} s and its names are "
            "free: send again after that, or with Retry(attempts=None), which tries until the "
            "timeout",
        )

    def _ask(self, lease: int) -> _Asking:
        # Many callers may wait for one peer, and etcd is not to bear all of them.
        at = now()
        self._asked = {
            one: (asked_at, asking)
            for one, (asked_at, asking) in self._asked.items()
            if at - asked_at < _CURRENT
        }
        if lease not in self._asked:
            self._asked[lease] = at, self._launch(self._ends_at(lease))
        return self._asked[lease][1]

    async def _ends_at(self, lease: int) -> float | None:
        try:
            left, _ = await self._names.etcd.lease_time(lease, timeout=_PATIENCE)
        except GridError:  # it is over; or etcd is away, and the error does without
            return None
        return now() + left
