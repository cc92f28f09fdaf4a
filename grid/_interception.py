"""Running interceptors and filters: what both sides share."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Generic, TypeVar

from grid.errors import Filtered, InvalidArgument
from grid.interceptors import Filter, IncomingCall, Interceptor, OutgoingCall, Proceed

__all__ = ["Interception"]

C = TypeVar("C", OutgoingCall, IncomingCall)

_UNWIND = 2.0  # seconds for those that are cancelled


class Interception(Generic[C]):
    """Filters and interceptors, and the tasks they run in.

    Raises:
        InvalidArgument: one of them cannot be called.
    """

    def __init__(self, filters: Iterable[Filter[C]], interceptors: Iterable[Interceptor[C]]):
        self._filters = _checked("filters", filters)
        self._interceptors = _checked("interceptors", interceptors)
        self._tasks: set[asyncio.Task[Any]] = set()

    def __bool__(self) -> bool:
        return bool(self._filters or self._interceptors)

    @property
    def busy(self) -> bool:
        """True while a task is under way."""
        return bool(self._tasks)

    def _keep(self, task: asyncio.Task[Any]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def idle(self) -> None:
        """Wait until no task is under way."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def close(self, grace: float = 0.0) -> None:
        """Cancel the tasks that do not end within so many seconds."""
        if self._tasks and grace:
            await asyncio.wait(self._tasks, timeout=grace)
        for task in tuple(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=_UNWIND)

    async def _filter(self, call: C, side: str) -> None:
        for keep in self._filters:
            if not await keep(call):
                raise Filtered(call.name, side)

    def _chain(self, last: Proceed[C]) -> Proceed[C]:
        for one in reversed(self._interceptors):
            last = _around(one, last)
        return last


def _around(interceptor: Interceptor[C], proceed: Proceed[C]) -> Proceed[C]:
    def enter(call: C) -> Awaitable[Any]:
        return interceptor(call, proceed)

    return enter


def _checked(name: str, functions: Iterable[Callable[..., Any]]) -> tuple[Any, ...]:
    given = tuple(functions) if isinstance(functions, Iterable) else (functions,)
    if not isinstance(functions, Iterable) or not all(callable(one) for one in given):
        raise InvalidArgument(name, functions, "a list of async functions")
    return given
