"""Small parts of asyncio that the standard library lacks.

`Opening` is what an async `open` returns, to be awaited or entered. `Portal` is
the one way from other threads into an event loop, and `check_loop` refuses the others.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import os
import sys
from collections.abc import Callable, Coroutine, Generator
from contextlib import AbstractAsyncContextManager
from threading import Lock
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, NoReturn, TypeVar

from grid.errors import ForkedProcess, WrongEventLoop

__all__ = ["USER_ERRORS", "Opening", "Portal", "being_cancelled", "check_loop", "run"]

# All that a function of a user may raise, but `GeneratorExit`, by which Python closes its caller.
# A `CancelledError` of an awaited one may be that of the task: see `being_cancelled`.
USER_ERRORS = (Exception, asyncio.CancelledError, SystemExit, KeyboardInterrupt)

T = TypeVar("T")
C = TypeVar("C", bound=AbstractAsyncContextManager[Any])


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on a loop of its own: uvloop where it is installed, else asyncio."""
    try:
        import uvloop
    except ImportError:
        return asyncio.run(main)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(main)


def being_cancelled() -> bool:
    """True if the current task is being cancelled, not only what it awaits.

    grpc.aio raises `CancelledError` also in a call whose channel was closed.
    """
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def check_loop(loop: asyncio.AbstractEventLoop | None, owner: str) -> None:
    """Raise `WrongEventLoop` unless this runs on that loop; any will do if it is None.

    A future of one loop that is awaited on another raises a bare RuntimeError, and one that is
    completed in another thread does not wake its loop, so that its waiter hangs.

    Args:
        loop: the loop of an object.
        owner: the object in a word, for the error's text.
    """
    if loop is not None and asyncio._get_running_loop() is not loop:
        raise WrongEventLoop(owner)


class Opening(Generic[C]):
    """An object that is being opened: `await` it, or use it with `async with`.

    Awaited, it has to be closed by the caller; entered, it is closed when the
    block is left. Nothing happens before one of the two.
    """

    __slots__ = ("_open", "_opened")

    def __init__(self, open: Callable[[], Coroutine[Any, Any, C]]) -> None:  # noqa: A002
        self._open = open
        self._opened: C | None = None

    if not TYPE_CHECKING:  # which would take any attribute for one that is there

        def __getattr__(self, name: str) -> NoReturn:
            hint = "it is not open yet: use `async with ... as opened:`, or `await` it"
            raise AttributeError(f"{name!r}: {hint}", name=name, obj=self)

    def __await__(self) -> Generator[Any, Any, C]:
        return self._open().__await__()

    async def __aenter__(self) -> C:
        self._opened = await self._open()
        return self._opened

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._opened is not None:
            await self._opened.__aexit__(kind, error, traceback)


class Portal:
    """Runs coroutines on one event loop for other threads, which wait for the outcome.

    Cancelling it cancels what waits and refuses what comes later: that is how a
    thread, which cannot be made to end, learns that it shall.

    Where the loop does not run any more, in a forked child and while the
    interpreter ends, calls raise instead of waiting for ever.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._process = os.getpid()
        self._lock = Lock()
        self._waiting: set[concurrent.futures.Future[Any]] = set()
        self._cancelled = False

    def submit(self, coroutine: Coroutine[Any, Any, T]) -> concurrent.futures.Future[T]:
        """Begin a coroutine on the loop; its future may be waited for in any thread.

        Raises:
            concurrent.futures.CancelledError: the portal was cancelled.
            ForkedProcess: the loop is the parent's.
            RuntimeError: the interpreter ends, and has stopped the loop's thread.
        """
        try:
            # Before the lock, which another thread of the parent may have held.
            self._check_running()
            with self._lock:
                if self._cancelled:
                    raise concurrent.futures.CancelledError
                future = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
                self._waiting.add(future)
        except BaseException:
            coroutine.close()
            raise
        future.add_done_callback(self._done)
        return future

    def call(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the loop and return its result; interrupted, it is cancelled.

        Raises:
            RuntimeError: this is the loop's own thread, which would wait for itself.
            And what `submit` and the coroutine raise.
        """
        if asyncio._get_running_loop() is self._loop:
            coroutine.close()
            raise RuntimeError("a blocking call on its own event loop would never end")
        future = self.submit(coroutine)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def clean_up(self, coroutine: Coroutine[Any, Any, object]) -> None:
        """Run a coroutine that closes something, or drop it where nothing is left to close.

        It does not wait in the loop's own thread, where a collection may call it.
        """
        if self._process != os.getpid() or sys.is_finalizing() or self._loop.is_closed():
            coroutine.close()
        elif asyncio._get_running_loop() is self._loop:
            self.submit(coroutine)
        else:
            self.call(coroutine)

    def cancel(self) -> None:
        """Cancel what waits, and refuse everything later."""
        with self._lock:
            self._cancelled = True
            waiting = list(self._waiting)
        # Outside of the lock: cancelling calls `_done` in this thread.
        for future in waiting:
            future.cancel()

    def _check_running(self) -> None:
        if self._process != os.getpid():
            raise ForkedProcess
        if sys.is_finalizing():
            raise RuntimeError("the interpreter ends: nothing runs on other threads any more")

    def _done(self, future: concurrent.futures.Future[Any]) -> None:
        with self._lock:
            self._waiting.discard(future)
