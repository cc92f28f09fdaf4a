"""Runner of jobs on a worker that is a machine: one job at a time through its states."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from machine.core.machine import Machine
from machine.core.transition import Event
from node.errors import to_future
from node.pool_pb2 import Done, Failure
from node.worker.definition import WorkerDefinition
from node.worker.failures import result_of
from node.worker.machine import WorkerMachine
from node.worker.runners import LoopRunner, Task
from rpc.machines.errors import NotPlainData
from rpc.machines.values import from_scalar

__all__ = ["MachineRunner"]

_OF_OTHERS = frozenset({"ErrSupervisor", "ErrWorkTimeout"})  # errors that end no job


class MachineRunner(LoopRunner):
    """Adds `WorkRequested` for each job, and answers it at `WorkReady` or at `Exception`.

    Jobs that the client begins by hand count as busy, too.
    """

    def __init__(self, machine: Machine[Any], definition: WorkerDefinition, worker: str) -> None:
        super().__init__(definition, worker)
        self._machine = machine
        self._result: asyncio.Future[Any] | None = None
        self._left_idle: float | None = None
        handlers = {
            "WorkReadyState": self._ready,
            "ExceptionState": self._failed,
            "IdleState": self._idle,
            "IdleEnd": self._working,
        }
        machine.bind(handlers, id="jobs")

    @property
    def busy_since(self) -> float | None:
        """The time when the machine began its job; None if it is idle."""
        return super().busy_since or self._left_idle

    async def perform(self, task: Task, done: Done) -> None:
        """Have the machine do the job."""
        machine = self._machine
        args = {"input": from_scalar(task.message.input)}
        self._result = asyncio.get_running_loop().create_future()
        result = machine.add("WorkRequested", args=args)
        if result.canceled:
            self._result = None
            text = f"the worker does not take the job: {result.why}"
            done.failure.CopyFrom(Failure(type="Canceled", text=text))
            return
        try:
            done.value.CopyFrom(result_of(await self._result))
        except NotPlainData as error:
            machine.add_err_state("ErrWork", error)
            raise
        finally:
            self._result = None
            # Whatever came of it, the next job finds the worker idle.
            await self._end_work()
            if machine.is_("Exception"):
                machine.remove("ErrWork", "Exception")

    async def settle(self) -> None:
        """End a job that the client has begun by hand."""
        await self._end_work()

    async def _end_work(self) -> None:
        machine = self._machine
        machine.remove("WorkRequested", "Working", "WorkReady")
        if isinstance(machine, WorkerMachine):
            await machine.settled()

    def _ready(self, event: Event) -> None:
        if self._result is None:  # a client moves the machine by hand
            self._machine.remove("WorkReady")
        elif not self._result.done():
            self._result.set_result(event.args.get("result"))

    def _failed(self, event: Event) -> None:
        if not _OF_OTHERS.isdisjoint(event.mutation.called):
            return
        error = event.args.get("error")
        if self._result is None:
            self._machine.remove("WorkRequested", "Working")
        elif not self._result.done():
            self._result.set_exception(to_future(error or RuntimeError("the worker has an error")))

    def _working(self) -> None:
        self._left_idle = time.monotonic()

    def _idle(self) -> None:
        self._left_idle = None
        if self._machine.is_("ErrWorkTimeout"):  # the job was faster than the worker's end
            self._machine.remove("ErrWorkTimeout", "Exception")
