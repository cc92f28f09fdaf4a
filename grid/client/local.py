"""Requests and streams inside the process; one timer serves all deadlines."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping
from typing import Any
from weakref import WeakSet

from grid.client.pending import CLIENT_CLOSED
from grid.deadline import now
from grid.errors import GridError, OutcomeUnknown
from grid.mailbox.dispatcher import Dispatcher, State
from grid.transport.answer import Answer, Reply
from grid.transport.deadlines import Deadlines
from grid.transport.link import Overdue
from grid.transport.stream_end import StreamEnd
from grid.transport.stream_ports import LocalPort

__all__ = ["LocalCalls", "LocalLink", "LocalStreamAnswer"]


class LocalCalls:
    """The requests of one client to mailboxes of its own event loop.

    Attributes:
        table: the answers that are to come, by number.
    """

    def __init__(self) -> None:
        self.table: dict[int, tuple[_LocalAnswer, float, None]] = {}
        self._deadlines = Deadlines(self.table)
        self._next = 0
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = math.inf
        self._links: dict[Dispatcher, LocalLink] = {}
        self._streams: WeakSet[StreamEnd] = WeakSet()

    def link(self, here: Dispatcher) -> LocalLink:
        """The way to a peer of this loop."""
        found = self._links.get(here)
        if found is None:
            self.forget_stopped()
            found = self._links[here] = LocalLink(self, here)
        return found

    def forget_stopped(self) -> None:
        """Let go of peers of this loop that have stopped."""
        self._links = {
            here: link for here, link in self._links.items() if here.state is not State.STOPPED
        }

    def open(self, answer: _LocalAnswer) -> int:
        """Watch over the deadline of an answer; its number."""
        number = self._next
        self._next = number + 1
        at = answer.at
        self.table[number] = (answer, at, None)
        self._deadlines.add(number, at)
        if at < self._timer_at:
            self._schedule(at)
        return number

    def cancel(self, number: int) -> bool:
        """Give up an answer; False if it is there."""
        entry = self.table.get(number)
        if entry is None:
            return False
        entry[0].cancel()
        return True

    def add_stream(self, stream: StreamEnd) -> None:
        """Take note of a stream, which ends with the client."""
        self._streams.add(stream)

    def close(self) -> None:
        """End all requests and streams, as the end of a session does, and let go of the timer."""
        if self._timer is not None:
            self._timer.cancel()
        for answer, _, _ in tuple(self.table.values()):
            answer.cut(OutcomeUnknown(CLIENT_CLOSED))
        for stream in tuple(self._streams):
            if stream.opened.done():
                stream.close(OutcomeUnknown(CLIENT_CLOSED))
            else:
                stream.set_exception(OutcomeUnknown(CLIENT_CLOSED))

    def _schedule(self, at: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = at
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(max(0.0, at - now()), self._expire)

    def _expire(self) -> None:
        self._timer, self._timer_at = None, math.inf
        overdue = [self.table[number][0] for number in self._deadlines.due(now())]
        for answer in overdue:  # of which one may answer others
            answer.expire()
        at = self._deadlines.next()
        if at < math.inf:
            self._schedule(at)


class LocalLink:
    """The way to a peer of this event loop, as `Link` is to one of another process."""

    __slots__ = ("_calls", "_here")

    def __init__(self, calls: LocalCalls, here: Dispatcher) -> None:
        self._calls = calls
        self._here = here

    def request(
        self,
        receiver: str,
        epoch: int,
        type_name: str,
        data: bytes,
        metadata: Mapping[str, str] | None,
        at: float,
        milliseconds: int = 0,
        again: bool = False,
    ) -> tuple[asyncio.Future[Reply], int]:
        """See `Link.request`."""
        future: asyncio.Future[Reply] = self._here.loop.create_future()
        return future, self.send(future, receiver, epoch, type_name, data, metadata, at)

    def send(
        self,
        token: asyncio.Future[Any],
        receiver: str,
        epoch: int,
        type_name: str,
        data: bytes,
        metadata: Mapping[str, str] | None,
        at: float,
        milliseconds: int = 0,
        again: bool = False,
    ) -> int:
        """See `Link.send`; there is nothing to resend here."""
        answer = _LocalAnswer(self._calls, self._here, token, at)
        if metadata:
            metadata = dict(metadata)  # the receiver's own, as it is over a wire
        self._here.accept(receiver, epoch, type_name, data, metadata, answer)
        return answer.number

    def cancel(self, number: int) -> bool:
        """Give up a request; False if it is over."""
        return self._calls.cancel(number)


class _LocalAnswer(Answer):
    """The answer to a request inside the process: it leaves the table when it is there."""

    __slots__ = ("_future", "_here", "_table", "number")

    def __init__(
        self, calls: LocalCalls, here: Dispatcher, future: asyncio.Future[Reply], at: float
    ) -> None:
        super().__init__(at)
        self._here = here
        self._future = future
        self._table = calls.table
        self.number: int = calls.open(self)

    def expire(self) -> None:
        """The caller's time is over."""
        self.cut(Overdue("overdue"))

    def cut(self, error: GridError) -> None:
        """Give the caller an error; the receiver sees it leave."""
        self.cancel()
        if not self._future.done():
            self._future.set_exception(error)

    def cancel(self) -> None:
        """See `Answer.cancel`."""
        super().cancel()
        self._table.pop(self.number, None)

    def _send(self, name: str, data: bytes) -> None:
        self._table.pop(self.number, None)
        if self._future.done():
            return
        if self._here.may_answer():
            self._future.set_result((name, data))
        else:
            self._future.set_exception(self._here.late())

    def _send_error(self, error: GridError) -> None:
        self._table.pop(self.number, None)
        if not self._future.done():
            self._future.set_exception(error)


class LocalStreamAnswer(Answer):
    """The answer to a request for a stream inside the process."""

    __slots__ = ("_here", "_largest", "_opener")

    opens_stream = True

    def __init__(self, here: Dispatcher, opener: StreamEnd, largest: int, at: float) -> None:
        super().__init__(at)
        self._here = here
        self._opener = opener
        self._largest = largest

    def accept(self, stream: Any) -> bool:
        """See `Answer.accept`."""
        if not self._here.may_answer():
            self.reject(self._here.late())
        if self.done or self._opener.done():
            return False
        LocalPort.connect(self._opener, stream, self._largest, self._here)
        self._opener.accepted()
        stream.accepted()
        self._finish()
        return True

    def _send_error(self, error: Any) -> None:
        self._opener.set_exception(error)
