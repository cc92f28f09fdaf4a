"""Mailboxes and the requests in them.

A mailbox is a bounded queue under a unique name. Putting is never blocking:
what does not fit is refused at the sender. Taking is iterating.

Every request is answered exactly once, by whoever comes first: the owner
(`respond`, `ack`, `fail`), the mailbox when it closes, the request itself when
the owner lets go of it (its last reference goes) without an answer, or the
caller, who stops waiting. Where the answer goes is the transport's affair (see
`grid.transport.answer`); nothing here knows of gRPC or etcd.

A mailbox that is asked to drain refuses what is new, hands out what it holds,
and then ends its iteration. Closing answers what is left: a request nobody
read was not delivered (`MailboxClosed`, a resend is safe), a request that was
read is `RequestDropped` (nobody knows).
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from threading import get_ident
from types import TracebackType
from typing import Any, Generic, Self, TypeVar
from weakref import WeakSet

from google.protobuf.message import Message

from grid import trace_context
from grid.codec import Codec
from grid.deadline import Deadline, now
from grid.errors import (
    AlreadyResponded,
    GridError,
    InvalidArgument,
    MailboxClosed,
    ReceiverBusy,
    RequestDropped,
    StreamClosed,
)
from grid.errors.classification import from_actor
from grid.stream import Stream
from grid.transport._stream_end import StreamEnd
from grid.transport.answer import Answer, until_done
from grid.transport.statistics import MailboxStatistics
from grid.wire_pb2 import Ack

__all__ = ["Mailbox", "Request", "check_size", "refuse"]

M = TypeVar("M", bound=Message)


class Request(Generic[M]):
    """One message to answer.

    Attributes:
        message: what was sent; the receiver's own copy.
        metadata: what the sender said about it.
    """

    __slots__ = ("_answer", "_mailbox", "_type_name", "message", "metadata")

    def __init__(
        self,
        message: M,
        type_name: str,
        metadata: Mapping[str, str],
        mailbox: Mailbox,
        answer: Answer,
    ) -> None:
        self.message = message
        self.metadata = metadata
        self._type_name = type_name
        self._mailbox = mailbox
        self._answer = answer

    def __repr__(self) -> str:
        state = "answered" if self._answer.done else "open"
        return f"<Request {self._type_name} to {self._mailbox.name!r} {state}>"

    def __del__(self) -> None:
        if not self._answer.done:
            self._mailbox._dropped(self._answer)

    @property
    def done(self) -> bool:
        """True once it is answered, or the caller no longer waits."""
        return self._answer.done

    @property
    def cancelled(self) -> bool:
        """True once the caller no longer waits: it left, or its time is over."""
        return self._answer.cancelled

    @property
    def deadline(self) -> Deadline | None:
        """By when the caller wants the answer; None if it did not say."""
        at = self._answer.at
        return None if at == math.inf else Deadline(at, at - now())

    def until_cancelled(self) -> Coroutine[Any, Any, bool]:
        """Wait until the caller no longer waits: True; or the request is answered: False.

        Any number may wait; a request that is let go of is not kept by it.
        """
        return until_done(self._answer)

    def respond(self, message: Message) -> None:
        """Answer with a message. Returns at once; nothing to await.

        If the caller no longer waits, the answer goes nowhere. It may be called
        in any thread.

        Raises:
            AlreadyResponded: there was an answer; it stands.
            UnsupportedMessage, MessageTooLarge: the message cannot be sent; the
                request is still open, so answer otherwise.
        """
        answer, mailbox = self._answer, self._mailbox
        if answer.done:
            self._check_open()
            return
        if answer.opens_stream:
            raise InvalidArgument("the answer to a stream", message, "accept() or fail()")
        encode, limit = mailbox._codec.encode, mailbox._limit
        name, data = encode(message, limit=limit, like=self._type_name)
        if get_ident() == mailbox._thread:
            answer.resolve(name, data)
        else:
            mailbox._call(answer.resolve, name, data)

    def ack(self) -> None:
        """Answer with an empty `Ack`. Raises as `respond` does."""
        self.respond(Ack())

    def fail(self, error: str | BaseException, *, code: object = "UNKNOWN") -> None:
        """Answer with an error, which the caller gets as `RequestFailed`; in any thread.

        The request counts as acted upon, whatever the error is: a `ReceiverBusy` that the
        owner met elsewhere does not make the caller send the request again.

        Args:
            error: the text for the caller, or an exception that has it. An error of the
                grid becomes the `cause` of the caller's `RequestFailed`.
            code: a gRPC status code for callers that look at it: its name, its number, or a
                member of `grpc.StatusCode`. An error of the grid has a code of its own.

        Raises:
            AlreadyResponded: there was an answer; it stands.
        """
        if self._answer.done:
            self._check_open()
            return
        refuse(self, from_actor(error, code))

    @property
    def opens_stream(self) -> bool:
        """True if the caller asks for a stream: answer with `accept` or `fail`."""
        return self._answer.opens_stream

    def accept(self) -> Stream:
        """Open the stream that the caller asks for; use it with `async with`.

        Raises:
            InvalidArgument: the caller did not ask for a stream.
            AlreadyResponded: it was accepted or refused before.
            StreamClosed: the caller no longer waits.
        """
        if not self._answer.opens_stream:
            raise InvalidArgument("what is accepted", self._type_name, "a request for a stream")
        if self._answer.done:
            self._check_open()
        end = StreamEnd()
        if not self._answer.accept(end):
            raise StreamClosed("the caller no longer waits")
        self._mailbox._add_stream(end)
        return Stream(end, self._mailbox._codec, self._type_name)

    def _check_open(self) -> None:
        if not self._answer.cancelled:
            raise AlreadyResponded


class Mailbox:
    """A named, bounded queue of requests: iterate over it to serve them.

    Made by `Server.open_mailbox`, `ActorContext.open_mailbox`, or the
    definition of an actor. Several tasks may iterate over one mailbox; each
    request goes to one of them, first in, first out.

    Attributes:
        name: its short name.
        key: its full name.
        size: how many requests it holds while nobody reads.
        epoch: the fence of this registration, larger at each new one.
    """

    __slots__ = (
        "_closed",
        "_codec",
        "_draining",
        "_limit",
        "_loop",
        "_lost",
        "_queue",
        "_readers",
        "_received",
        "_refused",
        "_release",
        "_released",
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
        self.name = name
        self.key = key
        self.size = check_size(size)
        self.epoch = 0
        self._codec = codec
        self._limit = limit
        self._release = release
        self._queue: deque[Request[Message]] = deque()
        self._readers: dict[asyncio.Future[None], None] = {}  # who waits, the longest first
        self._woken = 0
        self._received = 0
        self._refused = 0
        self._unanswered: set[Answer] = set()
        self._streams: WeakSet[StreamEnd] | None = None
        self._draining = False
        self._closed = False
        self._released = False
        self._lost: GridError | None = None
        self._loop = asyncio.get_running_loop()
        self._thread = get_ident()

    def __repr__(self) -> str:
        state = "closed" if self._closed else "draining" if self._draining else "open"
        return f"<Mailbox {self.name!r} {len(self._queue)}/{self.size} {state} epoch={self.epoch}>"

    def __len__(self) -> int:
        """How many requests wait to be read."""
        return len(self._queue)

    @property
    def closed(self) -> bool:
        """True once `close` was called, here or by the server."""
        return self._closed

    def statistics(self) -> MailboxStatistics:
        """What it holds, and what has come to it."""
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
        while True:
            while self._queue:
                request = self._queue.popleft()
                if not request._answer.done:
                    if request.metadata or trace_context.active:
                        trace_context.hand_out(request.metadata)
                    return request
            if self._lost is not None:
                raise self._lost
            if self._closed or self._draining:
                raise StopAsyncIteration
            await self._arrival()

    async def receive(self) -> Request[Message] | None:
        """The next request, or None when the mailbox is closed or drained.

        A request whose caller has left before it was read is skipped.
        Cancelling it takes nothing out.

        Raises:
            LeaseLost: the peer lost its lease, and this mailbox its name.
        """
        return await anext(self, None)

    async def close(self) -> None:
        """Answer what is left, end the iteration and the streams, and free the name.

        Calling it again is harmless. Cancelling it does not keep the name.
        """
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
                self._wake()  # the arrival was meant for whoever reads next
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
            raise MailboxClosed(self.name)
        if len(self._queue) >= self.size + len(self._readers) + self._woken:
            self._refused += 1
            raise ReceiverBusy(self.name, self.size)
        self._received += 1
        answer._holder = self._unanswered
        self._unanswered.add(answer)
        self._queue.append(Request(message, type_name, metadata, self, answer))
        if self._readers:
            self._wake()

    def _check_room(self, held: int) -> None:
        """Raise `ReceiverBusy` unless one more fits beside `held` that are still to be put."""
        if len(self._queue) + held >= self.size + len(self._readers) + self._woken:
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

    def _end(self, error: GridError | None) -> None:
        self._closed = True
        self._lost = error
        for request in self._queue:
            request._answer.reject(MailboxClosed(self.name))
        self._queue.clear()
        for answer in tuple(self._unanswered):
            answer.reject(RequestDropped(self.name))
        for stream in tuple(self._streams or ()):
            stream.close(error or MailboxClosed(self.name))
        self._wake_all()

    def _add_stream(self, stream: StreamEnd) -> None:
        if self._streams is None:
            self._streams = WeakSet()
        self._streams.add(stream)

    def _dropped(self, answer: Answer) -> None:  # in any thread, and perhaps after the loop
        self._call(answer.reject, RequestDropped(self.name))

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


def refuse(request: Request[Any], error: GridError) -> None:
    """Answer a request with an error of the grid, which the caller gets as it is; in any thread.

    This is for the grid's own mailboxes. An actor's errors go through `Request.fail`.
    """
    answer, mailbox = request._answer, request._mailbox
    if get_ident() == mailbox._thread:
        answer.reject(error)
    else:
        mailbox._call(answer.reject, error)


def check_size(size: int) -> int:
    """The size itself, if a mailbox can hold so many requests; else raises `InvalidArgument`."""
    if not isinstance(size, int) or size < 0:
        raise InvalidArgument("the size of a mailbox", size, "0 or more")
    return size
