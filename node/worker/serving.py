"""Serving of jobs: one client at a time, over a stream to the worker's mailbox."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any

from grid.errors import GridError
from grid.mailbox.mailbox import Mailbox
from grid.mailbox.request import Request
from node.errors import JobFailed
from node.names import VERSION, WORKER_TYPE, jobs_mailbox
from node.pool_pb2 import Done, Serve
from node.streams import PostingStream
from node.worker.definition import WorkerDefinition
from node.worker.life import WorkerLife
from node.worker.machine_runner import MachineRunner
from node.worker.runners import Runner, TaskRunner, ThreadRunner
from node.worker.session import Session
from rpc.machines.server import Host

__all__ = ["JobServer"]

_log = logging.getLogger("node.worker")

_OVERHEAD = 1024  # bytes of a message beside its results, at most


class JobServer:
    """The jobs of one worker.

    Args:
        definition: of its kind.
        host: where its mailbox is opened.
        name: of the worker.
        on_client: called with the id of the client that it serves from now on; "" for none.
        limit: bytes of a result at most.
        job_timeout: seconds that a job may take; 0: any number.
        grace: seconds that a job may go on whose client has left or cancelled it.
        on_stuck: called with the reason when one goes on for longer: then the worker must be ended.

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
        *,
        limit: int = 100 << 20,
        job_timeout: float = 0.0,
        grace: float = 5.0,
        on_stuck: Callable[[str], None],
    ) -> None:
        self.client = ""
        self.jobs = 0
        self.errors = 0
        self._definition = definition
        self._host = host
        self._name = name
        self._on_client = on_client
        self._limit = limit - _OVERHEAD
        self._job_timeout = job_timeout
        self._grace = grace
        self._on_stuck = on_stuck
        self._life = WorkerLife(definition, host, name)
        self._runner: Runner | None = None
        self._mailbox: Mailbox | None = None
        self._accepting: asyncio.Task[None] | None = None
        self._session: Session | None = None
        self._serving: asyncio.Task[None] | None = None
        self._watching: asyncio.Task[None] | None = None
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
        if self._job_timeout:
            watching = self._watch(self._runner, self._job_timeout)
            self._watching = asyncio.create_task(watching, name=f"worker {self._name} watches")

    def supervised(self, connected: bool) -> None:
        """Note whether there is a supervisor, as the worker's agent sees it."""
        self._life.supervised(connected)

    async def _watch(self, runner: Runner, limit: float) -> None:
        """Say so when a job takes longer than it may; the agent then ends the worker."""
        told: float | None = None
        while True:
            since = runner.busy_since
            known = since is None or since == told
            left = limit if known else (since or 0.0) + limit - time.monotonic()
            if left > 0:
                await asyncio.sleep(left)
            else:
                told = since
                self._life.overran(limit)

    def _make_runner(self) -> Runner:
        definition = self._definition
        if definition.is_machine:
            return MachineRunner(self._life.machine, definition, self._name)
        if definition.is_async:
            return TaskRunner(definition, self._name)
        return ThreadRunner(definition, self._name)

    def check(self) -> None:
        """Raise `RuntimeError` unless jobs can run."""
        if self._runner is not None:
            self._runner.check()

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
        for task in (self._accepting, self._serving, self._watching):
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
        client = client or "unnamed"
        if not self._life.serve(client):
            request.fail(f"{self._name!r} does not serve {client!r}", code="RESOURCE_EXHAUSTED")
            return
        try:
            stream = request.accept()
            limit = min(self._limit, stream.largest - _OVERHEAD)
        except GridError as error:
            _log.debug("a client of %r left before it was accepted: %s", self._name, error)
            self._life.client_left()
            self._life.free()
            return
        self.client = client
        self._idle.clear()
        self._session = Session(self, self._life, PostingStream(stream), runner, limit, self._grace)
        self._session.introduce(self._definition.settings.concurrency)
        self._on_client(self.client)
        serving = self._session.run()
        self._serving = asyncio.create_task(serving, name=f"worker {self._name} serves")

    def counted(self, done: Done) -> None:
        """Count a job that is done."""
        self.jobs += 1
        if done.HasField("failure"):
            self.errors += 1
            self._life.failed(JobFailed(done.failure.type, done.failure.text))

    def stuck(self) -> None:
        """A job goes on for longer than it may after its client has left or cancelled it."""
        text = f"a job went on for {self._grace:g} s after its client had left or cancelled it"
        self._on_stuck(text)

    def session_over(self) -> None:
        """The client has left, and none of its jobs runs."""
        self._session, self.client = None, ""
        self._life.client_left()
        self._life.free()
        self._idle.set()
        self._on_client("")
