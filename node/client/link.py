"""The stream between a client and one worker: jobs there, results back."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from grid.client.client import Client as GridClient
from grid.errors import GridError
from node.errors import JobFailed
from node.names import VERSION, jobs_mailbox
from node.pool_pb2 import Done, FromWorker, Job, Progress, Serve, ToWorker
from node.streams import PostingStream
from rpc.machine_pb2 import Scalar
from rpc.machines.values import from_scalar

__all__ = ["Order", "WorkerLink", "outcome"]


_BATCH = 1 << 20  # bytes of jobs in one message, about


def _ignore(_: Done) -> None:
    """Nothing."""


@dataclass(slots=True, eq=False)
class Order:
    """A job that a client wants to be done.

    Attributes:
        input: as it is sent.
        on_done: called with the result.
        on_progress: called with its progress.
        attempt: which try it is, from 1.
    """

    input: Scalar
    on_done: Callable[[Done], None] = _ignore
    on_progress: Callable[[Progress], None] | None = None
    attempt: int = 1


class WorkerLink:
    """One worker, as its client sees it. Jobs are done in their order.

    Args:
        stream: to the worker, which has accepted it.
        worker: its name.
        on_end: called once with the jobs that are not done, in their order, and the reason for
            which the worker has ended; None if it ended in order.

    Attributes:
        worker: its name.
    """

    def __init__(
        self,
        posting: PostingStream,
        worker: str,
        on_end: Callable[[list[Order], GridError | None], None],
    ) -> None:
        self.worker = worker
        self._posting = posting
        self._on_end = on_end
        self._ids = itertools.count(1)
        self._orders: dict[int, Order] = {}
        self._outbox = ToWorker()
        self._posted = False
        self._size = 0
        self._loop = asyncio.get_running_loop()
        self._reading = asyncio.create_task(self._read(), name=f"link to {worker}")

    @classmethod
    async def open(
        cls,
        client: GridClient,
        worker: str,
        name: str,
        on_end: Callable[[list[Order], GridError | None], None],
        timeout: float,
    ) -> WorkerLink:
        """Open the stream to a worker.

        Raises:
            GridError: it is gone, or serves another client.
        """
        serve = Serve(version=VERSION, client=name)
        stream = await client.stream(jobs_mailbox(worker), serve, timeout=timeout)
        return cls(PostingStream(stream), worker, on_end)

    def submit(self, order: Order) -> int:
        """Send a job with the next message; its number on this link."""
        number = next(self._ids)
        self._orders[number] = order
        self._size += order.input.ByteSize()
        self._outbox.jobs.append(Job(id=number, attempt=order.attempt, input=order.input))
        if self._size > _BATCH:
            self._flush()
        else:
            self._flush_soon()
        return number

    def cancel(self, number: int) -> None:
        """Forget a job; the worker skips it if it has not begun."""
        if self._orders.pop(number, None) is not None:
            self._outbox.cancelled.append(number)
            self._flush_soon()

    async def close(self) -> None:
        """Let the worker go; jobs that are not done are dropped."""
        self._orders.clear()
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
        if message.jobs or message.cancelled:
            self._posting.post(message)

    async def _read(self) -> None:
        reason: GridError | None = None
        try:
            async for message in self._posting.stream:
                if isinstance(message, FromWorker):
                    self._heard(message)
        except GridError as error:
            reason = error
        # Its owner is told before anything is waited for, or it would go on to submit jobs.
        left, self._orders = list(self._orders.values()), {}
        self._on_end(left, reason)
        await self._posting.close()

    def _heard(self, message: FromWorker) -> None:
        for progress in message.progress:
            order = self._orders.get(progress.id)
            if order is not None and order.on_progress is not None:
                order.on_progress(progress)
        for done in message.done:
            order = self._orders.pop(done.id, None)
            if order is not None:
                order.on_done(done)


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
