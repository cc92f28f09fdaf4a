"""One end of a stream: its unread items, its waiting tasks, and its end.

The session (or, inside one process, the other end) reports what comes; its
owner sends and receives. Unread items are bounded by the credit that was
granted, and more is granted only as the owner reads.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from copy import copy
from typing import Protocol

from grid.errors import GridError, OutcomeUnknown, StreamClosed
from grid.transport.answer import Reply

__all__ = ["StreamEnd", "StreamPort"]


class StreamPort(Protocol):
    """The way from one end of a stream to the other."""

    @property
    def in_process(self) -> bool:
        """True if the other end is in this process."""

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

    def shared(self) -> object | None:
        """The object that the other end shares, if it has taken all items."""


class StreamEnd:
    """One end of a stream. The other end's doings come in through the methods up to `cut`.

    Attributes:
        opened: done when the other side has accepted the stream, or refused it.
    """

    __slots__ = (
        "__weakref__",
        "_deferred",
        "_error",
        "_handing_over",
        "_items",
        "_port",
        "_readers",
        "_receiving",
        "_senders",
        "_sending",
        "_shared",
        "_taker",
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
        self._taker: Callable[[str, bytes], bool] | None = None
        self._deferred = False
        self._handing_over = False  # now, or in the loop's next turn
        self._shared: object | None = None  # for the other end

    @property
    def over(self) -> bool:
        """True once neither direction goes on."""
        return not (self._sending or self._receiving)

    @property
    def in_process(self) -> bool:
        """True if the other end is in this process."""
        return self._port is not None and self._port.in_process

    # -- events of the other side ------------------------------------------------

    def bind(self, port: StreamPort, *, deferred: bool = False) -> None:
        """Take the way to the other side.

        Args:
            port: the way.
            deferred: items are handed over in the loop's next turn; see `hand_to`.
        """
        self._port = port
        self._deferred = deferred

    def accepted(self) -> None:
        """The other side has taken the stream."""
        if not self.opened.done():
            self.opened.set_result(None)

    def put(self, name: str, data: bytes) -> None:
        """An item came."""
        if self._receiving:
            self._items.append((name, data))
            if not self._readers:
                return
            if self._taker is None:
                _wake(self._readers)
            elif not self._handing_over:
                self._handing_over = True
                if self._deferred:
                    asyncio.get_running_loop().call_soon(self._hand_over)
                else:
                    self._hand_over()

    def credited(self) -> None:
        """Sending may go on."""
        _wake(self._senders)

    def ended(self, whole: bool, error: GridError | None) -> None:
        """The other side ended its direction, or the whole."""
        self._receiving = False
        self._shared = self._taker = None  # which may refer to the owner of this end
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
                    raise copy(self._error)
                return None
            await _woken(self._readers)
        item = self._items.popleft()
        if self._port is not None:
            self._port.consumed(len(item[1]))
        return item

    def sendable(self) -> StreamPort | None:
        """The port, if an item may go now; None if `send` would wait. Raises as `send` does."""
        port = self._port
        if not self._sending or port is None:
            port = self._check_sending()
        return port if port.credit() > 0 else None

    def hand_to(self, taker: Callable[[str, bytes], bool]) -> None:
        """Give items to a function as they come, while a task waits in `receive`.

        What the function leaves (it returns False) the task gets; so it does an error that
        the function raises. While the task is busy with an item, later ones wait for it, so
        that the order stays.
        """
        self._taker = taker

    def _hand_over(self) -> None:
        items, readers, taker, port = self._items, self._readers, self._taker, self._port
        try:
            while items and readers and taker is not None:
                item = items.popleft()
                try:
                    taken = taker(*item)
                except Exception as error:  # noqa: BLE001 - the reader gets it
                    _wake(readers, error)
                    return
                if not taken:
                    items.appendleft(item)
                    break
                if port is not None:
                    port.consumed(len(item[1]))
        finally:
            self._handing_over = False
        if items:
            _wake(readers)

    def share(self, shared: object) -> None:
        """Let the other end have an object while the stream goes on."""
        if self._receiving:
            self._shared = shared

    def given(self) -> object | None:
        """The object that this end shares, if it has taken all items and a task waits for more."""
        return self._shared if self._readers and not self._items else None

    def shared(self) -> object | None:
        """The object that the other end shares, if all items are taken, either way."""
        port = self._port
        if not self._sending or port is None or self._items:
            return None
        return port.shared()

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
        raise StreamClosed() if self._error is None else copy(self._error)


async def _woken(waiting: list[asyncio.Future[None]]) -> None:
    waiter = asyncio.get_running_loop().create_future()
    waiting.append(waiter)
    try:
        await waiter
    except asyncio.CancelledError:
        if waiter in waiting:
            waiting.remove(waiter)
        raise


def _wake(waiting: list[asyncio.Future[None]], error: Exception | None = None) -> None:
    for waiter in waiting:
        if waiter.done():
            continue
        if error is None:
            waiter.set_result(None)
        else:
            waiter.set_exception(error)
            error = None  # one of them has it
    waiting.clear()
