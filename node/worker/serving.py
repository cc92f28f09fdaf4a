"""Serving of jobs: one client at a time, over a stream to the worker's mailbox."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from grid.errors import GridError
from grid.mailbox.mailbox import Mailbox
from grid.mailbox.request import Request
from node.names import VERSION, WORKER_TYPE, jobs_mailbox
from node.pool_pb2 import Done, Failure, FromWorker, Job, Progress, Serve, ToWorker
from node.streams import PostingStream
from node.worker.definition import WorkerDefinition
from node.worker.life import WorkerLife
from node.worker.machine_runner import MachineRunner
from node.worker.runners import Runner, TaskRunner, ThreadRunner
from rpc.machines.server import Host

__all__ = ["JobServer"]

_log = logging.getLogger("node.worker")

_BATCH = 1 << 20  # bytes of results in one message, about


class JobServer:
    """The jobs of one worker.

    Args:
        definition: of its kind.
        host: where its mailbox is opened.
        name: of the worker.
        on_client: called with the id of the client that it serves from now on; "" for none.
        limit: bytes of a result at most.

    Attributes:
        client: the client that it serves, or whose job still runs; "" for none.
        jobs: number of jobs that are done.
        errors: number of those that failed.
    """

    def __init__(
        self,
        definition: WorkerDefinition,
        host: Host,
        name: str,
        on_client: Callable[[str], None],
        limit: int = 100 << 20,
    ) -> None:
        self.client = ""
        self.jobs = 0
        self.errors = 0
        self._definition = definition
        self._host = host
        self._name = name
        self._on_client = on_client
        self._limit = limit - 1024
        self._life = WorkerLife(definition, host, name)
        self._runner: Runner | None = None
        self._mailbox: Mailbox | None = None
        self._accepting: asyncio.Task[None] | None = None
        self._session: _Session | None = None
        self._serving: asyncio.Task[None] | None = None
        self._idle = asyncio.Event()
        self._idle.set()
        self.leaving = False

    @property
    def busy(self) -> float:
        """Seconds for which its oldest job runs; 0 if none does."""
        since = self._runner.busy_since if self._runner is not None else None
        return 0.0 if since is None else time.monotonic() - since

    async def start(self) -> None:
        """Open the mailbox and take clients from now on.

        Raises:
            AlreadyRegistered, LeaseLost, EtcdUnavailable: as of `open_mailbox`.
        """
        await self._life.start()
        self._mailbox = await self._host.open_mailbox(
            jobs_mailbox(self._name), size=8, type=WORKER_TYPE
        )
        self._runner = self._make_runner()
        accepting = self._accept(self._mailbox)
        self._accepting = asyncio.create_task(accepting, name=f"worker {self._name}")

    def _make_runner(self) -> Runner:
        definition = self._definition
        if definition.is_machine:
            return MachineRunner(self._life.machine, definition.kind, self._name)
        if definition.is_async:
            return TaskRunner(definition, self._name)
        return ThreadRunner(definition, self._name)

    async def lost(self) -> None:
        """Wait until no client can come any more. Raises `LeaseLost` if the name is lost."""
        if self._accepting is not None:
            await asyncio.wait([self._accepting])
            self._accepting.result()

    async def finish(self) -> None:
        """Take no more jobs, and return when those that run are done and told of."""
        self.leaving = True
        if self._session is not None:
            self._session.check()
        await self._idle.wait()

    async def stop(self) -> None:
        """End at once; results that are not told of are lost."""
        self.leaving = True
        for task in (self._accepting, self._serving):
            if task is not None:
                task.cancel()
                await asyncio.wait([task])
        if self._runner is not None:
            await self._runner.stop()
        await self._life.stop()
        if self._mailbox is not None:
            await self._mailbox.close()

    async def _accept(self, mailbox: Mailbox) -> None:
        async for request in mailbox:
            message = request.message
            if not isinstance(message, Serve) or not request.opens_stream:
                request.fail(f"{self._name!r} is a worker: use it by node.Client")
            elif message.version != VERSION:
                request.fail(f"version {message.version} is not spoken; this is {VERSION}")
            elif self.client or self.leaving:
                request.fail(f"{self._name!r} serves another client", code="RESOURCE_EXHAUSTED")
            elif self._runner is not None:
                self._begin(request, message.client, self._runner)

    def _begin(self, request: Request[Any], client: str, runner: Runner) -> None:
        try:
            stream = request.accept()
        except GridError as error:
            _log.debug("a client of %r left before it was accepted: %s", self._name, error)
            return
        self.client = client or "unnamed"
        self._idle.clear()
        self._life.serve(self.client)
        self._session = _Session(self, self._life, PostingStream(stream), runner, self._limit)
        self._on_client(self.client)
        serving = self._session.run()
        self._serving = asyncio.create_task(serving, name=f"worker {self._name} serves")

    def counted(self, done: Done) -> None:
        """Count a job that is done."""
        self.jobs += 1
        self.errors += done.HasField("failure")

    def session_over(self) -> None:
        """The client has left, and none of its jobs runs."""
        self._session, self.client = None, ""
        self._life.serve("")
        self._idle.set()
        self._on_client("")


class _Session:
    """Jobs of one client."""

    def __init__(
        self,
        server: JobServer,
        life: WorkerLife,
        posting: PostingStream,
        runner: Runner,
        limit: int,
    ) -> None:
        self.over = False
        self.cancelled: set[int] = set()
        self.limit = limit
        self._server = server
        self._life = life
        self._posting = posting
        self._runner = runner
        self._unfinished = 0
        self._outbox: deque[Done | None] = deque()
        self._scheduled = False
        self._empty = asyncio.Event()
        self._empty.set()
        self._loop = asyncio.get_running_loop()

    @property
    def leaving(self) -> bool:
        """True once no other job shall begin."""
        return self.over or self._server.leaving

    async def run(self) -> None:
        """Take jobs until the client leaves; return when none of them runs."""
        try:
            async with self._posting:
                try:
                    async for message in self._posting.stream:
                        if isinstance(message, ToWorker):
                            self._take(message)
                except GridError as error:
                    _log.debug("the client of a worker has left: %s", error)
                self.over = True
            await self._empty.wait()
        finally:
            self.over = True
            self._server.session_over()

    def check(self) -> None:
        """End the stream if no job is left and no other one shall begin."""
        if self._unfinished == 0 and self.leaving and not self.over:
            self._posting.finish()

    def _take(self, message: ToWorker) -> None:
        self.cancelled.update(message.cancelled)
        if message.jobs and not self._unfinished:
            self._life.begin()
        for job in message.jobs:
            self._unfinished += 1
            self._empty.clear()
            self._runner.submit(_SessionJob(self, job))

    # -- calls of the runner, in any thread --------------------------------------------------

    def finish(self, done: Done | None) -> None:
        """Pass the result of a job on."""
        self._outbox.append(done)
        if not self._scheduled:  # one turn of the loop for all that are done until then
            self._scheduled = True
            self._call(self._flush)

    def report(self, job: int, fraction: float, text: str) -> None:
        """Pass the progress of a job on."""
        message = FromWorker(progress=[Progress(id=job, fraction=fraction, text=text)])
        self._call(self._post, message)

    def _call(self, function: Callable[..., None], *arguments: object) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: the worker has ended
            self._loop.call_soon_threadsafe(function, *arguments)

    def _post(self, message: FromWorker) -> None:
        if not self.over:
            self._posting.post(message)

    def _flush(self) -> None:
        self._scheduled = False
        message, size = FromWorker(), 0
        while self._outbox:
            done = self._outbox.popleft()
            self._unfinished -= 1
            if done is None:
                continue
            self._server.counted(done)
            bytes_ = done.ByteSize()
            if size and size + bytes_ > _BATCH:
                self._post(message)
                message, size = FromWorker(), 0
            message.done.append(done)
            size += bytes_
        if size:
            self._post(message)
        if self._unfinished == 0:
            self._life.end()
            self._empty.set()
            self.check()


class _SessionJob:
    """One job of a session, as its runner sees it."""

    __slots__ = ("_session", "message")

    def __init__(self, session: _Session, message: Job) -> None:
        self.message = message
        self._session = session

    @property
    def dropped(self) -> bool:
        """True if its client has left or cancelled it, or the worker is about to end."""
        session = self._session
        return session.leaving or self.message.id in session.cancelled

    def report(self, fraction: float, text: str) -> None:
        """Pass its progress on."""
        self._session.report(self.message.id, fraction, text)

    def finish(self, done: Done | None) -> None:
        """Pass its result on."""
        self._session.cancelled.discard(self.message.id)
        if done is not None and done.ByteSize() > self._session.limit:
            text = f"the result has {done.ByteSize()} bytes; at most {self._session.limit} are sent"
            failure = Failure(type="MessageTooLarge", text=text)
            done = Done(id=done.id, failure=failure, seconds=done.seconds)
        self._session.finish(done)
