"""Requests: the messages that a mailbox hands to its owner, each to be answered once.

An answer may be given in any thread. A request that is let go of (its last reference goes)
without an answer is answered with `RequestDropped`, so that its caller does not wait.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Coroutine, Iterator, Mapping
from threading import get_ident
from typing import Any, Generic, Protocol, TypeVar

from grid.aio import check_loop
from grid.codec import Codec
from grid.deadline import Deadline, now
from grid.errors import AlreadyResponded, GridError, InvalidArgument, StreamClosed
from grid.errors.classification import from_actor, mark_of_request
from grid.plain import AnyMessage
from grid.stream import Stream
from grid.transport.answer import Abandonable, Answer, until_done
from grid.transport.stream_end import StreamEnd
from grid.wire_pb2 import Ack

__all__ = ["Receiver", "Request", "refuse"]

M = TypeVar("M", bound=AnyMessage)


class Receiver(Protocol):
    """The mailbox of a request, as far as the request needs it."""

    name: str
    _codec: Codec
    _limit: int
    _loop: asyncio.AbstractEventLoop
    _thread: int

    def _call(self, function: Callable[..., object], *arguments: object) -> None: ...

    def _dropped(self, answer: Answer, failure: str) -> None: ...

    def _add_stream(self, stream: StreamEnd) -> None: ...


class Request(Generic[M]):
    """One message to answer.

    Attributes:
        message: what was sent; the receiver's own copy.
        metadata: what the sender said about it.
    """

    __slots__ = ("_answer", "_failure", "_mailbox", "_type_name", "message", "metadata")

    def __init__(
        self,
        message: M,
        type_name: str,
        metadata: Mapping[str, str],
        mailbox: Receiver,
        answer: Answer,
    ) -> None:
        self.message: M = message
        self.metadata: Mapping[str, str] = metadata
        self._type_name = type_name
        self._mailbox = mailbox
        self._answer = answer

    def __repr__(self) -> str:
        state = "answered" if self._answer.done else "open"
        return f"<Request {self._type_name} to {self._mailbox.name!r} {state}>"

    def __del__(self) -> None:
        if not self._answer.done:
            # Not set for each request: few have one.
            self._mailbox._dropped(self._answer, getattr(self, "_failure", ""))

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
        return _until_done(self._answer, self._mailbox._loop)

    def served_by(self, owner: Abandonable) -> None:
        """Tell an object, by `abandoned()`, if the caller leaves before there is an answer.

        It is told at once if the caller has left, otherwise in the mailbox's loop, where an error
        that it raises is logged. For code that serves many requests and cannot have a task for
        each; see `until_cancelled`.
        """
        answer = self._answer
        answer.owner = owner
        if answer.cancelled:
            owner.abandoned()

    def respond(self, message: AnyMessage) -> None:
        """Answer with a message. Returns at once; nothing to await.

        If the caller no longer waits, the answer goes nowhere. It may be called in any
        thread.

        An actor that lets one of these errors pass goes on: its `act` is called again.

        Raises:
            AlreadyResponded: there was an answer; it stands.
            InvalidArgument: the caller asks for a stream: `accept` or `fail`.
            UnsupportedMessage, MessageTooLarge: the message cannot be sent; the
                request is still open, so answer otherwise. If nothing else is answered,
                the caller gets `RequestFailed` with this error's text.
        """
        answer, mailbox = self._answer, self._mailbox
        if answer.done:
            self._check_open()
            return _GIVEN  # type: ignore[return-value]
        if answer.opens_stream:
            self._failure = f"grid: {mailbox.name!r} takes requests, no streams"
            wanted = InvalidArgument("the answer to a stream", message, "accept() or fail()")
            raise mark_of_request(wanted)
        encode, limit = mailbox._codec.encode, mailbox._limit
        try:
            name, data = encode(message, limit=limit, like=self._type_name)
        except GridError as error:
            self._failure = str(error)
            mark_of_request(error)
            raise
        if get_ident() == mailbox._thread:
            answer.resolve(name, data)
        else:
            mailbox._call(answer.resolve, name, data)
        return _GIVEN  # type: ignore[return-value]

    def ack(self) -> None:
        """Answer with an empty `Ack`. Raises as `respond` does."""
        return self.respond(Ack())

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
        else:
            refuse(self, from_actor(error, code))
        return _GIVEN  # type: ignore[return-value]

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
            WrongEventLoop: this is not the mailbox's loop; the request is still open.
        """
        check_loop(self._mailbox._loop, "request")
        if not self._answer.opens_stream:
            self._failure = f"grid: {self._mailbox.name!r} takes streams: open one"
            wanted = InvalidArgument("the accepted", self._type_name, "a request for a stream")
            raise mark_of_request(wanted)
        if self._answer.done:
            self._check_open()
        end = StreamEnd()
        if not self._answer.accept(end):
            raise mark_of_request(StreamClosed("the caller no longer waits"))
        self._mailbox._add_stream(end)
        return Stream(end, self._mailbox._codec, self._type_name, accepted=True)

    def _check_open(self) -> None:
        if not self._answer.cancelled:
            raise mark_of_request(AlreadyResponded())


async def _until_done(answer: Answer, loop: asyncio.AbstractEventLoop) -> bool:
    check_loop(loop, "request")
    return await until_done(answer)


class _Given:
    """The result of an answer: awaiting it, which is not needed, does no harm."""

    def __await__(self) -> Iterator[None]:
        return iter(())


_GIVEN = _Given()


def refuse(request: Request[Any], error: GridError) -> None:
    """Answer a request with an error of the grid, which the caller gets as it is; in any thread.

    This is for the grid's own mailboxes. An actor's errors go through `Request.fail`.
    """
    answer, mailbox = request._answer, request._mailbox
    if get_ident() == mailbox._thread:
        answer.reject(error)
    else:
        mailbox._call(answer.reject, error)
