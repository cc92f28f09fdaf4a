"""Streams for code that blocks: for scripts with a client, and for actors in threads."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from types import TracebackType
from typing import Self

from google.protobuf.message import Message

from grid.aio import Portal
from grid.deadline import check_timeout
from grid.errors import DeadlineExceeded, GridError
from grid.plain import AnyMessage
from grid.stream import Stream

__all__ = ["BlockingStream"]


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

    def receive(self, timeout: float | None = None) -> Message | None:
        """The next message; None when the other side has finished or closed the stream.

        Args:
            timeout: seconds to wait for it; by default for as long as it takes.

        Raises:
            DeadlineExceeded: none came in time; the stream goes on, nothing is lost.
            GridError: the reason for which it was closed.
            OutcomeUnknown: the connection was lost.
        """
        if timeout is not None:
            check_timeout(timeout)
        return self._portal.call(self._receive(timeout))

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

    async def _receive(self, timeout: float | None) -> Message | None:
        limit = asyncio.timeout(timeout)
        try:
            async with limit:
                return await self._stream.receive()
        except TimeoutError as error:
            if timeout is None or isinstance(error, GridError) or not limit.expired():
                raise
            raise DeadlineExceeded("the next message of the stream", timeout) from None
