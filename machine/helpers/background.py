"""Work in the background that belongs to the context of a state."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import Any, ParamSpec, TypeVar

from machine.core.machine import Machine
from machine.errors import InvalidArgument, MachineError
from machine.waits.contexts import StateContext

__all__ = ["BusyLoop", "Pool", "StateLoop", "go_after", "healthcheck", "interval", "sleep"]

P = ParamSpec("P")
T = TypeVar("T")


async def sleep(ctx: StateContext, seconds: float) -> bool:
    """Sleep while a context lasts.

    Returns:
        True after the seconds; False as soon as the context has expired.
    """
    if ctx.expired:
        return False
    async with ctx:
        await asyncio.sleep(seconds)
        return True
    return False


async def interval(
    ctx: StateContext,
    every: float,
    function: Callable[[], Awaitable[object] | object],
    *,
    length: float | None = None,
) -> bool:
    """Call a function periodically while a context lasts.

    Args:
        every: seconds from one call to the next, and before the first. If a
            call takes longer, the next follows at once.
        function: plain or async; returning False ends the interval. Its errors
            are raised here. An async one is cancelled when the context expires.
        length: seconds after which it ends.

    Returns:
        True if the function or `length` ended it, False if the context expired.

    Raises:
        InvalidArgument: `every` is not above 0.
    """
    if every <= 0:
        raise InvalidArgument(f"every must be above 0 seconds, not {every!r}", argument="every")
    if ctx.expired:
        return False
    clock = asyncio.get_running_loop().time
    due = began = clock()
    async with ctx:
        while True:
            due = max(due + every, clock())
            last = length is not None and due > began + length
            end = began + length if last and length is not None else due
            await asyncio.sleep(end - clock())
            if last:
                return True
            answer = function()
            if inspect.isawaitable(answer):
                answer = await answer
            if answer is False:
                return True
    return False


async def healthcheck(ctx: StateContext, machine: Machine[Any], every: float = 30.0) -> None:
    """Add `Healthcheck` periodically while a context lasts, so that observers see it alive.

    Args:
        every: seconds between two additions.
    """
    machine.add("Healthcheck")
    await interval(ctx, every, lambda: machine.add("Healthcheck"))


def go_after(
    ctx: StateContext,
    seconds: float,
    function: Callable[P, object],
    /,
    *args: P.args,
    **kwargs: P.kwargs,
) -> asyncio.Task[Any]:
    """Call a function, plain or async, after some seconds, if a context lasts until then.

    Its error becomes the machine's error. Cancel the task to take the call back.

    Raises:
        NoEventLoop: no loop runs in this thread.
    """

    async def wait() -> object:
        await asyncio.sleep(seconds)
        answer = function(*args, **kwargs)
        return await answer if inspect.isawaitable(answer) else answer

    return ctx.create_task(wait(), name=getattr(function, "__qualname__", None))


class BusyLoop(MachineError, RuntimeError):
    """A loop in the background runs without waiting for anything."""


class StateLoop:
    """A guard of a background loop of a state: ends it with the state, or when it runs wild.

        async def ConnectedState(self, ctx):
            loop = StateLoop(ctx)
            while loop.ok():
                await self.read()

    Args:
        ctx: the context of the state.
        threshold: the number of rounds that is too many for one window.
        window: seconds after which the count starts again from 0.
    """

    def __init__(self, ctx: StateContext, *, threshold: int = 500, window: float = 1.0) -> None:
        if threshold < 1 or window <= 0:
            raise InvalidArgument("threshold and window must be above 0", argument="threshold")
        self._ctx = ctx
        self._threshold = threshold
        self._window = window
        self._rounds = 0
        self._began = time.monotonic()

    def ok(self) -> bool:
        """True while the loop may go on; False once the context has expired.

        Raises:
            BusyLoop: more rounds than the threshold came within one window.
                Raised out of a task of the state, it becomes the machine's error.
        """
        if self._ctx.expired:
            return False
        now = time.monotonic()
        if now - self._began >= self._window:
            self._began, self._rounds = now, 0
        self._rounds += 1
        if self._rounds > self._threshold:
            raise BusyLoop(
                f"a loop of {self._ctx.state} made {self._threshold} rounds "
                f"in {now - self._began:.3f} s",
                machine=self._ctx.machine_id,
                state=self._ctx.state,
                hint="Let it wait for something, or raise the threshold.",
            )
        return True


class Pool:
    """Background work of a state, with a limit on how much runs at a time.

    Tasks are cancelled when the context expires; work that has not begun by
    then never does. An error of one becomes the machine's error, and the others go on.

    Args:
        ctx: the context of the state.
        limit: the number of tasks that run at the same time.

    Raises:
        InvalidArgument: the limit is not above 0.
    """

    def __init__(self, ctx: StateContext, limit: int) -> None:
        if limit < 1:
            raise InvalidArgument(f"limit must be above 0, not {limit!r}", argument="limit")
        self._ctx = ctx
        self._limit = limit
        self._turns = asyncio.Semaphore(limit)
        self._tasks: set[asyncio.Task[Any]] = set()

    def __len__(self) -> int:
        """The number of tasks that run or wait for their turn."""
        return len(self._tasks)

    @property
    def full(self) -> bool:
        """True if the next task would have to wait."""
        return len(self._tasks) >= self._limit

    def start(
        self, function: Callable[P, Awaitable[T]], /, *args: P.args, **kwargs: P.kwargs
    ) -> asyncio.Task[T]:
        """Await `function(*args, **kwargs)` in a task as soon as it has its turn.

        Raises:
            NoEventLoop: no loop runs in this thread.
        """

        async def work() -> T:
            async with self._turns:
                return await function(*args, **kwargs)

        name = getattr(function, "__qualname__", None)
        task = self._ctx.create_task(work(), name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def start_now(
        self, function: Callable[P, Awaitable[T]], /, *args: P.args, **kwargs: P.kwargs
    ) -> asyncio.Task[T] | None:
        """As `start` if it need not wait and the context lasts; else None."""
        if self.full or self._ctx.expired:
            return None
        return self.start(function, *args, **kwargs)

    async def join(self) -> None:
        """Wait until no task runs or waits any more, however each ended."""
        while self._tasks:
            await asyncio.wait(self._tasks)
