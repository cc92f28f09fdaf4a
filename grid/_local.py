"""Requests that stay in the process: no network, and one timer for all deadlines."""

from __future__ import annotations

import asyncio
import math
from typing import Any

from grid._answer import Answer, Reply
from grid.deadline import now
from grid.transport._deadlines import Deadlines
from grid.transport._stream_end import LocalPort, StreamEnd
from grid.transport.link import Overdue

__all__ = ["LocalCalls", "LocalStreamAnswer"]


class LocalCalls:
    """The requests of one event loop to its own mailboxes that wait for answers."""

    def __init__(self) -> None:
        self._open: dict[int, tuple[asyncio.Future[Reply], float, None]] = {}
        self._deadlines = Deadlines(self._open)
        self._next = 0
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = math.inf

    def begin(self, future: asyncio.Future[Reply], at: float) -> int:
        """Let a future fail with `Overdue` at a time; the number is for `end`."""
        number = self._next
        self._next = number + 1
        self._open[number] = (future, at, None)
        self._deadlines.add(number, at)
        if at < self._timer_at:
            self._schedule(at)
        return number

    def end(self, number: int) -> None:
        """A future is done."""
        self._open.pop(number, None)

    def close(self) -> None:
        """Let go of the timer."""
        if self._timer is not None:
            self._timer.cancel()

    def _schedule(self, at: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = at
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(max(0.0, at - now()), self._expire)

    def _expire(self) -> None:
        self._timer, self._timer_at = None, math.inf
        for number in self._deadlines.due(now()):
            future = self._open.pop(number)[0]
            if not future.done():
                future.set_exception(Overdue("overdue"))
        at = self._deadlines.next()
        if at < math.inf:
            self._schedule(at)


class LocalStreamAnswer(Answer):
    """The answer to a request for a stream inside the process."""

    __slots__ = ("_largest", "_opener")

    opens_stream = True

    def __init__(self, opener: StreamEnd, largest: int, at: float) -> None:
        super().__init__(at)
        self._opener = opener
        self._largest = largest

    def accept(self, stream: Any) -> bool:
        """See `Answer.accept`."""
        if self.done or self._opener.done():
            return False
        LocalPort.connect(self._opener, stream, self._largest)
        self._opener.accepted()
        stream.accepted()
        self._finish()
        return True

    def _send_error(self, error: Any) -> None:
        self._opener.set_exception(error)
