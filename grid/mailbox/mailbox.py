"""Mailboxes: bounded queues of requests under unique names.

A mailbox is a bounded queue under a unique name. Putting is never blocking:
what does not fit is refused at the sender. Taking is iterating.

Every request is answered exactly once, by the first of these: the owner
(`respond`, `ack`, `fail`), the mailbox when it closes, the request itself when
the owner lets go of it (its last reference goes) without an answer, or the
caller, which stops waiting. Where the answer goes is the transport's affair (see
`grid.transport.answer`); nothing here knows of gRPC or etcd.

A mailbox that is asked to drain refuses what is new, hands out what it holds,
and then ends its iteration. Closing answers what is left: a request that
was not read was not delivered (`MailboxClosed`, a resend is safe), a request that
was read is `RequestDropped` (its outcome is unknown).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping
from copy import copy
from threading import get_ident
from types import TracebackType
from typing import Self, cast
from weakref import WeakSet

from google.protobuf.message import Message

from grid import trace_context
from grid.aio import check_loop
from grid.codec import Codec
from grid.deadline import now
from grid.errors import (
    GridError,
    MailboxClosed,
    OutcomeUnknown,
    ReceiverBusy,
    RequestDropped,
    RequestFailed,
    WrongEventLoop,
)
from grid.mailbox.request import Request
from grid.mailbox.statistics import MailboxStatistics
from grid.numbers import check_count
from grid.transport.answer import Answer
from grid.transport.stream_end import StreamEnd

__all__ = ["Groups", "Mailbox", "check_size"]

# Paths below `<namespace>.group.` at which a mailbox is found too, each with what it offers there.
Groups = Mapping[str, Iterable[str]]


# The queue of a mailbox that got nothing yet: an empty deque weighs 700 bytes, and a name that
# waits for its first request is the usual actor.
_NONE_YET = cast("deque[Request[Message]]", ())


class Mailbox:
    """A named, bounded queue of requests: iterate over it to serve them.

    Made by `Server.open_mailbox`, `ActorContext.open_mailbox`, or the
    definition of an actor. Several tasks may iterate over one mailbox; each
    request goes to one of them, first in, first out.

    Attributes:
        name: its short name.
        key: its full name.
        size: requests that it holds at most while none is read.
        epoch: the fence of this registration, larger at each new one.
    """

    __slots__ = (
        "_closed",
        "_codec",
        "_draining",
        "_ended_by",
        "_limit",
        "_loop",
        "_lost",
        "_queue",
        "_readers",
        "_received",
        "_refused",
        "_release",
        "_released",
        "_search_at",
        "_streams",
        "_thread",
        "_unanswered",
        "_woken",
        "epoch",
        "key",
        "name",
        "size",
    )

    def __init__(
        self,
        name: str,
        key: str,
        size: int,
        *,
        codec: Codec,
        limit: int,
        release: Callable[[Mailbox], Awaitable[None]],
    ) -> None:
        self.name: str = name
        self.key: str = key
        self.size: int = check_size(size)
        self.epoch: int = 0
        self._codec = codec
        self._limit = limit
        self._release = release
        self._queue = _NONE_YET
        self._readers: dict[asyncio.Future[None], None] = {}  # the longest waiting first
        self._woken = 0
        self._received = 0
        self._refused = 0
        self._search_at = 0.0  # when a full queue may be searched again
        self._unanswered: set[Answer] = set()
        self._streams: WeakSet[StreamEnd] | None = None
        self._draining = False
        self._closed = False
        self._released = False
        self._lost: GridError | None = None
        # What senders are told once its actor has ended by an error.
        self._ended_by: MailboxClosed | None = None
        self._loop = asyncio.get_running_loop()
        self._thread = get_ident()

    def __repr__(self) -> str:
        state = "closed" if self._closed else "draining" if self._draining else "open"
        return f"<Mailbox {self.name!r} {len(self._queue)}/{self.size} {state} epoch={self.epoch}>"

    def __len__(self) -> int:
        """The number of requests that wait to be read."""
        return len(self._queue)

    @property
    def closed(self) -> bool:
        """True once `close` was called, here or by the server."""
        return self._closed

    def statistics(self) -> MailboxStatistics:
        """A snapshot of its counters."""
        return MailboxStatistics(
            name=self.name,
            queued=len(self._queue),
            size=self.size,
            unanswered=len(self._unanswered),
            received=self._received,
            refused=self._refused,
        )

    # -- the owner's side --------------------------------------------------

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Request[Message]:
        if asyncio._get_running_loop() is not self._loop:  # not `check_loop`: a frame each
            raise WrongEventLoop("mailbox")
        while True:
            while self._queue:
                request = self._queue.popleft()
                if not request._answer.done:
                    if request.metadata or trace_context.active:
                        trace_context.hand_out(request.metadata)
                    return request
            if self._lost is not None:
                raise copy(self._lost)
            if self._closed or self._draining:
                raise StopAsyncIteration
            await self._arrival()

    async def receive(self) -> Request[Message] | None:
        """The next request, or None when the mailbox is closed or drained.

        A request whose caller has left before it was read is skipped.
        Cancelling it takes nothing out.

        Raises:
            LeaseLost: the peer lost its lease, and this mailbox its name.
            WrongEventLoop: this is not the mailbox's loop.
        """
        return await anext(self, None)

    async def leave(self) -> None:
        """Free the name and take nothing new; what was taken in can still be served.

        The iteration ends after what is queued; close the mailbox then. Cancelling it does
        not keep the name. Raises `WrongEventLoop` on another loop than the mailbox's.
        """
        if not self._released:
            check_loop(self._loop, "mailbox")
        self._drain()
        if not self._released:
            self._released = True
            await self._release(self)

    async def close(self) -> None:
        """Answer what is left, end the iteration and the streams, and free the name.

        Calling it again is harmless. Cancelling it does not keep the name.

        Raises:
            WrongEventLoop: this is not the mailbox's loop.
        """
        if not (self._closed and self._released):
            check_loop(self._loop, "mailbox")
        if not self._closed:
            self._end(None)
        if not self._released:
            self._released = True
            await self._release(self)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def _arrival(self) -> None:
        reader = self._loop.create_future()
        self._readers[reader] = None
        try:
            await reader
        except asyncio.CancelledError:
            if reader.done() and not reader.cancelled() and self._queue:
                self._wake()  # the arrival is for the next reader
            raise
        finally:
            if reader.done() and not reader.cancelled():
                self._woken -= 1
            else:
                self._readers.pop(reader, None)

    # -- the server's side -------------------------------------------------

    def _put(
        self, message: Message, type_name: str, metadata: Mapping[str, str], answer: Answer
    ) -> None:
        """Queue a message, to be answered there.

        Raises:
            ReceiverBusy, MailboxClosed: it was not taken in.
        """
        if self._closed or self._draining:
            self._refused += 1
            raise self._refusal()
        if len(self._queue) >= self.size + len(self._readers) + self._woken:
            self._make_room(0)
        if self._queue is _NONE_YET:
            self._queue = deque()
        self._received += 1
        answer._holder = self._unanswered
        self._unanswered.add(answer)
        self._queue.append(Request(message, type_name, metadata, self, answer))
        if self._readers:
            self._wake()

    @property
    def _busy(self) -> bool:
        """True while it holds requests, or its owner has some open, or streams."""
        if self._queue or self._unanswered:
            return True
        return any(not one.over for one in self._streams or ())

    def _check_room(self, held: int) -> None:
        """Raise `ReceiverBusy` unless one more fits beside `held` that are still to be put."""
        if len(self._queue) + held >= self.size + len(self._readers) + self._woken:
            self._make_room(held)

    def _make_room(self, held: int) -> None:
        """Drop requests whose callers have left, or raise `ReceiverBusy` if there are none.

        They are not dropped as they are cancelled: to find one in the queue costs as much as
        to look through all. A search in vain rests for ten times as long as it took, so that
        a flood at a full mailbox does not become a search each.
        """
        began = now()
        if began >= self._search_at:
            live = [request for request in self._queue if not request._answer.done]
            if len(live) < len(self._queue):
                self._queue = deque(live)
                if len(live) + held < self.size + len(self._readers) + self._woken:
                    return
            ended = now()
            self._search_at = ended + 10 * (ended - began)
        self._refused += 1
        raise ReceiverBusy(self.name, self.size)

    def _drain(self) -> None:
        """Take nothing new; the iteration ends after what is queued."""
        self._draining = True
        self._wake_all()

    def _lose(self, error: GridError) -> None:
        """The name is gone: the iteration raises `error`."""
        if not self._closed:
            self._end(error)

    def _cut(self, error: OutcomeUnknown) -> None:
        """End it as the end of the process would: all that it holds has no known outcome."""
        held = [request._answer for request in self._queue]
        for answer in (*held, *tuple(self._unanswered)):
            answer.reject(copy(error))
        self._lose(error)

    def _end(self, error: GridError | None) -> None:
        self._closed = True
        self._lost = error
        for request in self._queue:
            request._answer.reject(self._refusal())
        self._queue = _NONE_YET
        for answer in tuple(self._unanswered):
            answer.reject(RequestDropped(self.name))
        for stream in tuple(self._streams or ()):
            stream.close(error or self._refusal())
        self._wake_all()

    def _refusal(self) -> MailboxClosed:
        return MailboxClosed(self.name) if self._ended_by is None else copy(self._ended_by)

    def _add_stream(self, stream: StreamEnd) -> None:
        if self._streams is None:
            self._streams = WeakSet()
        self._streams.add(stream)

    def _dropped(self, answer: Answer, failure: str) -> None:
        # In any thread, and perhaps after the loop.
        error = RequestFailed(failure, "INTERNAL") if failure else RequestDropped(self.name)
        self._call(answer.reject, error)

    def _call(self, function: Callable[..., object], *arguments: object) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(function, *arguments)

    def _wake(self) -> None:
        while self._readers:
            reader = next(iter(self._readers))
            del self._readers[reader]
            if not reader.done():
                reader.set_result(None)
                self._woken += 1
                return

    def _wake_all(self) -> None:
        while self._readers:
            self._wake()


def check_size(size: int) -> int:
    """The size itself, if it is a number of requests; else raises `InvalidArgument`."""
    return check_count("the size of a mailbox", size, 0)
