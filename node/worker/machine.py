"""Workers that are state machines: the base of those that users write."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from contextvars import copy_context
from functools import cached_property
from typing import Any, TypeVar

from machine.core.machine import Machine
from machine.core.transition import Event
from node.errors import NoClient
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
        """Send data to the client, which gets them as an `rpc.Payload`.

        Raises:
            NoClient: the worker serves none at the moment.
        """
        if self.not_("ClientConnected"):
            raise NoClient(self.id, name)
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
                result = await self._in_thread(input)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            self.add_err_state("ErrWork", RuntimeError("the job raised CancelledError"))
        except BaseException as error:  # noqa: BLE001 - of the job, SystemExit too
            self.add_err_state("ErrWork", error)
        else:
            self.finish(result)

    async def _in_thread(self, input: Any) -> Any:  # noqa: A002
        """Call a plain `work`; its thread goes on when this is cancelled."""
        context = copy_context()
        loop = asyncio.get_running_loop()
        thread = loop.run_in_executor(None, context.run, _outcome, self.work, input)
        self._threads.add(thread)
        thread.add_done_callback(self._threads.discard)
        result, error = await asyncio.shield(thread)
        if error is not None:
            raise error
        return result

    async def settled(self) -> None:
        """Wait until no thread runs a plain `work` any more, whose job may have been cancelled."""
        while self._threads:
            await asyncio.wait([*self._threads])

    @cached_property
    def _threads(self) -> set[asyncio.Future[Any]]:
        return set()


def _outcome(work: Callable[[Any], Any], input: Any) -> tuple[Any, BaseException | None]:  # noqa: A002
    """The result or the error of `work`; some errors cannot pass through a future."""
    try:
        return work(input), None
    except BaseException as error:  # noqa: BLE001 - of the job
        return None, error
