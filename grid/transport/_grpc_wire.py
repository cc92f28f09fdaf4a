"""A session on a gRPC stream.

Two tasks for a session, and none for a message: the reader gives each frame to
the link; the writer writes the next frame as soon as the one before is
written, and sleeps when there is none.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import grpc.aio

from grid.deadline import now
from grid.transport.wire import Frames

__all__ = ["GrpcWire"]

_log = logging.getLogger("grid.transport")

_CLOSED = "the other side closed the session"
_LAST_FRAMES = 1.0  # seconds for the other side to end after this one has


async def _nothing() -> None:
    return


def _no_cancel() -> None:
    return


class _CallEnded(Exception):
    """A write into a call that has ended; its status says why."""


class GrpcWire:
    """One bidirectional gRPC call.

    Args:
        read: the call's; anything but bytes is the end.
        write: the call's.
        finish: the call's half-close, if it has one.
        cancel: ends the call, and with it a read and a write, if it can be ended from here.
        status: the code and the text with which the call has ended, if they may be others than
            those of an error.

    Attributes:
        status: the status of the call, once it failed.
    """

    def __init__(
        self,
        read: Callable[[], Awaitable[object]],
        write: Callable[[Any], Awaitable[None]],
        finish: Callable[[], Awaitable[None]] = _nothing,
        cancel: Callable[[], None] = _no_cancel,
        status: Callable[[], Awaitable[tuple[grpc.StatusCode, str]]] | None = None,
    ) -> None:
        self._read_frame = read
        self._write_frame = write
        self._finish = finish
        self._cancel_call = cancel
        self._status = status
        self._waker: asyncio.Future[None] | None = None
        self._relieved: asyncio.Future[None] | None = None
        self.overlap = 2
        self.status: grpc.StatusCode | None = None

    def wake(self) -> None:
        """There is something to write, or the link is over."""
        if self._waker is not None and not self._waker.done():
            self._waker.set_result(None)

    async def carry(self, link: Frames) -> str:
        """Carry frames both ways until the end; returns why. Cancelling it ends it at once."""
        reader = asyncio.create_task(self._read(link), name="session reader")
        writer = asyncio.create_task(self._write(link), name="session writer")
        for task in (reader, writer):
            task.add_done_callback(_retrieve)
        try:
            done, _ = await asyncio.wait(
                (reader, writer, link.given_up), return_when=asyncio.FIRST_COMPLETED
            )
            if link.given_up in done:
                reason = link.given_up.result()
            else:
                if not reader.done() and link.closing:
                    await asyncio.wait((reader,), timeout=_LAST_FRAMES)
                reason = await self._outcome(reader if reader.done() else writer)
            link.end(reason)
            # gRPC cannot end a call in the midst of a write.
            await asyncio.wait((writer,), timeout=_LAST_FRAMES)
        finally:
            await self._stop(reader, writer)
        return reason

    def peer_is_stopped(self) -> bool:
        """False: gRPC's own pings notice a process that does not run."""
        return False

    async def _read(self, link: Frames) -> str:
        read, feed = self._read_frame, link.feed
        while True:
            frame = await read()
            if not isinstance(frame, bytes):
                return _CLOSED
            violation = feed(frame)
            if violation is not None:
                return violation
            while link.congested:
                await self._relief()

    async def _write(self, link: Frames) -> str:
        write, next_frame, written = self._write_frame, link.next_frame, link.frame_written
        while not link.reason:
            frame = next_frame()
            if frame is not None:
                try:
                    await write(frame)
                except asyncio.InvalidStateError:
                    raise _CallEnded from None
                written()
                if self._relieved is not None and not self._relieved.done():
                    self._relieved.set_result(None)
            elif link.closing:
                await self._finish()
                return "closed"
            else:
                await self._wait(link.held_until)
        return link.reason

    async def _stop(self, reader: asyncio.Task[str], writer: asyncio.Task[str]) -> None:
        if self._cancel_call is not _no_cancel:
            self._cancel_call()
            # A read or a write that is cancelled here would be reported to the loop later on.
            if _is_pending(self._relieved):
                reader.cancel()
            if _is_pending(self._waker):
                writer.cancel()
            await asyncio.wait((reader, writer), timeout=_LAST_FRAMES)
        reader.cancel()
        writer.cancel()
        await asyncio.wait((reader, writer))

    async def _relief(self) -> None:
        self._relieved = asyncio.get_running_loop().create_future()
        await self._relieved

    async def _wait(self, held_until: float) -> None:
        loop = asyncio.get_running_loop()
        self._waker = loop.create_future()
        if held_until == math.inf:
            await self._waker
            return
        timer = loop.call_later(max(0.0, held_until - now()), self.wake)
        try:
            await self._waker
        finally:
            timer.cancel()

    async def _outcome(self, task: asyncio.Task[str]) -> str:
        if task.cancelled():
            return "the stream was cancelled"
        error = task.exception()
        if error is None:
            return task.result()
        if self._status is not None and isinstance(error, (grpc.aio.AioRpcError, _CallEnded)):
            code, text = await self._status()
            if code is grpc.StatusCode.OK:
                return _CLOSED
            self.status = code
        elif isinstance(error, grpc.aio.AioRpcError):
            self.status, text = error.code(), error.details() or ""
        else:
            _log.error("a session ends by a defect", exc_info=error)
            return repr(error)
        return text or self.status.name


def _retrieve(task: asyncio.Task[str]) -> None:
    # The error of a call that this side has ended: `_outcome` looks at every other one, and
    # `_stop` may be cancelled before it could.
    if not task.cancelled():
        task.exception()


def _is_pending(waiting: asyncio.Future[None] | None) -> bool:
    return waiting is not None and not waiting.done()
