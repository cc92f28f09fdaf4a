"""Workers that are state machines: the base of those that users write."""

from __future__ import annotations

import asyncio
import inspect
from typing import Any, TypeVar

from machine.core.machine import Machine
from machine.core.transition import Event
from node.worker.states import WorkerStates

__all__ = ["WorkerMachine"]

S = TypeVar("S", bound=WorkerStates)


class WorkerMachine(Machine[S], schema=WorkerStates):
    """A worker that is a state machine; derive from it and define `work`.

        @node.worker(peer, "render")
        class Renderer(node.WorkerMachine):
            async def work(self, input):
                return await render(input)

    A job goes through `WorkRequested`, `Working`, `WorkReady` and back to `Idle`. A class that
    has its own `WorkRequestedState` or `WorkingState` moves on by itself: it adds `Working`, and
    calls `finish`.
    """

    def work(self, input: Any) -> Any:  # noqa: A002
        """Do a job and return its result; async, or plain, which then runs in a thread."""
        raise NotImplementedError(f"{type(self).__name__} needs a method work(self, input)")

    def finish(self, result: Any = None) -> None:
        """End the job with its result: `WorkReady`."""
        self.add("WorkReady", args={"result": result})

    def send_payload(self, name: str, data: bytes) -> None:
        """Send data to the client, which gets them as an `rpc.Payload`."""
        self.add("ClientSendPayload", args={"name": name, "data": data})

    def WorkRequestedState(self, event: Event) -> None:  # noqa: N802
        """Begin at once."""
        self.add("Working", args=dict(event.args))

    async def WorkingState(self, input: Any = None) -> None:  # noqa: A002, N802
        """Call `work`; its error is `ErrWork`."""
        try:
            if inspect.iscoroutinefunction(self.work):
                result = await self.work(input)
            else:
                result = await asyncio.to_thread(self.work, input)
        except Exception as error:  # noqa: BLE001 - of the job
            self.add_err_state("ErrWork", error)
        else:
            self.finish(result)
