"""Runners of jobs: a thread for plain functions, tasks for async ones."""

from __future__ import annotations

import asyncio
import queue
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable
from typing import Protocol

from grid.errors.classification import text_of
from node.pool_pb2 import Done, Failure, Job
from node.worker.definition import WorkerDefinition
from node.worker.running_job import RunningJob, current
from rpc.machines.values import from_scalar, to_scalar

__all__ = ["Runner", "Task", "TaskRunner", "ThreadRunner", "failure_of"]

_STOP_WAIT = 1.0  # seconds


class Task(Protocol):
    """A job with the place that its result goes to."""

    message: Job

    @property
    def dropped(self) -> bool:
        """True if it need not run any more."""

    def report(self, fraction: float, text: str) -> None:
        """Pass its progress on; in any thread."""

    def finish(self, done: Done | None) -> None:
        """Pass its result on, None if it was dropped; in any thread."""


class Runner(Protocol):
    """Runs jobs in their order."""

    def submit(self, task: Task) -> None:
        """Queue a job."""

    @property
    def busy_since(self) -> float | None:
        """The time (`time.monotonic`) when the oldest running job began; None if none runs."""

    async def stop(self) -> None:
        """Take no more jobs; one that runs in a thread goes on."""


class ThreadRunner:
    """Runs plain functions one after another, in one thread."""

    def __init__(self, definition: WorkerDefinition, worker: str) -> None:
        self.busy_since: float | None = None
        self._definition = definition
        self._worker = worker
        self._queue: queue.SimpleQueue[Task | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=f"worker {worker}", daemon=True)
        self._thread.start()

    def submit(self, task: Task) -> None:
        """Queue a job."""
        self._queue.put(task)

    async def stop(self) -> None:
        """Let the thread end after the job that it runs."""
        self._queue.put(None)
        # Not longer than its job may take: a thread cannot be ended.
        await asyncio.to_thread(self._thread.join, _STOP_WAIT)

    def _run(self) -> None:
        while (task := self._queue.get()) is not None:
            if task.dropped:
                task.finish(None)
                continue
            began = self.busy_since = time.monotonic()
            done = self._done(task)
            self.busy_since = None
            done.seconds = time.monotonic() - began
            task.finish(done)

    def _done(self, task: Task) -> Done:
        message = task.message
        done = Done(id=message.id)
        try:
            current.set(_running(self._definition, self._worker, message, task.report))
            result = self._definition.function(from_scalar(message.input))
            done.value.CopyFrom(to_scalar(result))
        except BaseException as error:  # noqa: BLE001 - of the job, SystemExit too
            done.failure.CopyFrom(failure_of(error))
        return done


class TaskRunner:
    """Runs async functions on the event loop, several at once."""

    def __init__(self, definition: WorkerDefinition, worker: str) -> None:
        self._definition = definition
        self._worker = worker
        self._waiting: deque[Task] = deque()
        self._wake = asyncio.Event()
        self._began: dict[Task, float] = {}
        self._tasks = [
            asyncio.create_task(self._run(), name=f"worker {worker} {number}")
            for number in range(definition.settings.concurrency)
        ]

    @property
    def busy_since(self) -> float | None:
        """The time when the oldest running job began; None if none runs."""
        return min(self._began.values(), default=None)

    def submit(self, task: Task) -> None:
        """Queue a job."""
        self._waiting.append(task)
        self._wake.set()

    async def stop(self) -> None:
        """Cancel the jobs that run."""
        for one in self._tasks:
            one.cancel()
        await asyncio.wait(self._tasks)

    async def _run(self) -> None:
        while True:
            while not self._waiting:
                self._wake.clear()
                await self._wake.wait()
            task = self._waiting.popleft()
            if task.dropped:
                task.finish(None)
                continue
            began = self._began[task] = time.monotonic()
            try:
                done = await self._done(task)
            finally:
                del self._began[task]
            done.seconds = time.monotonic() - began
            task.finish(done)

    async def _done(self, task: Task) -> Done:
        message = task.message
        done = Done(id=message.id)
        try:
            current.set(_running(self._definition, self._worker, message, task.report))
            result = await self._definition.function(from_scalar(message.input))
            done.value.CopyFrom(to_scalar(result))
        except Exception as error:  # noqa: BLE001 - of the job
            done.failure.CopyFrom(failure_of(error))
        return done


def _running(
    definition: WorkerDefinition, worker: str, message: Job, report: Callable[[float, str], None]
) -> RunningJob:
    return RunningJob(definition.kind, worker, message.attempt, report)


def failure_of(error: BaseException) -> Failure:
    """The error of a job as a message, with its traceback."""
    shown = error.with_traceback(error.__traceback__ and error.__traceback__.tb_next)
    text = "".join(traceback.format_exception(shown))
    return Failure(type=type(error).__name__, text=text_of(error), traceback=_utf8(text))


def _utf8(text: str) -> str:
    return text.encode(errors="replace").decode()
