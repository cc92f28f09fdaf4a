"""Timers of an actor: functions called once or again and again while the actor runs.

A call waits for its turn in the actor's order of events: where an actor serves its requests one
after another, no timer's call runs during a request and no request during a timer's call. A
repeated timer keeps to the rhythm that it began with; what comes due while a call of it still
runs, or waits for its turn, is skipped, so that a slow actor is not behind for ever. An error of a
call is logged and ends neither the timer nor the actor.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Protocol

from grid.errors import InvalidArgument
from grid.numbers import check_seconds
from grid.signatures import needs_arguments

__all__ = ["Clock", "Timer", "Timers"]

Call = Callable[[], Awaitable[object] | object]
_Log = logging.Logger | logging.LoggerAdapter[logging.Logger]


class Clock(Protocol):
    """The time that timers follow."""

    def time(self) -> float:
        """Seconds since some moment."""

    async def sleep(self, seconds: float) -> None:
        """Return after that time."""


class _LoopClock:
    """The time of the running event loop."""

    def time(self) -> float:
        return asyncio.get_running_loop().time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


_LOOP_CLOCK = _LoopClock()


class Timer:
    """A timer that runs; made by `ActorContext.after` and `every`."""

    __slots__ = ("_task",)

    def __init__(self, task: asyncio.Task[None] | None) -> None:
        self._task = task  # None if the actor had ended when it was asked for

    def __repr__(self) -> str:
        name = self._task.get_name() if self._task is not None else "of an actor that had ended"
        return f"<Timer {name} {'active' if self.active else 'over'}>"

    @property
    def active(self) -> bool:
        """True while a call is still to come, or runs."""
        return self._task is not None and not self._task.done()

    def cancel(self) -> None:
        """Call nothing more. A call that runs is cancelled, unless it is this one's own."""
        task = self._task
        if task is None:
            return
        is_own = task is asyncio.current_task()
        if is_own:
            task.get_loop().call_soon(task.cancel)
        else:
            task.cancel()


class Turns:
    """The order of what an actor does one at a time: requests, and the calls of timers.

    Attributes:
        busy: True while something has its turn. A holder that finds it False may set it, which
            costs less than `take` for each request.
    """

    __slots__ = ("_waiting", "busy")

    def __init__(self) -> None:
        self.busy: bool = False
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def take(self) -> None:
        """Wait for a turn, first in, first out, and have it."""
        while self.busy:
            waiter = asyncio.get_running_loop().create_future()
            self._waiting.append(waiter)
            try:
                await waiter
            except asyncio.CancelledError:
                if waiter.done() and not waiter.cancelled():
                    self.give()  # the turn was handed over already
                raise
            return  # it stayed busy, in the name of this holder
        self.busy = True

    def give(self) -> None:
        """End a turn; the next in line has it."""
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return
        self.busy = False


class Timers:
    """The timers of one actor.

    Args:
        owner: the actor's full name, for the log.
        log: gets the errors of calls.
        clock: the time that they follow; by default that of the event loop.

    Attributes:
        turns: each call takes one; the actor's requests take theirs if they are served one after
            another.
    """

    def __init__(self, owner: str, log: _Log, clock: Clock | None = None) -> None:
        self._clock = _LOOP_CLOCK if clock is None else clock
        self.turns: Turns = Turns()
        self._owner = owner
        self._log = log
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False

    def start(self, seconds: float, call: Call, *, again: bool) -> Timer:
        """Call a function after some seconds, and if `again` is true after each as many more.

        Raises:
            InvalidArgument: the seconds are no such number, or the function cannot be called so.
        """
        check_seconds("the time of a timer", seconds, zero=not again)
        if not callable(call) or needs_arguments(call):
            raise InvalidArgument("the call of a timer", call, "a function without arguments")
        if self._closed:
            return Timer(None)
        name = f"timer {getattr(call, '__name__', repr(call))} of {self._owner}"
        task = asyncio.create_task(self._run(seconds, call, again), name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return Timer(task)

    def open(self) -> None:
        """Take timers again, after `close`; the turn of a call that was cut short is over."""
        self._closed = False
        self.turns = Turns()

    async def close(self) -> None:
        """Cancel all timers, wait until calls that run have ended, and start no more."""
        self._closed = True
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _run(self, seconds: float, call: Call, again: bool) -> None:
        clock = self._clock
        due = clock.time() + seconds
        while True:
            await clock.sleep(due - clock.time())
            await self.turns.take()
            try:
                await self._call(call)
            finally:
                self.turns.give()
            if not again:
                return
            missed = max(0.0, clock.time() - due) // seconds
            due += (missed + 1) * seconds

    async def _call(self, call: Call) -> None:
        try:
            made = call()
            if inspect.isawaitable(made):
                await made
        except Exception:  # noqa: BLE001 - of the timer's own call, which has no caller to tell
            self._log.exception("a timer of actor %s failed", self._owner)
        except (SystemExit, KeyboardInterrupt) as error:
            # asyncio would hand them to the loop, and the peer with all its actors would end.
            self._log.error("a timer of actor %s raised %r", self._owner, error)
