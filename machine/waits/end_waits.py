"""Waits for the end of a machine."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from weakref import WeakSet

from machine.waits.wait import Wait

__all__ = ["EndWaits"]


class EndWaits:
    """Waits for the end of a machine; those without references are forgotten."""

    def __init__(self) -> None:
        self._waits: WeakSet[Wait] = WeakSet()
        self._awaited: dict[asyncio.Future[None], Wait] = {}

    def enter(self) -> Wait:
        """Return a new wait."""
        wait = Wait("the end of the machine", None, self._awaited)
        self._waits.add(wait)
        return wait

    def __iter__(self) -> Iterator[Wait]:
        return iter(tuple(self._waits))
