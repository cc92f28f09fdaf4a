"""Waits that are carried on by their waiters, in a task or in a thread.

Theory of operation
-------------------

A helper is written once, as a generator. It yields each step to wait for (a
Wait, a Result, a pause), and is sent the step's value.
A task awaits the step, a thread blocks for it; the code between two steps runs
in the waiter that comes first. So the same lines serve `await` and `.wait()`,
no loop is started for a thread, and mutations are made where the caller is.

If a waiter is cancelled or times out, the step stays where it is, and another
waiter can go on with it.
"""

from __future__ import annotations

import asyncio
import threading
import time
from asyncio import events
from collections.abc import Coroutine, Generator
from types import TracebackType
from typing import Any, Protocol, TypeAlias, TypeVar

from machine.core.machine import Machine
from machine.errors import InvalidArgument, WaitTimeout
from machine.helpers.background import sleep
from machine.waits.contexts import StateContext
from machine.waits.wait import Wait

__all__ = ["AnyMachine", "DrivenWait", "Pause", "Stepped", "Steps", "refuse_blocking"]

AnyMachine: TypeAlias = Machine[Any]
T = TypeVar("T")


class Step(Protocol):
    """An object that tasks await and threads block for."""

    def __await__(self) -> Generator[Any, None, Any]: ...

    def wait(self, timeout: float | None = None) -> Any: ...


Steps: TypeAlias = Generator[Step, Any, T]


class DrivenWait(Wait[T], Coroutine[Any, Any, T]):
    """A wait that does nothing before it is awaited, or `.wait()`ed for by a thread.

    It is a coroutine, too: `asyncio.create_task` and `TaskGroup.create_task`
    take it. Cancelling the task that awaits it ends the work, but takes no
    mutation back.

    Raises, when awaited or waited for:
        WaitTimeout: the `timeout` that was given with it is over, counted in
            seconds from the call that made it.
        InvalidArgument: `.wait()` in a handler of the machine, which would wait
            for itself, or in the thread of a running event loop.
    """

    __slots__ = ("_coroutine", "_ends_at", "_machine", "_timeout")

    def __init__(self, what: str, machine: AnyMachine | None, timeout: float | None) -> None:
        super().__init__(what)
        self._machine = machine
        self._timeout = timeout
        self._ends_at = None if timeout is None else time.monotonic() + timeout
        self._coroutine: Coroutine[Any, Any, T] | None = None

    async def _drive(self) -> None:
        """Carry it on in a task until it is done."""
        raise NotImplementedError

    def _drive_in_thread(self, ends_at: float | None) -> None:
        """Carry it on in a thread until it is done.

        Raises:
            WaitTimeout: it is not done at that time of the monotonic clock.
        """
        raise NotImplementedError

    def __await__(self) -> Generator[Any, None, T]:
        if not self.done:
            yield from self._drive().__await__()
        return self._outcome()

    def wait(self, timeout: float | None = None) -> T:
        """Block this thread until it is done, and return its value.

        Args:
            timeout: seconds from now, besides those that were given with it.
        """
        refuse_blocking("wait", self._machine)
        if not self.done:
            ends = [] if self._ends_at is None else [self._ends_at]
            if timeout is not None:
                ends.append(time.monotonic() + timeout)
            self._drive_in_thread(min(ends, default=None))
        return self._outcome()

    def _overdue(self, timeout: float | None = None) -> WaitTimeout:
        seconds = self._timeout if timeout is None else timeout
        machine = None if self._machine is None else self._machine.id
        return WaitTimeout(self.what, seconds or 0.0, machine=machine)

    # -- as a coroutine, for asyncio.create_task ------------------------------------------

    def send(self, value: Any, /) -> Any:
        """Carry it on as a coroutine; for event loops."""
        if self._coroutine is None:
            self._coroutine = _awaiting(self)
        return self._coroutine.send(value)

    def throw(
        self,
        kind: Any,
        value: BaseException | object = None,
        traceback: TracebackType | None = None,
        /,
    ) -> Any:
        """Raise an error where it waits, as in a coroutine; for event loops."""
        if self._coroutine is None:
            self._coroutine = _awaiting(self)
        return self._coroutine.throw(value if isinstance(value, BaseException) else kind)

    def close(self) -> None:
        """End its coroutine, if it was begun as one."""
        if self._coroutine is not None:
            self._coroutine.close()


