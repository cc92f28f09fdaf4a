"""The reader of stdout: a command that only waits ends as soon as it has gone."""

from __future__ import annotations

import asyncio
import contextlib
import select
import sys
import threading
from types import TracebackType
from typing import Self

__all__ = ["UntilReaderGoes"]


class UntilReaderGoes:
    """A body that ends with `BrokenPipeError` as soon as the reader of stdout has gone.

    Enter and leave it in one task. The rules of `asyncio.timeout`: once the body is left, nothing
    cancels the task any more, and a cancellation by others stays one.
    """

    def __init__(self) -> None:
        self._task: asyncio.Task[object] | None = None
        self._before = 0
        self._cancelled = False

    def __enter__(self) -> Self:
        self._task = task = asyncio.current_task()
        assert task is not None  # noqa: S101 - entered in a coroutine
        self._before = task.cancelling()
        loop = asyncio.get_running_loop()
        threading.Thread(target=self._wait, args=(loop, sys.stdout.fileno()), daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        task, self._task = self._task, None
        if task is None or not self._cancelled:
            return
        others = task.uncancel() > self._before
        if isinstance(error, asyncio.CancelledError) and not others:
            raise BrokenPipeError from None

    def _end(self) -> None:
        if self._task is not None:
            self._cancelled = True
            self._task.cancel()

    def _wait(self, loop: asyncio.AbstractEventLoop, stdout: int) -> None:
        poll = select.poll()
        poll.register(stdout, 0)  # errors and hang-ups are reported unasked
        poll.poll()
        with contextlib.suppress(RuntimeError):  # the loop is closed: there is nothing to end
            loop.call_soon_threadsafe(self._end)
