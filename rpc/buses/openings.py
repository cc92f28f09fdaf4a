"""Parts of a bus that are opened once for all calls that need them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Hashable
from typing import Any, Generic, TypeVar

from rpc.buses.bus import BusClosed

__all__ = ["Openings"]

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")


class Openings(Generic[K, T]):
    """Parts by key, each opened by a task of its own that the calls wait for.

    A call that is cancelled leaves the opening to the others. One that failed is tried again by
    the next call.

    Args:
        bus: the kind of the bus, for errors.
    """

    def __init__(self, bus: str) -> None:
        self._bus = bus
        self._tasks: dict[K, asyncio.Task[T]] = {}
        self._closed = False

    def opened(self, key: K) -> T | None:
        """A part that is open; None if it is not."""
        task = self._tasks.get(key)
        if task is None or not task.done() or _failed(task):
            return None
        return task.result()

    async def get(self, key: K, open_: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """A part, opened now if it is not open.

        Raises:
            BusClosed: the openings were closed, before or meanwhile.
        """
        if self._closed:
            raise BusClosed(self._bus)
        task = self._tasks.get(key)
        if task is None or (task.done() and _failed(task)):
            task = asyncio.create_task(open_(), name=f"{self._bus}: opening of {key}")
            self._tasks[key] = task
        await asyncio.wait([task])
        if task.cancelled():
            raise BusClosed(self._bus)
        return task.result()

    def forget(self, key: K) -> None:
        """Forget a part that is open, and was lost; the next call opens it again."""
        self._tasks.pop(key, None)

    async def drop(self, key: K) -> None:
        """Forget a part that no call waits for; its opening is cancelled."""
        task = self._tasks.pop(key, None)
        if task is not None:
            await _end(task)

    async def close(self) -> list[T]:
        """Fail the calls that wait with `BusClosed`; the parts that are open."""
        self._closed = True
        tasks = tuple(self._tasks.values())
        self._tasks.clear()
        await _end(*tasks)
        return [task.result() for task in tasks if not _failed(task)]


async def _end(*tasks: asyncio.Task[Any]) -> None:
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks)


def _failed(task: asyncio.Task[Any]) -> bool:
    return task.cancelled() or task.exception() is not None
