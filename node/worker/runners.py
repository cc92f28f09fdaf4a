"""Runners of jobs: a thread for plain functions, tasks for async ones."""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Protocol, cast

from node.pool_pb2 import Done, Job
from node.worker.definition import WorkerDefinition
from node.worker.failures import failure_of, result_of
from node.worker.running_job import RunningJob, current
from rpc.machines.values import from_scalar

__all__ = ["LoopRunner", "Runner", "Task", "TaskRunner", "ThreadRunner"]

_STOP_WAIT = 1.0  # seconds


class Task(Protocol):
    """A job with the place that its result goes to."""

    message: Job

    def begin(self) -> bool:
        """Begin; False if it need not run any more. Called once."""

    @property
    def cancelled(self) -> bool:
        """True if its client has left or cancelled it: its result is dropped."""

    def report(self, fraction: float, text: str) -> None:
        """Pass its progress on; in any thread."""

    def finish(self, done: Done | None) -> None:
        """Pass its result on, None if it was dropped; in any thread."""


class Runner(Protocol):
    """Runs jobs in their order."""

    def submit(self, task: Task) -> None:
        """Queue a job."""

    def cancel(self, task: Task) -> bool:
        """Cancel a job as far as it can be; True if it runs now, and is told of when it has ended.

        One that has not begun is dropped at its turn.
        """

    async def settle(self) -> None:
        """End what the client has begun beside its jobs, and wait for it."""

    def check(self) -> None:
        """Raise `RuntimeError` unless jobs can run."""

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
        self._running: Task | None = None
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name=f"worker {worker}", daemon=True)
        self._thread.start()

    def submit(self, task: Task) -> None:
        """Queue a job."""
        self._queue.put(task)

    def cancel(self, task: Task) -> bool:
        """True if it runs now: a thread cannot be interrupted."""
        return self._running is task

    async def settle(self) -> None:
        """Nothing: there are only its jobs."""

    def check(self) -> None:
        """Raise `RuntimeError` unless the thread lives."""
        if not (self._thread.is_alive() or self._stopping):
            raise RuntimeError("the thread of its jobs has ended")

    async def stop(self) -> None:
        """Let the thread end after the job that it runs."""
        self._stopping = True
        self._queue.put(None)
        # Not longer than its job may take: a thread cannot be ended.
        await asyncio.to_thread(self._thread.join, _STOP_WAIT)

    def _run(self) -> None:
        while (task := self._queue.get()) is not None:
            self._running = task  # before it begins: `cancel` looks the other way round
            if not task.begin():
                self._running = None
                task.finish(None)
                continue
            began = self.busy_since = time.monotonic()
            done = self._done(task)
            self.busy_since = self._running = None
            done.seconds = time.monotonic() - began
            task.finish(None if task.cancelled else done)

    def _done(self, task: Task) -> Done:
        message = task.message
        done = Done(id=message.id)
        try:
            current.set(_running(self._definition, self._worker, message, task.report))
            result = self._definition.function(from_scalar(message.input))
            done.value.CopyFrom(result_of(result))
        except BaseException as error:  # noqa: BLE001 - of the job, SystemExit too
            done.failure.CopyFrom(failure_of(error))
        return done


class LoopRunner:
    """Runs jobs on the event loop, several at once; what a job does is `perform`."""

    def __init__(self, definition: WorkerDefinition, worker: str) -> None:
        self._definition = definition
        self._worker = worker
        self._waiting: deque[Task] = deque()
        self._wake = asyncio.Event()
        self._began: dict[Task, float] = {}
        self._slots: dict[Task, asyncio.Task[None]] = {}  # where jobs run
        self._stopping = False
        self._tasks = [
            asyncio.create_task(self._run(), name=f"worker {worker} {number}")
            for number in range(definition.settings.concurrency)
        ]

    async def perform(self, task: Task, done: Done) -> None:
        """Do a job and fill in its result; what it raises is the job's failure."""
        raise NotImplementedError

    @property
    def busy_since(self) -> float | None:
        """The time when the oldest running job began; None if none runs."""
        return min(self._began.values(), default=None)

    def submit(self, task: Task) -> None:
        """Queue a job."""
        self._waiting.append(task)
        self._wake.set()

    def cancel(self, task: Task) -> bool:
        """Cancel a job that runs; True if it does."""
        slot = self._slots.get(task)
        if slot is not None:
            slot.cancel()
        return slot is not None

    async def settle(self) -> None:
        """Nothing: there are only its jobs."""

    def check(self) -> None:
        """Raise `RuntimeError` if a task of jobs has ended."""
        if not self._stopping and any(one.done() for one in self._tasks):
            raise RuntimeError("a task of its jobs has ended")

    async def stop(self) -> None:
        """Cancel the jobs that run. Those that go on all the same are not waited for."""
        self._stopping = True
        for one in self._tasks:
            one.cancel()
        await asyncio.wait(self._tasks, timeout=_STOP_WAIT)

    async def _run(self) -> None:
        slot = cast("asyncio.Task[None]", asyncio.current_task())
        while not self._stopping:
            while not self._waiting:
                self._wake.clear()
                await self._wake.wait()
            task = self._waiting.popleft()
            if not task.begin():
                task.finish(None)
                continue
            done = await self._done(task, slot)
            if done is not None:
                task.finish(None if task.cancelled else done)

    async def _done(self, task: Task, slot: asyncio.Task[None]) -> Done | None:
        """Do a job; None if the worker stops."""
        began = self._began[task] = time.monotonic()
        self._slots[task] = slot
        done = Done(id=task.message.id)
        try:
            current.set(_running(self._definition, self._worker, task.message, task.report))
            await self.perform(task, done)
        except BaseException as error:
            if self._stopping:
                raise
            done.failure.CopyFrom(failure_of(error))
        finally:
            del self._began[task]
            del self._slots[task]
        if slot.cancelling():
            await _forget_cancellation(slot)
        done.seconds = time.monotonic() - began
        return None if self._stopping else done


class TaskRunner(LoopRunner):
    """Runs async functions."""

    async def perform(self, task: Task, done: Done) -> None:
        """Await the function."""
        result = await self._definition.function(from_scalar(task.message.input))
        done.value.CopyFrom(result_of(result))


def _running(
    definition: WorkerDefinition, worker: str, message: Job, report: Callable[[float, str], None]
) -> RunningJob:
    return RunningJob(definition.kind, worker, message.attempt, report)


async def _forget_cancellation(task: asyncio.Task[None]) -> None:
    """Let this task go on after its job was cancelled, or has cancelled it."""
    with contextlib.suppress(asyncio.CancelledError):  # one that has not been raised yet
        await asyncio.sleep(0)
    while task.cancelling():
        task.uncancel()
