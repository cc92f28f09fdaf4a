"""Call sites: the nearest line of the program outside of this package."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import threading
from asyncio import events
from dataclasses import dataclass
from types import TracebackType

__all__ = ["CallSite", "caller_site", "raise_site", "runner_name"]

# The folder of the package, as frames of it are no call sites. Compared as text with the file
# names of frames, so it must not be resolved.
_HERE = os.path.dirname(os.path.dirname(__file__)) + os.sep  # noqa: PTH120
_PASSED_BY = frozenset({contextlib.__file__})


@dataclass(frozen=True, slots=True)
class CallSite:
    """A line of the program.

    Attributes:
        file: its path.
        line: its number.
        function: the function it is in.
    """

    file: str
    line: int
    function: str

    def __str__(self) -> str:
        here = os.getcwd() + os.sep  # noqa: PTH109 - a text
        return f"{self.file.removeprefix(here)}:{self.line} in {self.function}"


def caller_site() -> CallSite | None:
    """The innermost line that called into this package, on this thread."""
    frame = sys._getframe(1)
    found = None
    while frame is not None:
        code = frame.f_code
        if not _inside(code.co_filename):
            found = CallSite(code.co_filename, frame.f_lineno, code.co_qualname)
            break
        if frame.f_back is None:
            break
        frame = frame.f_back
    return found


def raise_site(error: BaseException) -> CallSite | None:
    """The innermost line outside of this package on the way to where an error was raised."""
    found = None
    traceback: TracebackType | None = error.__traceback__
    while traceback is not None:
        code = traceback.tb_frame.f_code
        if not _inside(code.co_filename):
            found = CallSite(code.co_filename, traceback.tb_lineno, code.co_qualname)
        traceback = traceback.tb_next
    return found


def runner_name() -> str:
    """The name of the running task or thread; "" for the main thread without a task."""
    if events._get_running_loop() is not None:
        task = asyncio.current_task()
        if task is not None:
            return f"task {task.get_name()}"
    thread = threading.current_thread()
    return "" if thread is threading.main_thread() else f"thread {thread.name}"


def _inside(file: str) -> bool:
    return file.startswith(_HERE) or file in _PASSED_BY