class Stepped(DrivenWait[T]):
    """A generator of steps, carried on by its waiters.

    Args:
        steps: yields each step to wait for, and returns the value.
    """

    __slots__ = ("_begun", "_lock", "_step", "_steps")

    def __init__(
        self, what: str, steps: Steps[T], machine: AnyMachine, timeout: float | None
    ) -> None:
        super().__init__(what, machine, timeout)
        self._steps = steps
        self._step: Step | None = None
        self._begun = False
        self._lock = threading.Lock()

    async def _drive(self) -> None:
        self._begin()
        while not self._done and (step := self._step) is not None:
            left = None if self._ends_at is None else self._ends_at - time.monotonic()
            deadline = asyncio.timeout(left)
            try:
                async with deadline:
                    value = await step
            except TimeoutError as error:
                if deadline.expired():
                    raise self._overdue() from None
                self._advance(step, error=error)
            except Exception as error:  # noqa: BLE001 - for the generator, or the waiter
                self._advance(step, error=error)
            else:
                self._advance(step, value)

    def _drive_in_thread(self, ends_at: float | None) -> None:
        began = time.monotonic()
        self._begin()
        while not self._done and (step := self._step) is not None:
            left = None if ends_at is None else max(0.0, ends_at - time.monotonic())
            try:
                value = step.wait(left)
            except WaitTimeout as error:
                if ends_at is not None and time.monotonic() >= ends_at:
                    given = self._timeout if ends_at == self._ends_at else ends_at - began
                    raise self._overdue(given) from None
                self._advance(step, error=error)
            except Exception as error:  # noqa: BLE001 - for the generator, or the waiter
                self._advance(step, error=error)
            else:
                self._advance(step, value)

    def _begin(self) -> None:
        if not self._begun:
            self._begun = True
            self._advance(None)

    def _advance(
        self, step: Step | None, value: Any = None, error: Exception | None = None
    ) -> None:
        """Go on to the next step, unless another waiter has done so."""
        with self._lock:
            if self._done or self._step is not step:
                return
            try:
                if error is None:
                    self._step = self._steps.send(value)
                else:
                    self._step = self._steps.throw(error)
            except StopIteration as end:
                self._resolve(end.value)
            except Exception as raised:  # noqa: BLE001 - raised at all waiters
                self._end(raised)


class Pause:
    """A step of some seconds; less if a context expires.

    Its value is False if the context expired.
    """

    def __init__(self, seconds: float, ctx: StateContext | None = None) -> None:
        self._ends_at = time.monotonic() + seconds
        self._ctx = ctx

    def __await__(self) -> Generator[Any, None, bool]:
        return self._pass().__await__()

    async def _pass(self) -> bool:
        left = max(0.0, self._ends_at - time.monotonic())
        if self._ctx is None:
            await asyncio.sleep(left)
            return True
        return await sleep(self._ctx, left)

    def wait(self, timeout: float | None = None) -> bool:
        """Block this thread for the seconds.

        Raises:
            WaitTimeout: the timeout is over before.
        """
        left = max(0.0, self._ends_at - time.monotonic())
        seconds = left if timeout is None else min(left, timeout)
        if self._ctx is None:
            time.sleep(seconds)
        else:
            try:
                self._ctx.expiry.wait(seconds)
            except WaitTimeout:
                pass
            else:
                return False
        if seconds < left:
            raise WaitTimeout("a pause", seconds)
        return True


def refuse_blocking(what: str, machine: AnyMachine | None) -> None:
    """Raise where blocking would wait for itself.

    Raises:
        InvalidArgument: this is a handler of the machine, or the thread of a
            running event loop.
    """
    if machine is not None and machine.in_handler:
        raise InvalidArgument(
            f"a handler cannot {what}: the queue goes on only after the handler",
            machine=machine.id,
            hint="Mutate and return; or await it in an async State handler.",
        )
    if events._get_running_loop() is not None:
        raise InvalidArgument(
            f"the thread of an event loop cannot block to {what} without stopping the loop",
            machine=None if machine is None else machine.id,
            hint="Await it instead of calling .wait().",
        )


async def _awaiting(wait: Wait[T]) -> T:
    return await wait
