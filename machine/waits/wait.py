"""A one-time event for tasks and threads to wait for."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from asyncio import events
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any, Generic, TypeAlias

from machine.errors import MachineError, WaitTimeout

if TYPE_CHECKING:
    from typing_extensions import TypeVar  # for the default, which typing has since 3.13

    T = TypeVar("T", default=None)
else:
    from typing import TypeVar

    T = TypeVar("T")

__all__ = ["Wait"]

_Future: TypeAlias = "asyncio.Future[None]"
# Over the event of a wait, which is made when it is first needed; a signal handler may come.
_EVENTS = threading.RLock()


class Wait(Generic[T]):
    """A one-time event, as the `when...` methods give it: done once, for all that await it.

    `await wait` in any event loop, `wait.wait(timeout)` in a thread without
    one, `wait.done` to poll. It stays done. Cancelling a task that awaits it
    cancels nothing for the others. The machine forgets a wait to which there
    is no reference any more.

    Raises, when awaited:
        MachineDisposed: the machine ended before the condition held.
        CancelledError: the wait was cancelled with `cancel`.
    """

    __slots__ = (
        "__weakref__",
        "_awaited",
        "_done",
        "_error",
        "_event",
        "_futures",
        "_on_cancel",
        "_value",
        "_what",
    )

    def __init__(
        self,
        what: str,
        on_cancel: Callable[[Wait[Any]], None] | None = None,
        awaited: dict[_Future, Wait[Any]] | None = None,
    ) -> None:
        self._what = what
        self._awaited = awaited  # refers to this while a task awaits it, as else nothing may
        self._on_cancel = on_cancel
        self._done = False
        self._error: BaseException | None = None
        self._value: Any = None
        self._futures: list[_Future] = []
        self._event: threading.Event | None = None

    def __repr__(self) -> str:
        state = "open" if not self._done else "done" if self._error is None else "failed"
        return f"<{type(self).__name__} {self.what} {state}>"

    @property
    def what(self) -> str:
        """The awaited condition, in words."""
        return self._what

    @property
    def done(self) -> bool:
        """True once it has ended, in whatever way."""
        return self._done

    @property
    def error(self) -> BaseException | None:
        """The error that awaiting it raises; None while it is open, and if the condition held."""
        return self._error

    def __await__(self) -> Generator[_Future, None, T]:
        if not self._done:
            future: _Future = events.get_running_loop().create_future()
            self._futures.append(future)
            if self._awaited is not None:
                self._awaited[future] = self
            try:
                if not self._done:  # it may have been done by another thread meanwhile
                    yield from future
            finally:
                if self._awaited is not None:
                    self._awaited.pop(future, None)
                with contextlib.suppress(ValueError):
                    self._futures.remove(future)
        return self._outcome()

    def wait(self, timeout: float | None = None) -> T:
        """Block this thread until it is done.

        Not for the thread of an event loop, nor for a handler: both would wait
        for themselves.

        Args:
            timeout: seconds.

        Raises:
            WaitTimeout: it was not done in time; it stays open.
            MachineDisposed, CancelledError: as awaiting it does.
        """
        if not self._done:
            made = threading.Event()
            with _EVENTS:
                if self._event is None:
                    self._event = made
            # The thread that ends it sets `_done` before it looks for the event.
            longest = None if timeout is None else min(timeout, threading.TIMEOUT_MAX)
            if not self._done and not self._event.wait(longest):
                raise WaitTimeout(self.what, timeout or 0.0)
        return self._outcome()

    def cancel(self) -> None:
        """End it: all that await it get CancelledError."""
        if not self._done:
            on_cancel = self._on_cancel
            self._end(asyncio.CancelledError(self._what))
            if on_cancel is not None:
                on_cancel(self)

    def _resolve(self, value: object = None) -> None:
        if not self._done:
            self._value = value
            self._end(None)

    def _fail(self, error: MachineError) -> None:
        self._end(error)

    def _end(self, error: BaseException | None) -> None:
        if self._done:
            return
        self._error = error
        self._done = True
        self._on_cancel = None
        futures, self._futures = self._futures, []
        for future in futures:
            _wake(future)
        if self._event is not None:
            self._event.set()

    def _outcome(self) -> T:
        if self._error is not None:
            raise self._error.with_traceback(None)
        value: T = self._value
        return value


def _wake(future: _Future) -> None:
    loop = future.get_loop()
    if events._get_running_loop() is loop:
        _finish(future)
        return
    with contextlib.suppress(RuntimeError):  # the loop is closed, and with it its tasks
        loop.call_soon_threadsafe(_finish, future)


def _finish(future: _Future) -> None:
    if not future.done():
        future.set_result(None)
