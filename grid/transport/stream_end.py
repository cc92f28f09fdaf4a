"""One end of a stream: its unread items, its waiting tasks, and its end.

The session (or, inside one process, the other end) reports what comes; its
owner sends and receives. Unread items are bounded by the credit that was
granted, and more is granted only as the owner reads.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Protocol

from grid.errors import GridError, OutcomeUnknown, StreamClosed
from grid.transport._flow import Flow
from grid.transport.answer import Reply
from grid.transport.failures import decode_failure, encode_failure
from grid.transport.protocol import Session
from grid.transport.request_handler import RequestHandler

__all__ = ["LocalPort", "SessionPort", "StreamEnd", "StreamPort"]

_LOCAL_CREDIT = 256


class StreamPort(Protocol):
    """The way from one end of a stream to the other."""

    @property
    def largest(self) -> int:
        """Bytes of the largest item that may be sent."""

    def credit(self) -> int:
        """Bytes that may be sent; an item may go while it is above 0."""

    def send(self, name: str, data: bytes) -> None:
        """Send an item."""

    def consumed(self, size: int) -> None:
        """Note that an item of `size` bytes was read."""

    def end_sending(self) -> None:
        """No more items."""

    def end(self, error: GridError | None) -> None:
        """The stream is over, for both."""


class SessionPort:
    """A stream over a session."""

    __slots__ = ("_exchange", "_session")

    def __init__(self, session: Session, exchange: int) -> None:
        self._session = session
        self._exchange = exchange

    @property
    def largest(self) -> int:
        """See `StreamPort`."""
        return self._session.largest

    def credit(self) -> int:
        """See `StreamPort`."""
        return self._session.credit(self._exchange)

    def send(self, name: str, data: bytes) -> None:
        """See `StreamPort`."""
        self._session.send_item(self._exchange, name, data)

    def consumed(self, size: int) -> None:
        """See `StreamPort`."""
        self._session.consumed(self._exchange, size)

    def end_sending(self) -> None:
        """See `StreamPort`."""
        self._session.end_sending(self._exchange)

    def end(self, error: GridError | None) -> None:
        """See `StreamPort`."""
        if not self._session.cancel(self._exchange):
            failure = None if error is None else encode_failure(error)
            self._session.end_stream(self._exchange, failure)


class LocalPort:
    """A stream inside one process. Its items ask the peer's lease as those of a session do."""

    __slots__ = ("_far", "_flow", "_peer", "largest", "other")

    def __init__(self, far: StreamEnd, largest: int, peer: RequestHandler) -> None:
        self._far = far
        self._peer = peer
        self._flow = Flow(None, _LOCAL_CREDIT, _LOCAL_CREDIT)
        self.largest = largest
        self.other: LocalPort | None = None

    @classmethod
    def connect(cls, one: StreamEnd, two: StreamEnd, largest: int, peer: RequestHandler) -> None:
        """Make two ends the ends of one stream.

        Args:
            one: an end.
            two: the other end.
            largest: bytes of the largest item.
            peer: the peer that has the mailbox; its lease must hold for each item.
        """
        there, back = cls(two, largest, peer), cls(one, largest, peer)
        there.other, back.other = back, there
        one.bind(there)
        two.bind(back)

    def credit(self) -> int:
        """See `StreamPort`."""
        return self._flow.credit

    def send(self, name: str, data: bytes) -> None:
        """See `StreamPort`."""
        if self._peer.may_answer():
            self._flow.sent(len(data))
            self._far.put(name, data)
        elif self.other is not None:
            late = self._peer.late()
            self.end(late)
            self.other.end(late)

    def consumed(self, size: int) -> None:
        """See `StreamPort`."""
        total = self._flow.consumed(size)
        if total and self.other is not None and self.other._flow.granted(total):
            self._far.credited()

    def end_sending(self) -> None:
        """See `StreamPort`."""
        self._far.ended(whole=False, error=None)

    def end(self, error: GridError | None) -> None:
        """See `StreamPort`."""
        # As over a session: an error of its own, without this side's traceback.
        theirs = None if error is None else decode_failure(encode_failure(error))
        self._far.ended(whole=True, error=theirs)


