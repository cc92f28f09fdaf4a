"""A client's session with a worker: the jobs that it sent, those that run, and their results."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol, TypeVar

from grid.errors import GridError
from node.pool_pb2 import Done, Failure, FromWorker, Job, Progress, ToWorker
from node.streams import PostingStream
from node.worker.life import WorkerLife
from node.worker.runners import Runner

__all__ = ["Session", "SessionJob"]

T = TypeVar("T")

_log = logging.getLogger("node.worker")

_BATCH = 1 << 20  # bytes of results in one message, about
_UNSENT = 16  # messages that wait to be sent, beyond which reports of progress wait
_PAUSE = 0.01  # seconds until these are tried again
_REPORTS = 1000  # that are not sent yet


class SessionServer(Protocol):
    """The server of a session.

    Attributes:
        leaving: no other job shall begin.
    """

    leaving: bool

    def counted(self, done: Done) -> None:
        """Count a job that is done."""

    def stuck(self) -> None:
        """A job goes on for longer than it may after its client has left or cancelled it."""

    def session_over(self) -> None:
        """The client has left, and none of its jobs runs."""


class Session:
    """Jobs of one client.

    Args:
        server: that it belongs to.
        life: the worker's, which hears of the session's jobs.
        posting: the stream of the client.
        runner: of the jobs.
        limit: bytes of a result at most.
        grace: seconds that a job may go on after it was cancelled.
    """

    def __init__(
        self,
        server: SessionServer,
        life: WorkerLife,
        posting: PostingStream,
        runner: Runner,
        limit: int,
        grace: float,
    ) -> None:
        self.over = False
        self.limit = limit
        self._batch = min(_BATCH, limit)
        self.cancelled: set[int] = set()  # jobs that had begun
        self._waiting: dict[int, bool] = {}  # jobs that have not
        self._server = server
        self._life = life
        self._posting = posting
        self._runner = runner
        self._grace = grace
        self._jobs: dict[int, SessionJob] = {}  # that are not done
        self._outbox: deque[tuple[int, Done | None]] = deque()
        self._scheduled = False
        # Bounded, or a job that reports all the time would fill the memory.
        self._reports: deque[Progress] = deque(maxlen=_REPORTS)
        self._reporting = False
        self._empty = asyncio.Event()
        self._empty.set()
        self._loop = asyncio.get_running_loop()

    @property
    def leaving(self) -> bool:
        """True once no other job shall begin."""
        return self.over or self._server.leaving

    def introduce(self, concurrency: int) -> None:
        """Tell the client how many jobs run here at once, if it is not one."""
        if concurrency != 1:
            self._posting.post(FromWorker(concurrency=concurrency))

    async def run(self) -> None:
        """Take jobs until the client leaves; cancel those that run, and return when none does."""
        waiting: asyncio.TimerHandle | None = None
        try:
            async with self._posting:
                try:
                    async for message in self._posting.stream:
                        if isinstance(message, ToWorker):
                            self._take(message)
                except GridError as error:
                    _log.debug("the client of a worker has left: %s", error)
                self.over = True
                self._life.client_left()
                waiting = self._loop.call_later(self._grace, self._server.stuck)
                for number, job in self._jobs.items():
                    if number not in self.cancelled:  # a second time would cut what it cleans up
                        self._runner.cancel(job)
            await self._empty.wait()
            await self._runner.settle()
        finally:
            self.over = True
            if waiting is not None:
                waiting.cancel()
            self._server.session_over()

    def check(self) -> None:
        """End the stream if no job is left and no other one shall begin."""
        if not self._jobs and self.leaving and not self.over:
            self._posting.finish()

    def _take(self, message: ToWorker) -> None:
        for number in message.cancelled:
            if number in self._jobs:
                self._cancel(self._jobs[number])
        returned = [one for one in message.wanted_back if self.remove(one)]
        if returned:
            self._post(FromWorker(returned=returned))
        if message.jobs and not self._jobs:
            self._life.begin()
        for one in message.jobs:
            job = self._jobs[one.id] = SessionJob(self, one)
            self._empty.clear()
            if one.id not in message.cancelled:
                self._waiting[one.id] = True
            self._runner.submit(job)

    def _cancel(self, job: SessionJob) -> None:
        if self.remove(job.message.id):  # it has not begun
            return
        self.cancelled.add(job.message.id)
        if self._runner.cancel(job):
            self._loop.call_later(self._grace, self._check_ended, job)

    def _check_ended(self, job: SessionJob) -> None:
        if not self.over and self._jobs.get(job.message.id) is job:
            self._server.stuck()

    # -- calls of the runner, in any thread --------------------------------------------------

    def remove(self, job: int) -> bool:
        """Remove a job from those that wait; False if it is not one of them any more.

        A job begins, or goes back to the client, by whichever removes it: `dict.pop` is atomic.
        """
        return self._waiting.pop(job, False)

    def finish(self, job: int, done: Done | None) -> None:
        """Pass the result of a job on."""
        self._outbox.append((job, done))
        if not self._scheduled:  # one turn of the loop for all that are done until then
            self._scheduled = True
            self._call(self._flush)

    def report(self, job: int, fraction: float, text: str) -> None:
        """Pass the progress of a job on; the oldest report is dropped if too many are not sent."""
        self._reports.append(Progress(id=job, fraction=fraction, text=text))
        if not self._reporting:
            self._reporting = True
            self._call(self._flush_reports)

    def _flush_reports(self) -> None:
        if self._posting.waiting > _UNSENT and not self.over:
            self._loop.call_later(_PAUSE, self._flush_reports)
        else:
            self._reporting = False
            self._post_reports()

    def _post_reports(self) -> None:
        self._post_all("progress", _drained(self._reports))

    def _post_all(self, field: str, items: Iterable[Progress] | Iterable[Done]) -> None:
        """Post items in this field of as few messages as their size allows."""
        message, size = FromWorker(), 0
        for item in items:
            bytes_ = item.ByteSize()
            if size and size + bytes_ > self._batch:
                self._post(message)
                message, size = FromWorker(), 0
            getattr(message, field).append(item)
            size += bytes_
        if size:
            self._post(message)

    def _call(self, function: Callable[..., None], *arguments: object) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: the worker has ended
            self._loop.call_soon_threadsafe(function, *arguments)

    def _post(self, message: FromWorker) -> None:
        if not self.over:
            self._posting.post(message)

    def _flush(self) -> None:
        self._scheduled = False
        self._post_reports()  # of jobs that are done: the client forgets these
        self._post_all("done", self._finished())
        if not self._jobs:
            self._life.end()
            self._empty.set()
            self.check()

    def _finished(self) -> Iterator[Done]:
        for job, done in _drained(self._outbox):
            del self._jobs[job]
            self.cancelled.discard(job)
            if done is not None:
                self._server.counted(done)
                yield done


class SessionJob:
    """One job of a session, as its runner sees it."""

    __slots__ = ("_session", "message")

    def __init__(self, session: Session, message: Job) -> None:
        self.message = message
        self._session = session

    def begin(self) -> bool:
        """Begin; False if its client has left or does not want it here, or the worker ends."""
        session = self._session
        return session.remove(self.message.id) and not session.leaving

    @property
    def cancelled(self) -> bool:
        """True if its client has left or cancelled it."""
        return self._session.over or self.message.id in self._session.cancelled

    def report(self, fraction: float, text: str) -> None:
        """Pass its progress on."""
        self._session.report(self.message.id, fraction, text)

    def finish(self, done: Done | None) -> None:
        """Pass its result on."""
        if done is not None and done.ByteSize() > self._session.limit:
            text = f"the result has {done.ByteSize()} bytes; at most {self._session.limit} are sent"
            failure = Failure(type="MessageTooLarge", text=text)
            done = Done(id=done.id, failure=failure, seconds=done.seconds)
        self._session.finish(self.message.id, done)


def _drained(items: deque[T]) -> Iterator[T]:
    # Threads may add to it meanwhile.
    while items:
        yield items.popleft()
