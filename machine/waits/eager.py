"""Async handlers that begin before the mutation returns, as eager tasks (Python 3.12 and later).

Theory of operation
-------------------

With `Options(eager=True)` the work of async handlers is collected while the queue
is drained, and begun when the drain has ended and its lock is free: so it never
runs inside of a transition, and a mutation that it makes is carried out at once. It
runs in a task of its own (the task that mutates is not the current one meanwhile),
up to its first wait; work that never waits costs no turn of the event loop.

Work that begins in this way may mutate machines, and so lead to further work. That
begins in the next turn of the loop: handlers that cause each other without an end
would else never let the loop go on.

Source: https://docs.python.org/3/library/asyncio-task.html#eager-task-factory
"""

from __future__ import annotations

import asyncio
import threading
from asyncio import events
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, TypeAlias, TypeVar

__all__ = ["Starting", "begin_all", "eager_task"]

T = TypeVar("T")

# Work to begin: its home loop, and the function that begins it.
Starting: TypeAlias = deque[tuple[asyncio.AbstractEventLoop, Callable[[], object]]]


class _Thread(threading.local):
    beginning = False


_this_thread = _Thread()


def eager_task(work: Coroutine[Any, Any, T], loop: asyncio.AbstractEventLoop) -> asyncio.Task[T]:
    """Make a task that runs up to its first wait before this returns."""
    make: Any = asyncio.Task  # older Pythons do not know `eager_start`
    task: asyncio.Task[T] = make(work, loop=loop, eager_start=True)
    return task


def begin_all(starting: Starting) -> None:
    """Begin the collected work, in order."""
    running = events._get_running_loop()
    further = _this_thread.beginning
    _this_thread.beginning = True
    try:
        while starting:
            try:
                loop, begin = starting.popleft()
            except IndexError:  # another thread has just taken it
                return
            if further or loop is not running:
                loop.call_soon_threadsafe(begin)
            else:
                begin()
    finally:
        _this_thread.beginning = further
