"""Reasons for which workers were lost, as the supervisor tells their clients."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque

__all__ = ["Losses"]

_PATIENCE = 1.0  # seconds for a reason to come, after a link has ended
_KEPT = 100  # reasons of workers that were not asked for yet


class Losses:
    """Reasons of lost workers.

    The link to a worker that dies ends before its agent knows why, and the supervisor tells it
    to the client a moment later.

    Args:
        patience: seconds for a reason to come.
    """

    def __init__(self, patience: float = _PATIENCE) -> None:
        self._patience = patience
        self._reasons: dict[str, str] = {}
        self._asked: dict[str, asyncio.Future[str]] = {}
        self._seen: deque[str] = deque(maxlen=_KEPT)

    def __len__(self) -> int:
        return len(self._reasons)

    def told(self, worker: str, reason: str) -> None:
        """Note the reason of a worker."""
        self._reasons[worker] = reason
        while len(self._reasons) > _KEPT:
            del self._reasons[next(iter(self._reasons))]
        asked = self._asked.pop(worker, None)
        if asked is not None and not asked.done():
            asked.set_result(reason)

    def is_first(self, worker: str) -> bool:
        """True for a worker whose loss was not seen before; its link and the supervisor tell it."""
        if worker in self._seen:
            return False
        self._seen.append(worker)
        return True

    async def reason(self, worker: str) -> str:
        """The reason of a worker; "" if none comes in time."""
        if worker in self._reasons:
            return self._reasons[worker]
        asked = self._asked.setdefault(worker, asyncio.get_running_loop().create_future())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._patience):
                return await asyncio.shield(asked)
        if self._asked.get(worker) is asked:
            del self._asked[worker]
        return ""
