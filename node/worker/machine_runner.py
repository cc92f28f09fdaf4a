"""Runner of jobs on a worker that is a machine: one job at a time through its states."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import Any

from machine.core.machine import Machine
from machine.core.transition import Event
from node.pool_pb2 import Done, Failure
from node.worker.runners import Task, failure_of
from node.worker.running_job import RunningJob, current
from rpc.machines.errors import NotPlainData
from rpc.machines.values import from_scalar, to_scalar

__all__ = ["MachineRunner"]


class MachineRunner:
    """Adds `WorkRequested` for each job, and answers it at `WorkReady` or at `Exception`."""

    def __init__(self, machine: Machine[Any], kind: str, worker: str) -> None:
        self.busy_since: float | None = None
        self._machine = machine
        self._kind = kind
        self._worker = worker
        self._waiting: deque[Task] = deque()
        self._wake = asyncio.Event()
        self._result: asyncio.Future[Any] | None = None
        machine.bind({"WorkReadyState": self._ready, "ExceptionState": self._failed}, id="jobs")
        self._running = asyncio.create_task(self._run(), name=f"worker {worker}")

    def submit(self, task: Task) -> None:
        """Queue a job."""
        self._waiting.append(task)
        self._wake.set()

    async def stop(self) -> None:
        """Give the job that runs up."""
        self._running.cancel()
        await asyncio.wait([self._running])

    async def _run(self) -> None:
        while True:
            while not self._waiting:
                self._wake.clear()
                await self._wake.wait()
            task = self._waiting.popleft()
            if task.dropped:
                task.finish(None)
                continue
            began = self.busy_since = time.monotonic()
            done = await self._done(task)
            self.busy_since = None
            done.seconds = time.monotonic() - began
            task.finish(done)

    async def _done(self, task: Task) -> Done:
        machine, message = self._machine, task.message
        done = Done(id=message.id)
        current.set(RunningJob(self._kind, self._worker, message.attempt, task.report))
        self._result = asyncio.get_running_loop().create_future()
        try:
            args = {"input": from_scalar(message.input)}
            result = machine.add("WorkRequested", args=args)
            if result.canceled:
                text = f"the worker does not take the job: {result.why}"
                done.failure.CopyFrom(Failure(type="Canceled", text=text))
            else:
                done.value.CopyFrom(to_scalar(await self._result))
        except NotPlainData as error:
            done.failure.CopyFrom(failure_of(error))
        except Exception as error:  # noqa: BLE001 - of the job
            done.failure.CopyFrom(failure_of(error))
            machine.remove("WorkRequested", "Working", "ErrWork", "Exception")
        finally:
            self._result = None
        machine.remove("WorkReady")
        return done

    def _ready(self, event: Event) -> None:
        if self._result is None:  # a client moves the machine by hand
            self._machine.remove("WorkReady")
        elif not self._result.done():
            self._result.set_result(event.args.get("result"))

    def _failed(self) -> None:
        error = self._machine.err
        if self._result is None:
            self._machine.remove("WorkRequested", "Working")
        elif not self._result.done():
            self._result.set_exception(error or RuntimeError("the worker has an error"))
