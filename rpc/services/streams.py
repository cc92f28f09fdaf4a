"""Streams of services: typed messages both ways between one client and one server."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Generic, Protocol, Self, TypeVar

from google.protobuf.message import DecodeError, Message

from grid.errors import GridError, InvalidArgument, MessageTooLarge, StreamClosed
from grid.stream import Stream
from rpc.service_pb2 import Reply
from rpc.services.errors import (
    MalformedResult,
    OutcomeUnclear,
    ServiceError,
    StreamEnded,
    error_of,
    from_handler,
)

__all__ = ["DirectPipe", "Pipe", "ServiceStream", "StreamWrapper"]

_LAST_ITEM = 2.0  # seconds in which the other side may make room for the error that ends a stream

SentT = TypeVar("SentT", bound=Message)
ReceivedT = TypeVar("ReceivedT", bound=Message)


class Pipe(Protocol):
    """One end of a stream of bytes."""

    async def send(self, payload: bytes) -> None:
        """Send an item; waits while the other side is behind."""

    async def receive(self) -> bytes | None:
        """The next item; None when the other side has finished."""

    def finish(self) -> None:
        """Send nothing more."""

    async def close(self, error: ServiceError | None) -> None:
        """End the stream for both sides. Idempotent."""


class ServiceStream(Generic[SentT, ReceivedT]):
    """One end of a stream of a service: send, and iterate over what the other side sends.

    Messages arrive in order, each once. A side that does not read holds up the other's `send`.
    Use it as `async with`: leaving the block ends the stream for both sides, with the error
    if there was one. If the other side is lost, `send` and the iteration raise at once.

    Attributes:
        member: the id of the server.
    """

    def __init__(
        self, pipe: Pipe, sent: type[SentT], received: type[ReceivedT], member: str
    ) -> None:
        self._pipe = pipe
        self._sent = sent
        self._received = received
        self.member = member

    def __repr__(self) -> str:
        return f"<ServiceStream with {self.member}>"

    async def send(self, message: SentT) -> None:
        """Send a message; waits while the other side has not read enough.

        Raises:
            InvalidArgument: the message is of another type.
            MessageTooLarge: nothing was sent, and the stream goes on.
            ServiceError: the stream is over; its reason.
        """
        if not isinstance(message, self._sent):
            raise InvalidArgument("the message", message, f"a {self._sent.__name__}")
        await self._pipe.send(message.SerializeToString())

    async def receive(self) -> ReceivedT | None:
        """The next message; None when the other side has finished or closed the stream.

        Raises:
            ServiceError: the reason for which the other side closed it.
        """
        payload = await self._pipe.receive()
        if payload is None:
            return None
        try:
            return self._received.FromString(payload)
        except DecodeError:
            name = self._received.DESCRIPTOR.full_name
            error = MalformedResult(f"an item of the stream is not an encoding of {name}")
            await self._pipe.close(error)
            raise error from None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> ReceivedT:
        message = await self.receive()
        if message is None:
            raise StopAsyncIteration
        return message

    def finish(self) -> None:
        """Send nothing more; the other side's iteration ends, and it may still send.

        On Redis and NATS, whose streams have no such half, it ends the stream.
        """
        self._pipe.finish()

    async def close(self, error: BaseException | None = None) -> None:
        """End the stream for both sides. Idempotent.

        Args:
            error: the reason, if it is not the normal end; the other side's iteration raises it.
        """
        await self._pipe.close(None if error is None else from_handler(error))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close(error)


class StreamWrapper(ServiceStream[SentT, ReceivedT]):
    """A stream around another one, for interceptors: override what shall be different.

        class Counted(StreamWrapper):
            async def send(self, message):
                self.sent = getattr(self, "sent", 0) + 1
                await super().send(message)

    The iteration goes through `receive`, and the end of the block through `close`.

    Args:
        inner: the stream that is wrapped.

    Attributes:
        inner: the same.
    """

    def __init__(self, inner: ServiceStream[SentT, ReceivedT]) -> None:
        super().__init__(inner._pipe, inner._sent, inner._received, inner.member)
        self.inner = inner

    async def send(self, message: SentT) -> None:
        """See `ServiceStream.send`."""
        await self.inner.send(message)

    async def receive(self) -> ReceivedT | None:
        """See `ServiceStream.receive`."""
        return await self.inner.receive()

    def finish(self) -> None:
        """See `ServiceStream.finish`."""
        self.inner.finish()

    async def close(self, error: BaseException | None = None) -> None:
        """See `ServiceStream.close`."""
        await self.inner.close(error)


class DirectPipe:
    """A pipe over a stream of the grid; see `Pipe`.

    An error is the last item, so that its code and details arrive.
    """

    def __init__(self, stream: Stream, member: str = "") -> None:
        self._stream = stream
        self._member = member
        self._error: ServiceError | None = None
        self._closed = False

    async def send(self, payload: bytes) -> None:
        """See `Pipe`."""
        if self._error is not None:
            raise self._error
        try:
            await self._stream.send(Reply(payload=payload))
        except MessageTooLarge:  # nothing was sent, and the stream goes on
            raise
        except GridError as error:
            raise self._told(error) from error

    async def receive(self) -> bytes | None:
        """See `Pipe`."""
        if self._error is not None:
            raise self._error
        try:
            item = await self._stream.receive()
        except GridError as error:
            raise self._told(error) from error
        if item is None:
            return None
        if not isinstance(item, Reply):
            raise MalformedResult(f"an item of the stream is a {item.DESCRIPTOR.full_name}")
        if item.code:
            self._error = error_of(item.code, item.text, item.details, members=self._members())
            raise self._error
        return item.payload

    def finish(self) -> None:
        """See `Pipe`."""
        self._stream.finish()

    async def close(self, error: ServiceError | None) -> None:
        """See `Pipe`."""
        if self._closed:
            return
        self._closed = True
        if error is not None and self._error is None:
            last = Reply(code=error.code, text=error.text, details=error.details)
            try:
                async with asyncio.timeout(_LAST_ITEM):
                    await self._stream.send(last)
            except TimeoutError:  # the other side does not read; its code is lost on it
                await self._stream.close(error.text)
            except asyncio.CancelledError:  # it would never end at the other side
                await self._stream.close(error.text)
                raise
            except GridError:
                pass  # the other side has closed it, or is lost
        await self._stream.close()

    def _told(self, error: GridError) -> ServiceError:
        if isinstance(error, ServiceError):
            return error
        if isinstance(error, StreamClosed):
            return StreamEnded(str(error), members=self._members())
        return OutcomeUnclear(str(error), members=self._members())

    def _members(self) -> tuple[str, ...]:
        return (self._member,) if self._member else ()
