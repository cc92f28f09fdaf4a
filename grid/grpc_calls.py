"""The gRPC calls of a channel, which end before the channel is closed.

Theory of operation. gRPC's core reports each batch of a call to the event loop that began
it. `cancel` of a `grpc.aio` call, and cancelling a task that waits for one, drops the
waiting future at once, and core reports the batch a moment later. If the loop is closed by
then, the report reaches another loop of the process, which logs "Event loop is closed".
So calls are cancelled in core only, and nothing that waits for a batch is cancelled: all of
it ends by itself. A call has ended when no coroutine refers to its core call any more.
The core call is a private attribute of `grpc.aio`. With a version that has none, calls are
cancelled by their public method, and closing does not wait for them.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Coroutine, Generator
from typing import Any, Generic, TypeVar

import grpc
import grpc.aio

__all__ = ["ChannelCalls", "StreamStatus"]

T = TypeVar("T")

# Seconds. Cancelled calls end without the network: only a busy machine takes long.
_LONGEST_END = 5.0
_LONGEST_WAIT = 5.0  # for the status behind a write that failed; it is here, or nearly
_PAUSE = 0.001

# The text of `grpc.aio` for a write that failed, whose code is INTERNAL whatever the reason was.
_WRITE_FAILED = "Internal error from Core"


class _Sample:
    def __init__(self) -> None:
        self._cython_call = object()


def _core(call: Any) -> Any:
    return getattr(call, "_cython_call", None)


def _references(call: Any) -> int:
    return sys.getrefcount(call._cython_call)


_ALONE = _references(_Sample())  # Python versions count differently


def _has_ended(call: Any) -> bool:
    return _core(call) is None or _references(call) <= _ALONE


class _Whole(Generic[T]):
    """Runs an operation in the task that awaits this; what it waits for is never cancelled.

    `asyncio.shield` would make a task of each operation.
    """

    def __init__(
        self, operation: Coroutine[Any, Any, T], abandoned: set[asyncio.Future[Any]]
    ) -> None:
        self._operation = operation
        self._abandoned = abandoned

    def __await__(self) -> Generator[Any, None, T]:
        while True:
            try:
                future = self._operation.send(None)
            except StopIteration as end:
                result: T = end.value
                return result
            if future is None:  # the operation gives way to others
                yield
                continue
            future._asyncio_future_blocking = False  # it is the shield that is awaited
            try:
                yield from asyncio.shield(future).__await__()
            except asyncio.CancelledError:
                if not future.cancelled():
                    self._abandon(future)
                    raise
            except Exception:  # noqa: BLE001, S110 - the operation itself gets it
                pass

    def _abandon(self, future: asyncio.Future[Any]) -> None:
        self._abandoned.add(future)
        future.add_done_callback(self._end)

    def _end(self, future: asyncio.Future[Any]) -> None:
        self._abandoned.discard(future)
        if not future.cancelled():
            future.exception()  # or asyncio logs that it was never retrieved
        self._operation.close()


class ChannelCalls:
    """The calls of a channel and what waits for it."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._channel = channel
        self._open: set[Any] = set()
        self._ending: list[Any] = []  # they have a status, and had not ended when last looked at
        self._waiting: set[asyncio.Future[Any]] = set()  # for a batch of a call
        self._watching: set[asyncio.Future[Any]] = set()  # for the state of the channel

    def add(self, call: T) -> T:
        """Cancel a call at the latest when the channel is closed; returns the call."""
        self._open.add(call)
        call.add_done_callback(self._has_status)  # type: ignore[attr-defined]
        return call

    async def response(self, call: Awaitable[T]) -> T:
        """The response of a unary call; cancelling this cancels the call."""
        self.add(call)
        try:
            await call.code()  # type: ignore[attr-defined]
        except asyncio.CancelledError:
            self.cancel(call)
            raise
        return await call

    async def whole(self, operation: Coroutine[Any, Any, T]) -> T:
        """The result of a call's operation, which goes on when this is cancelled."""
        return await _Whole(operation, self._waiting)

    async def state_change(self, state: grpc.ChannelConnectivity) -> None:
        """Wait until the channel has left a state; closing it ends that, too."""
        await _Whole(self._channel.wait_for_state_change(state), self._watching)

    def cancel(self, call: Any) -> None:
        """Cancel a call; its reads and writes raise `CancelledError`. Idempotent."""
        if call.done():
            return
        core = _core(call)
        if core is None:
            call.cancel()
        else:
            core.cancel("cancelled by its caller")

    async def close(self) -> None:
        """Cancel all calls, wait until they have ended, and close the channel."""
        for call in tuple(self._open):
            self.cancel(call)
        loop = asyncio.get_running_loop()
        latest = loop.time() + _LONGEST_END
        await asyncio.sleep(0)  # calls that were just made begin, and then end
        while self._ending and loop.time() < latest:
            self._forget_ended()
            if self._ending:
                await asyncio.sleep(_PAUSE)
        # The channel cancels what still waits for a batch of a call, by the public method.
        await _ended(self._waiting, latest)
        await self._channel.close()
        await _ended(self._watching, latest)

    def _has_status(self, call: Any) -> None:
        self._open.discard(call)
        # Later, as a call that was just made refers to nothing yet: it would pass for ended.
        asyncio.get_running_loop().call_soon(self._end, call)

    def _end(self, call: Any) -> None:
        self._forget_ended()
        self._ending.append(call)

    def _forget_ended(self) -> None:
        self._ending = [call for call in self._ending if not _has_ended(call)]


async def _ended(waiting: set[asyncio.Future[Any]], latest: float) -> None:
    if waiting:
        left = latest - asyncio.get_running_loop().time()
        await asyncio.wait(tuple(waiting), timeout=max(_PAUSE, left))


class StreamStatus:
    """The status with which a call in both directions has ended.

    When the other side ends a call during a write, the write fails as well, and `grpc.aio` makes
    a status of that. It may come after the one that the other side gave, and replace it; or before
    it, and be replaced by it. Only the first of them is reported to callbacks.
    """

    def __init__(self, call: Any) -> None:
        self._call = call
        self._first: tuple[grpc.StatusCode, str] | None = None
        call.add_done_callback(self._note)

    async def get(self) -> tuple[grpc.StatusCode, str]:
        """The code and the text; waits for the end of the call."""
        status = await self._known()
        loop = asyncio.get_running_loop()
        latest = loop.time() + _LONGEST_WAIT
        while status[1] == _WRITE_FAILED and loop.time() < latest:
            await asyncio.sleep(_PAUSE)
            status = await self._known()
        return status

    async def _known(self) -> tuple[grpc.StatusCode, str]:
        status = await self._call.code(), await self._call.details() or ""
        if status[1] == _WRITE_FAILED and self._first is not None:
            return self._first
        return status

    def _note(self, call: Any) -> None:
        if self._first is None:
            self._first = _result(call.code()), _result(call.details()) or ""


def _result(known: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine that has nothing to wait for."""
    try:
        known.send(None)
    except StopIteration as end:
        result: T = end.value
        return result
    raise AssertionError("it waits")