class StreamEnd:
    """One end of a stream. The other end's doings come in through the methods up to `cut`.

    Attributes:
        opened: done when the other side has accepted the stream, or refused it.
    """

    __slots__ = (
        "__weakref__",
        "_error",
        "_items",
        "_port",
        "_readers",
        "_receiving",
        "_senders",
        "_sending",
        "opened",
    )

    def __init__(self) -> None:
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._items: deque[Reply] = deque()
        self._port: StreamPort | None = None
        self._error: GridError | None = None
        self._sending = True
        self._receiving = True
        self._readers: list[asyncio.Future[None]] = []
        self._senders: list[asyncio.Future[None]] = []

    @property
    def over(self) -> bool:
        """True once neither direction goes on."""
        return not (self._sending or self._receiving)

    # -- events of the other side ------------------------------------------------

    def bind(self, port: StreamPort) -> None:
        """The way to the other side."""
        self._port = port

    def accepted(self) -> None:
        """The other side has taken the stream."""
        if not self.opened.done():
            self.opened.set_result(None)

    def put(self, name: str, data: bytes) -> None:
        """An item came."""
        if self._receiving:
            self._items.append((name, data))
            if self._readers:
                _wake(self._readers)

    def credited(self) -> None:
        """Sending may go on."""
        _wake(self._senders)

    def ended(self, whole: bool, error: GridError | None) -> None:
        """The other side ended its direction, or the whole."""
        self._receiving = False
        if whole:
            self._sending = False
            self._error = error
        _wake(self._readers)
        _wake(self._senders)

    def done(self) -> bool:
        """True if nothing more can come of it."""
        return self.over or self.opened.cancelled()

    def set_result(self, _: Reply) -> None:
        """It was answered like a request, which opens no stream."""
        self.set_exception(OutcomeUnknown("the request for a stream was answered with a message"))

    def set_exception(self, error: GridError) -> None:
        """It was refused, or is cut."""
        if not self.opened.done():
            self.opened.set_exception(error)
        self.ended(whole=True, error=error)

    # -- calls of its owner --------------------------------------------------------------

    async def send(self, name: str, data: bytes) -> None:
        """Send an item; waits while the other side has not read enough.

        Raises:
            StreamClosed: the stream is over, or this side said it had finished.
            GridError: the reason for which it is over.
        """
        while True:
            port = self._check_sending()
            if port.credit() > 0:
                port.send(name, data)
                return
            await _woken(self._senders)

    async def receive(self) -> Reply | None:
        """The next item; None at the normal end.

        Raises:
            GridError: the reason for which the stream ended, after its last item.
        """
        while not self._items:
            if not self._receiving:
                if self._error is not None:
                    raise self._error
                return None
            await _woken(self._readers)
        item = self._items.popleft()
        if self._port is not None:
            self._port.consumed(len(item[1]))
        return item

    def largest(self) -> int:
        """Bytes of the largest item that may be sent. Raises as `send` does."""
        return self._check_sending().largest

    def finish(self) -> None:
        """Send nothing more; the other side may still send."""
        if self._sending and self._port is not None:
            self._sending = False
            self._port.end_sending()

    def close(self, error: GridError | None) -> None:
        """End the stream for both sides, after all items that were sent. Idempotent."""
        if self.over:
            return
        if self._port is not None:
            self._port.end(error)
        self._items.clear()
        if not self.opened.done():
            self.opened.cancel()
        self.ended(whole=True, error=error)

    def _check_sending(self) -> StreamPort:
        if self._sending and self._port is not None:
            return self._port
        raise self._error or StreamClosed()


async def _woken(waiting: list[asyncio.Future[None]]) -> None:
    waiter = asyncio.get_running_loop().create_future()
    waiting.append(waiter)
    try:
        await waiter
    except asyncio.CancelledError:
        if waiter in waiting:
            waiting.remove(waiter)
        raise


def _wake(waiting: list[asyncio.Future[None]]) -> None:
    for waiter in waiting:
        if not waiter.done():
            waiter.set_result(None)
    waiting.clear()
