"""The stream between a client and one worker: jobs there, results back."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from grid.client.client import Client as GridClient
from grid.deadline import Deadline
from grid.errors import GridError, MessageTooLarge
from node.errors import JobFailed, WorkerLost
from node.names import VERSION, jobs_mailbox
from node.pool_pb2 import Done, FromWorker, Job, Progress, Serve, ToWorker
from node.streams import PostingStream
from rpc.machine_pb2 import Scalar
from rpc.machines.values import from_scalar, to_scalar

__all__ = ["Order", "WorkerLink", "order_of", "outcome"]

_log = logging.getLogger("node.client")

_BATCH = 1 << 20  # bytes of jobs in one message, about
_OPEN_TIMEOUT = 5.0  # seconds
_LEAST_TRY = 0.1  # seconds
_BUSY_PAUSE = 0.02  # seconds before a worker that was just freed is asked again
_OVERHEAD = 64  # bytes of a message beside the input of its job, at most


def _ignore(_: object) -> None:
    """Nothing."""


@dataclass(slots=True, eq=False)
class Order:
    """A job that a client wants to be done.

    Attributes:
        input: as it is sent.
        size: bytes of a message with it, at most.
        on_done: called with the result.
        on_progress: called with its progress.
        attempt: which try it is, from 1.
    """

    input: Scalar
    size: int
    on_done: Callable[[Done], None] = _ignore
    on_progress: Callable[[Progress], None] | None = None
    attempt: int = 1


class WorkerLink:
    """One worker, as its client sees it. Jobs are done in their order.

    Args:
        posting: the stream to the worker, which has accepted it.
        worker: its name.
        on_end: called once with the jobs that are not done, in their order, and the reason for
            which the worker has ended; None if it ended in order.
        largest: bytes of the largest message that can be sent there.

    Attributes:
        worker: its name.
        on_returned: called with jobs that were taken back, and have not begun.
        on_concurrency: called with the number of jobs that the worker runs at once, if it is
            not one.
    """

    def __init__(
        self,
        posting: PostingStream,
        worker: str,
        on_end: Callable[[list[Order], GridError | None], None],
        largest: int,
    ) -> None:
        self.worker = worker
        self.on_returned: Callable[[list[Order]], None] = _ignore
        self.on_concurrency: Callable[[int], None] = _ignore
        self._posting = posting
        self._on_end = on_end
        self._ids = itertools.count(1)
        self._orders: dict[int, Order] = {}
        self._wanted_back: set[int] = set()
        self._outbox = ToWorker()
        self._posted = False
        self._size = 0
        self._largest = largest
        self._batch = min(_BATCH, largest)
        self._loop = asyncio.get_running_loop()
        self._reading = asyncio.create_task(self._read(), name=f"link to {worker}")

    @classmethod
    async def open(
        cls,
        client: GridClient,
        worker: str,
        name: str,
        on_end: Callable[[list[Order], GridError | None], None],
        is_wanted: Callable[[], bool],
        timeout: float = _OPEN_TIMEOUT,
    ) -> WorkerLink | None:
        """Open the stream to a worker that was granted.

        Args:
            client: of the grid.
            worker: its name.
            name: of the client of the pool.
            on_end: see the class.
            is_wanted: asked before each try; the last client may not have left yet.
            timeout: seconds for all tries.

        Returns:
            The link; None if the worker turned out to be gone or in other hands.
        """
        deadline = Deadline.after(min(timeout, _OPEN_TIMEOUT))
        serve = Serve(version=VERSION, client=name)
        while is_wanted() and not deadline.passed:
            try:
                seconds = max(_LEAST_TRY, deadline.remaining())
                stream = await client.stream(jobs_mailbox(worker), serve, timeout=seconds)
                largest = stream.largest
            except GridError:
                await asyncio.sleep(_BUSY_PAUSE)
            else:
                return cls(PostingStream(stream), worker, on_end, largest)
        return None

    def submit(self, order: Order) -> int:
        """Send a job with the next message; its number on this link.

        Raises:
            MessageTooLarge: it cannot be sent. The link goes on.
        """
        if order.size > self._largest:
            raise MessageTooLarge(order.size, self._largest)
        if self._size + order.size > self._batch:
            self._flush()  # a message has several jobs or a large one, and so is never too large
        number = next(self._ids)
        self._orders[number] = order
        self._size += order.size
        self._outbox.jobs.append(Job(id=number, attempt=order.attempt, input=order.input))
        self._flush_soon()
        return number

    def queued(self, running: int) -> int:
        """Number of jobs that `take_back` may ask for."""
        return len(self._queued(running))

    def take_back(self, count: int, running: int) -> None:
        """Ask for the last jobs that have not begun; each is asked for once.

        Those that have not begun come back through `on_returned`; the others are done here.

        Args:
            count: of jobs, at most.
            running: number of the first ones that stay, for they run.
        """
        wanted = self._queued(running)[-count:] if count else []
        if wanted:
            self._wanted_back.update(wanted)
            self._outbox.wanted_back.extend(wanted)
            self._flush_soon()

    def _queued(self, running: int) -> list[int]:
        behind = itertools.islice(self._orders, running, None)
        return [one for one in behind if one not in self._wanted_back]

    def cancel(self, number: int) -> None:
        """Forget a job; the worker skips it if it has not begun."""
        if self._pop(number) is not None:
            self._outbox.cancelled.append(number)
            self._flush_soon()

    async def close(self) -> None:
        """Let the worker go; jobs that are not done are dropped."""
        self._orders.clear()
        self._wanted_back.clear()
        self._reading.cancel()
        await asyncio.wait([self._reading])
        await self._posting.close()

    def _flush_soon(self) -> None:
        if not self._posted:  # one message for all jobs of this turn of the loop
            self._posted = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._posted = False
        self._size = 0
        message, self._outbox = self._outbox, ToWorker()
        if message.jobs or message.cancelled or message.wanted_back:
            self._posting.post(message)

    async def _read(self) -> None:
        reason: GridError | None = None
        try:
            async for message in self._posting.stream:
                if isinstance(message, FromWorker):
                    self._heard(message)
        except GridError as error:
            reason = error
        except Exception as error:  # noqa: BLE001 - its owner must not wait for ever
            _log.exception("the link to %s has failed", self.worker)
            reason = WorkerLost(self.worker, f"{type(error).__name__}: {error}")
        # Its owner is told before anything is waited for, or it would go on to submit jobs.
        left, self._orders = list(self._orders.values()), {}
        self._on_end(left, reason)
        await self._posting.close()

    def _pop(self, number: int) -> Order | None:
        self._wanted_back.discard(number)
        return self._orders.pop(number, None)

    def _heard(self, message: FromWorker) -> None:
        if message.concurrency:
            self.on_concurrency(message.concurrency)
        for progress in message.progress:
            order = self._orders.get(progress.id)
            if order is not None and order.on_progress is not None:
                order.on_progress(progress)
        for done in message.done:
            order = self._pop(done.id)
            if order is not None:
                order.on_done(done)
        returned = [order for one in message.returned if (order := self._pop(one)) is not None]
        if returned:
            self.on_returned(returned)


def order_of(value: Any, limit: int) -> Order:
    """The job with an input.

    Args:
        value: the input.
        limit: bytes that the client sends at most; a worker may take less.

    Raises:
        NotPlainData, MessageTooLarge: it cannot be sent.
    """
    scalar = to_scalar(value)
    size = scalar.ByteSize() + _OVERHEAD
    if size > limit:
        raise MessageTooLarge(size, limit)
    return Order(scalar, size)


def outcome(done: Done) -> Any:
    """The result of a job.

    Raises:
        JobFailed: it raised.
        NotPlainData: its result is a protobuf message of a type that is not known here.
    """
    if done.HasField("failure"):
        failure = done.failure
        raise JobFailed(failure.type, failure.text, failure.traceback)
    return from_scalar(done.value)
