"""One end of a stream of the psrpc protocol: each message is acknowledged."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable, Callable

from grid.errors import GridError, MessageTooLarge
from rpc.psrpc_pb2 import Stream, StreamAck, StreamClose, StreamMessage
from rpc.services.codes import ErrorCode
from rpc.services.errors import CallTimedOut, ServiceError, StreamEnded, error_of
from rpc.services.psrpc.ids import nanoseconds, new_id

__all__ = ["PsrpcPipe"]

_HELD = 100  # messages that are acknowledged before they are read
_WAITING = 1000  # messages that wait for room; the sender of a further one is not told that it came
_CLOSED = "stream closed"


class PsrpcPipe:
    """See `Pipe`.

    A message is acknowledged when it is in the queue of its reader. If that is full, the
    acknowledgement waits until there is room, and the other side's `send` with it.

    Args:
        stream_id: of the stream.
        publish: sends a frame to the other side.
        timeout: seconds for an acknowledgement.
        over: called once when the stream has ended.
    """

    def __init__(
        self,
        stream_id: str,
        publish: Callable[[Stream], Awaitable[object]],
        timeout: float,
        over: Callable[[], object],
        member: str = "",
    ) -> None:
        self._id = stream_id
        self._publish = publish
        self._timeout = timeout
        self._over: Callable[[], object] | None = over
        self._member = member
        self._items: deque[bytes] = deque()
        self._unacknowledged: deque[tuple[Stream, bytes]] = deque()
        self._acks: dict[str, asyncio.Future[None]] = {}
        self._arrived = asyncio.Event()
        self._ended = False
        self._error: ServiceError | None = None
        self._tasks: set[asyncio.Task[object]] = set()

    async def send(self, payload: bytes) -> None:
        """See `Pipe`."""
        if self._ended:
            raise self._error or StreamEnded(_CLOSED, members=self._members())
        request = new_id("REQ_")
        acknowledged = self._acks[request] = asyncio.get_running_loop().create_future()
        frame = self._frame(request, message=StreamMessage(raw_message=payload))
        try:
            async with asyncio.timeout(self._timeout):
                await self._publish(frame)
                await acknowledged
        except TimeoutError as error:
            if isinstance(error, GridError):
                raise
            raise CallTimedOut(
                f"the stream: no acknowledgement within {self._timeout:g} s",
                members=self._members(),
            ) from None
        finally:
            self._acks.pop(request, None)

    async def receive(self) -> bytes | None:
        """See `Pipe`."""
        while not self._items:
            if self._ended:
                if self._error is not None:
                    raise self._error
                return None
            self._arrived.clear()
            await self._arrived.wait()
        item = self._items.popleft()
        if self._unacknowledged:
            frame, payload = self._unacknowledged.popleft()
            self._items.append(payload)
            self._acknowledge(frame)
        return item

    def finish(self) -> None:
        """See `Pipe`; the protocol has no half of a stream."""
        self._keep(self.close(None))

    async def close(self, error: ServiceError | None) -> None:
        """See `Pipe`."""
        if self._ended:
            return
        self._end(None if error is None else error)
        code, text = ErrorCode.CANCELED, _CLOSED
        if error is not None:
            code, text = error.code, error.text
        own = asyncio.current_task()
        acknowledging = [task for task in self._tasks if task is not own]
        # Its caller may be cancelled meanwhile, and the other side would wait for ever.
        await asyncio.shield(self._keep(self._tell_end(text, code, acknowledging)))

    async def _tell_end(
        self, text: str, code: str, acknowledging: list[asyncio.Task[object]]
    ) -> None:
        if acknowledging:  # or a `send` that has arrived would fail with the reason of the close
            await asyncio.wait(acknowledging, timeout=self._timeout)
        with contextlib.suppress(GridError, TimeoutError):  # a broker that hangs takes nothing
            async with asyncio.timeout(self._timeout):
                try:
                    await self._publish_close(text, code)
                except (
                    MessageTooLarge
                ) as large:  # the other side waits for the end, whatever it was
                    await self._publish_close(str(large), code)

    async def _publish_close(self, text: str, code: str) -> None:
        await self._publish(self._frame(new_id("REQ_"), close=StreamClose(error=text, code=code)))

    def take(self, frame: Stream) -> None:
        """Take what the other side has sent."""
        kind = frame.WhichOneof("body")
        if kind == "ack":
            acknowledged = self._acks.get(frame.request_id)
            if acknowledged is not None and not acknowledged.done():
                acknowledged.set_result(None)
        elif kind == "message" and not self._ended:
            payload = frame.message.raw_message or frame.message.message.value
            if len(self._items) < _HELD:
                self._items.append(payload)
                self._acknowledge(frame)
                self._arrived.set()
            elif len(self._unacknowledged) < _WAITING:
                self._unacknowledged.append((frame, payload))
        elif kind == "close":
            close = frame.close
            normal = close.code == ErrorCode.CANCELED and close.error == _CLOSED
            self._end(
                None
                if normal
                else error_of(close.code, close.error or _CLOSED, members=self._members())
            )

    def _acknowledge(self, frame: Stream) -> None:
        ack = Stream(
            stream_id=self._id,
            request_id=frame.request_id,
            sent_at=frame.sent_at,
            expiry=frame.expiry,
            ack=StreamAck(),
        )
        self._keep(self._publish(ack))

    def _end(self, error: ServiceError | None) -> None:
        if self._ended:
            return
        self._ended = True
        self._error = error
        for acknowledged in self._acks.values():
            if not acknowledged.done():
                acknowledged.set_exception(error or StreamEnded(_CLOSED, members=self._members()))
        self._arrived.set()
        if self._over is not None:
            over, self._over = self._over, None
            over()

    def _frame(self, request: str, **body: object) -> Stream:
        now = nanoseconds()
        expiry = now + int(self._timeout * 1e9)
        return Stream(
            stream_id=self._id,
            request_id=request,
            sent_at=now,
            expiry=expiry,
            **body,  # type: ignore[arg-type]
        )

    def _keep(self, work: Awaitable[object]) -> asyncio.Task[object]:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[object]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # a bus that is away: the other side's send times out

    def _members(self) -> tuple[str, ...]:
        return (self._member,) if self._member else ()
