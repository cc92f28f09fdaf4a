"""Streams for code that blocks: for scripts with a client, and for actors in threads."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator
from types import TracebackType
from typing import Any, Generic, Self, TypeVar, overload

from google.protobuf.message import Message

from grid.aio import Portal
from grid.client.subscription import Subscription
from grid.deadline import check_timeout
from grid.errors import DeadlineExceeded, GridError
from grid.plain import AnyMessage
from grid.stream import Stream

__all__ = ["BlockingStream", "BlockingSubscription"]

M = TypeVar("M", bound=AnyMessage)
T = TypeVar("T")


class BlockingStream:
    """One end of a stream, blocking; see `grid.Stream`.

    Use it with `with`: leaving the block closes it for both sides, with the
    error if there was one. One thread may send while another receives.
    """

    def __init__(self, stream: Stream, portal: Portal) -> None:
        self._stream = stream
        self._portal = portal

    def __repr__(self) -> str:
        return f"<blocking {self._stream!r}>"

    def send(self, message: AnyMessage) -> None:
        """As `grid.Stream.send`: waits while the other side has not read enough."""
        self._portal.call(self._stream.send(message))

    def __iter__(self) -> Iterator[Message]:
        while (message := self.receive()) is not None:
            yield message

    def items(self, of: type[M]) -> Iterator[M]:
        """Iterate over the messages of the other side, which must be of one type."""
        while (message := self.receive(of=of)) is not None:
            yield message

    @overload
    def receive(self, timeout: float | None = None) -> Message | None: ...
    @overload
    def receive(self, timeout: float | None = None, *, of: type[M]) -> M | None: ...
    def receive(self, timeout: float | None = None, *, of: type[Any] | None = None) -> Any:
        """The next message; None when the other side has finished or closed the stream.

        Args:
            timeout: seconds to wait for it; by default for as long as it takes.
            of: the type that it must have.

        Raises:
            DeadlineExceeded: none came in time; the stream goes on, nothing is lost.
            GridError: the reason for which it was closed.
            OutcomeUnknown: the connection was lost.
            UnexpectedReply: it is not of the type `of`; the stream goes on.
        """
        if timeout is not None:
            check_timeout(timeout)
        return self._portal.call(self._receive(timeout, of))

    def finish(self) -> None:
        """Send nothing more. The other side's iteration ends; it may still send."""

        async def finish() -> None:
            self._stream.finish()

        self._portal.call(finish())

    def close(self, reason: str | GridError | None = None) -> None:
        """End the stream for both sides, after what was sent. Idempotent.

        Args:
            reason: why, if it is not the normal end; the other side's iteration
                raises it, a text as `StreamClosed`.
        """
        self._portal.clean_up(self._stream.close(reason))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._portal.clean_up(self._stream.__aexit__(kind, error, traceback))

    async def _receive(self, timeout: float | None, of: type[Any] | None) -> Any:
        stream = self._stream
        receiving = stream.receive() if of is None else stream.receive(of)
        return await _in_time(receiving, timeout, "the next message of the stream")


class BlockingSubscription(Generic[M]):
    """The items of a stream that is opened again when it breaks; see `grid.Client.subscribe`.

    Use it with `with`, and iterate over it. Entering opens the stream.
    """

    def __init__(self, subscription: Subscription[M], portal: Portal) -> None:
        self._subscription = subscription
        self._portal = portal

    def __repr__(self) -> str:
        return f"<blocking {self._subscription!r}>"

    @property
    def openings(self) -> int:
        """Streams that were opened up to now."""
        return self._subscription.openings

    @property
    def last(self) -> M | None:
        """The last item; None before the first one."""
        return self._subscription.last

    def __iter__(self) -> Iterator[M]:
        while (item := self.receive()) is not None:
            yield item

    def receive(self, timeout: float | None = None) -> M | None:
        """The next item; None when the actor has finished or closed the stream.

        Args:
            timeout: seconds to wait for it; by default for as long as it takes.

        Raises:
            DeadlineExceeded: none came in time; the subscription goes on, nothing is lost.
            And what `grid.client.subscription.Subscription.receive` raises.
        """
        if timeout is not None:
            check_timeout(timeout)
        return self._portal.call(self._receive(timeout))

    def close(self) -> None:
        """End it, and the stream for both sides. Idempotent."""
        self._portal.clean_up(self._subscription.close())

    def __enter__(self) -> Self:
        self._portal.call(self._subscription.__aenter__())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    async def _receive(self, timeout: float | None) -> M | None:
        what = f"the next item of {self._subscription!r}"
        return await _in_time(self._subscription.receive(), timeout, what)


async def _in_time(receiving: Coroutine[Any, Any, T], timeout: float | None, what: str) -> T:
    limit = asyncio.timeout(timeout)
    try:
        async with limit:
            return await receiving
    except TimeoutError as error:
        if timeout is None or isinstance(error, GridError) or not limit.expired():
            raise
        raise DeadlineExceeded(what, timeout) from None
