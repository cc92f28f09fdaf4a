"""The context of a state: its tasks, which end with one activation of it."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from asyncio import events
from collections.abc import Coroutine
from contextvars import ContextVar
from functools import partial
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar

from machine.errors import NoEventLoop
from machine.waits.eager import Starting, eager_task
from machine.waits.wait import Wait

__all__ = ["ContextHost", "StateContext", "set_attempt"]

T = TypeVar("T")
_attempt: ContextVar[tuple[object, int]] = ContextVar("machine_attempt", default=(None, 1))
# Over the wait of a context, which is made when it is first needed; a signal handler may come.
_making = threading.RLock()
_EAGER = getattr(asyncio, "eager_task_factory", None)  # since Python 3.12


class ContextHost(Protocol):
    """The machine as contexts see it: its home loop, its tasks, and a place for errors."""

    id: str
    _m_loop: asyncio.AbstractEventLoop | None
    _m_tasks: set[asyncio.Task[Any]] | None
    _m_starting: Starting | None  # work that begins after the drain, if handlers are eager
    _m_adopted: bool  # the home loop is not the one in which the machine was made

    def _m_background_failed(self, error: BaseException, state: str, name: str) -> None: ...


class StateContext:
    """One activation of a state, or the time until the next one.

    It expires as soon as the state's clock ticks: when the state ends, when it
    begins, and when a Multi state begins again; before the final handlers of
    that transition run. Then the tasks that were made with `create_task` are
    cancelled, and so is the body of `async with context:`.

        async with machine.state_ctx("Connected") as ctx:
            await read_for_ever()     # is left, quietly, when Connected ends
        if ctx.expired: ...

    Attributes:
        state: the state's name.
        tick: the state's tick while this lasts.
        expired: True once it is over.
    """

    __slots__ = ("_machine", "_scopes", "_tasks", "_wait", "_worked", "expired", "state", "tick")

    def __init__(self, machine: ContextHost, state: str, tick: int) -> None:
        self.state: str = state
        self.tick: int = tick
        self.expired: bool = False
        self._machine = machine
        self._tasks: set[asyncio.Task[Any]] | None = None
        self._scopes: dict[asyncio.Task[Any], list[_Scope]] | None = None
        self._wait: Wait | None = None
        self._worked = False  # a handler's work has begun, and was not cut off

    def __repr__(self) -> str:
        over = "expired" if self.expired else f"{len(self._tasks or ())} tasks"
        return f"<StateContext {self.state}:{self.tick} {over}>"

    @property
    def machine_id(self) -> str:
        """The id of the machine whose state it is."""
        return self._machine.id

    @property
    def attempt(self) -> int:
        """The number of the attempt of the state's async work that runs, in its task; else 1."""
        owner, attempt = _attempt.get()
        return attempt if owner is self else 1

    @property
    def expiry(self) -> Wait:
        """A wait that is done when this expires."""
        if self._wait is None:
            made = Wait(f"the end of {self.state}:{self.tick}")
            with _making:
                if self._wait is None:
                    self._wait = made
        if (
            self.expired
        ):  # `_m_expire` sets it before it looks for the wait: one of both sees the other
            self._wait._resolve()
        return self._wait

    async def wait(self) -> None:
        """Return when it has expired. Cancelling this leaves the context as it is."""
        await self.expiry

    def create_task(
        self, work: Coroutine[Any, Any, T], *, name: str | None = None
    ) -> asyncio.Task[T]:
        """Run work in the background until it is done or this expires.

        What it raises becomes the machine's error (`Exception`), with this
        state as its place. If this has expired already, the task is cancelled
        before it begins.

        Raises:
            NoEventLoop: no loop runs in this thread.
        """
        loop = events._get_running_loop()
        if loop is None:
            work.close()
            raise NoEventLoop(
                f"a task of {self.state} needs a running event loop", machine=self._machine.id
            )
        task = self._begin(loop, work, name or "")
        if name is not None:
            task.set_name(name)
        return task

    def _start(self, work: Coroutine[Any, Any, Any], name: str) -> None:
        """Begin a handler's work in the home loop of the machine.

        The home loop stays while it runs, so that a short-lived loop of another thread
        does not take the work along when it ends. A loop that is closed, or does not
        run, is replaced by the running one.
        """
        running, machine = events._get_running_loop(), self._machine
        home = machine._m_loop
        if home is None or home is not running:
            home = self._home(running, work, name)
        self._worked = True
        if home is running and machine._m_starting is not None:
            machine._m_starting.append((home, partial(self._begin, home, work, name, True, True)))
        elif home is running:
            self._begin(home, work, name, True)
        else:
            home.call_soon_threadsafe(self._begin, home, work, name, True)

    def _home(
        self, running: asyncio.AbstractEventLoop | None, work: Coroutine[Any, Any, Any], name: str
    ) -> asyncio.AbstractEventLoop:
        """Return the home loop, where it is not the running one; that may become it."""
        machine = self._machine
        home = machine._m_loop
        if running is not None and (home is None or not home.is_running()):
            machine._m_loop = running
            machine._m_adopted = True
            return running
        if home is not None and not home.is_closed():
            return home
        work.close()
        ended = "this machine has seen none" if home is None else "that of the machine is closed"
        raise NoEventLoop(
            f"the async handler {name} needs an event loop, and {ended}",
            machine=machine.id,
            state=self.state,
            hint="Make the machine inside a running loop, or use a plain handler.",
        )

    def _begin(
        self,
        loop: asyncio.AbstractEventLoop,
        work: Coroutine[Any, Any, T],
        name: str,
        of_handler: bool = False,
        eager: bool = False,
    ) -> asyncio.Task[T]:
        if eager and not self.expired:
            task = eager_task(work, loop)
            if task.done() and not task.cancelled() and task.exception() is None:
                return task
        elif _EAGER is not None and loop.get_task_factory() is _EAGER:
            task = asyncio.Task(work, loop=loop)  # the other would begin inside of the transition
        else:
            task = loop.create_task(work)
        machine = self._machine
        if self._tasks is None:
            self._tasks = set()
        if machine._m_tasks is None:
            machine._m_tasks = set()
        self._tasks.add(task)
        machine._m_tasks.add(task)
        task.add_done_callback(partial(self._ended, name, of_handler))
        if self.expired:
            task.cancel()
        return task

    def _ended(self, name: str, of_handler: bool, task: asyncio.Task[Any]) -> None:
        if self._tasks is not None:
            self._tasks.discard(task)
        if self._machine._m_tasks is not None:
            self._machine._m_tasks.discard(task)
        if not task.cancelled():
            error = task.exception()
            if error is not None:
                self._machine._m_background_failed(error, self.state, name or task.get_name())
        elif of_handler and not self.expired:
            self._worked = False
            if self._machine._m_adopted:  # a loop that came along, and ended before the state
                self._machine._m_background_failed(
                    NoEventLoop(
                        f"{name} was cancelled with its event loop, and {self.state} is active",
                        machine=self._machine.id,
                        state=self.state,
                        hint="Make the machine in a loop that lives as long as it does; "
                        "start_work() begins the work again.",
                    ),
                    self.state,
                    name,
                )

    def _expire(self) -> None:
        self.expired = True
        if self._tasks:
            running = events._get_running_loop()
            for task in tuple(self._tasks):
                _soon(running, task.get_loop(), task.cancel)
        if self._scopes:
            for task, scopes in self._scopes.copy().items():
                for scope in tuple(scopes):
                    # Never at once: it may be the task that runs just now.
                    _soon(None, task.get_loop(), scope.cancel)
        if self._wait is not None:
            self._wait._resolve()

    async def __aenter__(self) -> Self:
        task = asyncio.current_task()
        if task is None:
            raise NoEventLoop("this can only be entered by a task", machine=self._machine.id)
        scope = _Scope(task)
        if self._scopes is None:
            self._scopes = {}
        self._scopes.setdefault(task, []).append(scope)
        if self.expired:
            task.get_loop().call_soon(scope.cancel)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        task = asyncio.current_task()
        assert task is not None and self._scopes is not None  # noqa: S101, PT018 - it has entered
        scopes = self._scopes[task]
        scope = scopes.pop()
        if not scopes:
            del self._scopes[task]
        return scope.leave(kind)


def set_attempt(context: StateContext, attempt: int) -> None:
    """Set the attempt of the task that runs: each handler of a state has its own."""
    _attempt.set((context, attempt))


class _Scope:
    """A body that is left when its context expires: the rules of `asyncio.timeout`."""

    __slots__ = ("_before", "_cancelled", "_left", "_task")

    def __init__(self, task: asyncio.Task[Any]) -> None:
        self._task = task
        self._before = task.cancelling()
        self._cancelled = False
        self._left = False

    def cancel(self) -> None:
        if not (self._left or self._cancelled):
            self._cancelled = True
            self._task.cancel()

    def leave(self, kind: type[BaseException] | None) -> bool:
        self._left = True
        if not self._cancelled:
            return False
        others = self._task.uncancel() > self._before
        return not others and kind is not None and issubclass(kind, asyncio.CancelledError)


def _soon(
    running: asyncio.AbstractEventLoop | None, loop: asyncio.AbstractEventLoop, call: Any
) -> None:
    if running is loop:
        call()
        return
    with contextlib.suppress(RuntimeError):  # the loop is closed, and its tasks are gone
        loop.call_soon_threadsafe(call)
