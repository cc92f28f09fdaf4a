"""Streams: ordered messages both ways between a client and the owner of a mailbox."""

from __future__ import annotations

import asyncio
import contextvars
import copy
from collections.abc import AsyncIterator, Callable
from types import TracebackType
from typing import Any, Self, TypeVar, overload

from google.protobuf.message import Message

from grid.aio import check_loop
from grid.codec import Codec
from grid.errors import GridError, StreamClosed
from grid.errors.classification import from_actor, mark_of_request
from grid.plain import AnyMessage, check_reply, of_type
from grid.transport.stream_end import StreamEnd

__all__ = ["Stream"]

M = TypeVar("M", bound=AnyMessage)


class Stream:
    """One end of a stream: send, and iterate over what the other side sends.

    Items arrive in order, each once. A side that does not read holds up the
    other's `send`, and nothing else. Use it as `async with`: leaving the block
    closes the stream for both sides, with the error if there was one. A stream
    that is let go without being closed is closed then. If the connection is
    lost, both sides get `OutcomeUnknown` at once; it cannot be resumed.
    """

    __slots__ = ("_accepted", "_codec", "_end", "_like", "_loop")

    def __init__(
        self, end: StreamEnd, codec: Codec, like: str = "", *, accepted: bool = False
    ) -> None:
        self._accepted = accepted
        self._end = end
        self._codec = codec
        self._like = like
        self._loop = asyncio.get_running_loop()

    def __repr__(self) -> str:
        return f"<Stream {'over' if self._end.over else 'open'}>"

    def __del__(self) -> None:
        # It may lose its last reference in any thread, and after the loop.
        if not self._end.over and not self._loop.is_closed():
            gone = StreamClosed("the other side let go of it without closing it")
            self._loop.call_soon_threadsafe(self._end.close, gone)

    async def send(self, message: AnyMessage) -> None:
        """Send a message; waits while the other side has not read enough.

        It returns when the message is queued for the wire, not when it was read.

        Raises:
            StreamClosed: the stream is over, or `finish` was called.
            UnsupportedMessage, MessageTooLarge: the message cannot be sent.
            GridError: the reason for which the other side closed the stream.
            OutcomeUnknown: the connection was lost.
        """
        check_loop(self._loop, "stream")
        end = self._end
        try:
            name, data = self._codec.encode(message, limit=end.largest(), like=self._like)
            await end.send(name, data)
        except GridError as error:
            if not self._accepted:
                raise
            raise mark_of_request(copy.copy(error)) from error.__cause__

    def send_nowait(self, message: Message) -> bool:
        """Send a message if it need not wait; False, and nothing is sent, if `send` would wait.

        Raises as `send` does.
        """
        check_loop(self._loop, "stream")
        try:
            port = self._end.sendable()
            if port is None:
                return False
            port.send(*self._codec.encode(message, limit=port.largest, like=self._like))
            return True
        except GridError as error:
            if not self._accepted:
                raise
            raise mark_of_request(copy.copy(error)) from error.__cause__

    def hand_to(self, take: Callable[[Message], bool]) -> None:
        """Call a function with each message that comes while a task waits in `receive`.

        It saves the task's turn of the event loop, for protocols that answer many short
        messages. What the function does not take (it returns False) `receive` gives to the
        task, and so does it raise what the function raises. While the task is at work,
        messages wait for it: they are taken in order, by the function or by the task.
        The function runs in a copy of the present context; it must not block.

        Args:
            take: the function.
        """
        check_loop(self._loop, "stream")
        run, decode = contextvars.copy_context().run, self._codec.decode

        def taken(name: str, data: bytes) -> bool:
            return run(take, decode(name, data))

        self._end.hand_to(taken)

    @property
    def largest(self) -> int:
        """Bytes of the largest message that can be sent. Raises as `send` does."""
        return self._end.largest()

    @property
    def in_process(self) -> bool:
        """True if the other side is in this process, on this event loop."""
        return self._end.in_process

    def share(self, shared: object) -> None:
        """Let the other side have an object, if it is in this process; see `shared`."""
        self._end.share(shared)

    def shared(self) -> object | None:
        """The object that the other side shares, if calling it is as good as sending to it.

        That is so while the other side is in this process, its peer's lease holds, and all
        items are taken, either way, so that a call does not overtake them. Otherwise None.
        """
        return self._end.shared()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Message:
        check_loop(self._loop, "stream")
        try:
            item = await self._end.receive()
            if item is not None:
                return self._codec.decode(*item)
        except GridError as error:
            if not self._accepted:
                raise
            # A copy: inside of a process both sides may have the same one.
            raise mark_of_request(copy.copy(error)) from error.__cause__
        raise StopAsyncIteration

    async def items(self, of: type[M]) -> AsyncIterator[M]:
        """Iterate over the messages of the other side, which must be of one type.

        Raises what `receive` raises.
        """
        while (message := await self.receive(of)) is not None:
            yield message

    @overload
    async def receive(self) -> Message | None: ...
    @overload
    async def receive(self, of: type[M]) -> M | None: ...
    async def receive(self, of: type[Any] | None = None) -> Any:
        """The next message; None when the other side has finished or closed the stream.

        Args:
            of: the type that it must have.

        Raises:
            GridError: the reason for which it was closed.
            OutcomeUnknown: the connection was lost.
            UnexpectedReply: it is not of the type `of`; the stream goes on.
        """
        if of is not None:
            check_reply(of)
        message = await anext(self, None)
        if of is None or message is None:
            return message
        try:
            return of_type(of, message)
        except GridError as error:
            raise mark_of_request(error) if self._accepted else error from None

    def finish(self) -> None:
        """Send nothing more. The other side's iteration ends; it may still send."""
        check_loop(self._loop, "stream")
        self._end.finish()

    async def close(self, reason: str | GridError | None = None) -> None:
        """End the stream for both sides, after what was sent. Idempotent.

        Args:
            reason: why, if it is not the normal end; the other side's iteration
                raises it, a text as `StreamClosed`, another error as `RequestFailed`.
        """
        check_loop(self._loop, "stream")
        if isinstance(reason, str):
            reason = StreamClosed(reason)
        elif reason is not None and not isinstance(reason, StreamClosed):
            reason = from_actor(reason)
        self._end.close(reason)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is None or self._end.over:
            await self.close()
        elif isinstance(error, GridError):
            await self.close(error)
        else:
            await self.close(f"{type(error).__name__}: {error}".rstrip(": "))
