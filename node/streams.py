"""A stream with an outbox: posting is synchronous, one task sends."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from types import TracebackType
from typing import Self

from google.protobuf.message import Message

from grid.errors import GridError
from grid.stream import Stream

__all__ = ["PostingStream"]

_log = logging.getLogger("node")


class PostingStream:
    """One end of a stream whose messages are queued now and sent by a task of its own.

    If a message cannot be sent the stream ends, of which the reader of `stream` learns.

    Attributes:
        stream: the stream.
    """

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self._outbox: deque[Message] = deque()
        self._wake = asyncio.Event()
        self._finishing = False
        self._sending = asyncio.create_task(self._send(), name="pool stream")

    @property
    def waiting(self) -> int:
        """Number of messages that are not sent yet."""
        return len(self._outbox)

    def post(self, message: Message) -> None:
        """Queue a message."""
        if not self._sending.done():
            self._outbox.append(message)
            self._wake.set()

    def finish(self) -> None:
        """Close the stream once what was posted is sent."""
        self._finishing = True
        self._wake.set()

    async def close(self, reason: str | GridError | None = None) -> None:
        """End the stream, after what was posted if there is no reason."""
        if reason is None:
            self.finish()
            await asyncio.wait([self._sending], timeout=1.0)
        self._sending.cancel()
        await asyncio.wait([self._sending])
        await self.stream.close(reason)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        cut = error is not None and not isinstance(error, asyncio.CancelledError)
        await self.close("the other side has failed" if cut else None)

    async def _send(self) -> None:
        try:
            while True:
                while self._outbox:
                    await self.stream.send(self._outbox.popleft())
                if self._finishing:
                    await self.stream.close()
                    return
                self._wake.clear()
                await self._wake.wait()
        except GridError as error:
            self._outbox.clear()
            await self.stream.close(error)  # nothing, if it is over already
        except Exception as error:  # noqa: BLE001 - the reader must not wait for ever
            _log.exception("a stream of pools cannot be written")
            self._outbox.clear()
            await self.stream.close(f"{type(error).__name__}: {error}")
