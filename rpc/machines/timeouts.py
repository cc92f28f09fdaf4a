"""Deadlines of many calls on one timer.

A timer for each call would cost more than the rest of a call in one process. There is
one, set for the earliest deadline; answered calls leave it as it is.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable

from machine.errors import MachineError
from machine.waits.result import Result

__all__ = ["PendingCall", "Timeouts"]


class PendingCall:
    """A call, until its outcome is there.

    Args:
        number: of the call.
        seconds: until its deadline.

    Attributes:
        future: its result.
        deadline: in seconds of the loop's clock.
        sending: True while its task is held up in sending it and does not yet await the future.
    """

    __slots__ = (
        "_cancelling",
        "_error",
        "_task",
        "deadline",
        "future",
        "number",
        "seconds",
        "sending",
    )

    def __init__(self, number: int, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        self.number: int = number
        self.seconds: float = seconds
        self.future: asyncio.Future[Result] = loop.create_future()
        self.deadline: float = loop.time() + seconds
        self.sending = False
        self._error: MachineError | None = None
        self._task: asyncio.Task[object] | None = None
        self._cancelling = 0

    def remaining(self) -> float:
        """Seconds left; below 0 its time is over."""
        return self.deadline - asyncio.get_running_loop().time()

    def hold_up(self) -> None:
        """Note that the current task has to wait before it can send the call."""
        self.sending = True
        self._task = task = asyncio.current_task()
        self._cancelling = 0 if task is None else task.cancelling()

    def fail(self, error: Exception) -> None:
        """End the call with an error."""
        if not self.future.done():
            self.future.set_exception(error)

    def expire(self, error: MachineError) -> None:
        """End the call with an error, even if its task is held up in sending it."""
        if self.sending and self._task is not None:
            self._error = error
            self._task.cancel()
        else:
            self.fail(error)

    def timed_out(self) -> MachineError | None:
        """The error of a task that was cancelled by `expire`; None if others cancelled it, too."""
        if self._error is None or self._task is None:
            return None
        return self._error if self._task.uncancel() <= self._cancelling else None


class Timeouts:
    """The deadlines of calls.

    Args:
        error: makes the error of a call that has reached its deadline.

    Attributes:
        remove: watches a call no longer.
    """

    def __init__(self, error: Callable[[PendingCall], MachineError]) -> None:
        self._error = error
        self._calls: set[PendingCall] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = math.inf
        self.remove = self._calls.discard

    def add(self, call: PendingCall) -> None:
        """Watch a call."""
        self._calls.add(call)
        if call.deadline < self._timer_at:
            self._set(call.deadline)

    def close(self) -> None:
        """Stop the timer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer, self._timer_at = None, math.inf

    def _set(self, at: float) -> None:
        self.close()
        self._timer_at = at
        self._timer = asyncio.get_running_loop().call_at(at, self._fire)

    def _fire(self) -> None:
        self._timer, self._timer_at = None, math.inf
        now = asyncio.get_running_loop().time()
        for call in [one for one in self._calls if one.deadline <= now]:
            self._calls.discard(call)
            call.expire(self._error(call))
        if self._calls:
            self._set(min(one.deadline for one in self._calls))
