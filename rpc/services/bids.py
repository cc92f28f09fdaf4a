"""The bids of one server whose outcome is still open; kept only where it is observed. Pure."""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterator

from rpc.services.observers import CallWatch

__all__ = ["OpenBids"]

_Key = tuple[str, int]  # the client's id, and its number of the bid


class OpenBids:
    """Bids that were neither granted nor lost yet, with the time until which they may be."""

    def __init__(self) -> None:
        self._open: dict[_Key, CallWatch] = {}
        self._until: list[tuple[float, _Key]] = []

    def __len__(self) -> int:
        return len(self._open)

    def add(self, client: str, number: int, watch: CallWatch, until: float) -> None:
        """Note a bid; `until` is its caller's deadline."""
        self._open[client, number] = watch
        heapq.heappush(self._until, (until, (client, number)))

    def take(self, client: str, number: int) -> CallWatch | None:
        """The bid of a number, which has its outcome now; None if there is none."""
        return self._open.pop((client, number), None)

    def overdue(self, now: float) -> Iterator[CallWatch]:
        """Take out the bids whose time is over."""
        while self._until and (self._until[0][0] <= now or self._until[0][1] not in self._open):
            watch = self._open.pop(heapq.heappop(self._until)[1], None)
            if watch is not None:
                yield watch

    def next(self) -> float:
        """The time to ask for overdue ones again; infinite if there are none."""
        return self._until[0][0] if self._until else math.inf
