"""A server as a whole process: signals, an event loop of its own, and a sure end.

Nothing that runs on the loop may end the process but the server itself: a
SystemExit that leaves a task or a callback stops asyncio's loop, so the loop is
entered again until the server has ended. What does not end with the server, be
it an actor that goes on when it is cancelled or a thread, does not keep the
process: a timer ends it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sys
import threading
import warnings
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from typing import Any

from grid.errors import CannotRunHere
from grid.forks import signals_stay
from grid.process import STOPS, early_stops, open_standard_streams

__all__ = ["PATIENCE", "completed_before", "run_alone", "stop_signals", "warn_of_paused_loop"]

_log = logging.getLogger("grid.server")

PATIENCE = 2.0  # seconds for the event loop to end after the server has


@contextlib.contextmanager
def stop_signals(handle: Callable[[], None], early: Sequence[int]) -> Iterator[None]:
    """Call a function for each SIGTERM and SIGINT, and for those that came before.

    Forked children handle theirs themselves.

    Raises:
        CannotRunHere: this is not the main thread, which alone can handle signals.
    """
    if threading.current_thread() is not threading.main_thread():
        raise CannotRunHere(
            "signals are handled in the main thread only; in this one use `async with server:`"
        )
    loop = asyncio.get_running_loop()
    with signals_stay(STOPS):
        for one in STOPS:
            loop.add_signal_handler(one, handle)
        for _ in early:
            handle()
        try:
            yield
        finally:
            for one in STOPS:
                loop.remove_signal_handler(one)


def warn_of_paused_loop() -> None:
    """Warn in IPython's terminal, whose event loop stands still between two inputs.

    A peer there keeps no lease. In Jupyter the loop runs all the time.
    """
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    if type(shell).__name__ == "TerminalInteractiveShell":
        warnings.warn(
            "IPython runs its event loop only while an input is evaluated, so this peer will lose "
            "its lease between two inputs: run it by `grid serve` in another terminal, or by "
            "asyncio.run in a thread",
            RuntimeWarning,
            stacklevel=3,
        )


async def completed_before(stopping: asyncio.Event, doing: Coroutine[Any, Any, None]) -> bool:
    """Run a coroutine to its end and return True, or cancel it when `stopping` is set."""
    task = asyncio.create_task(doing)
    asked = asyncio.create_task(stopping.wait())
    try:
        await asyncio.wait([task, asked], return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            await task
            return True
        return False
    finally:
        for one in (task, asked):
            one.cancel()
        await asyncio.wait([task, asked])


def run_alone(
    serve: Callable[[Sequence[int]], Awaitable[float]], what_runs: Callable[[], Sequence[str]]
) -> None:
    """Run a server on an event loop of its own, in the main thread.

    Args:
        serve: given the signals that came so far, runs the server to its end;
            returns the seconds that the loop may take to end after it.
        what_runs: the names of actors that have not ended.

    Raises:
        CannotRunHere: there is a running loop, or this is not the main thread.
    """
    if asyncio._get_running_loop() is not None:
        raise CannotRunHere(
            "an event loop runs in this thread already; use `await server.serve()`, or "
            "`async with server:` in a notebook"
        )
    if threading.current_thread() is not threading.main_thread():
        raise CannotRunHere(
            "signals are handled in the main thread only; in this one use "
            "`asyncio.run()` with `async with server:`"
        )
    open_standard_streams(discard_output=True)
    leave = threading.Event()

    async def main(early: Sequence[int]) -> None:
        patience = PATIENCE
        try:
            patience = await serve(early)
        finally:
            waiting = threading.Thread(target=_leave_after, args=(patience, leave, what_runs))
            waiting.daemon = True
            waiting.start()

    try:
        with early_stops() as early:
            _run(main(early))
    finally:
        leave.set()


def _run(main: Coroutine[Any, Any, None]) -> None:
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        loop = runner.get_loop()
        task = loop.create_task(main, name="server")
        while True:
            try:
                return loop.run_until_complete(task)
            except (SystemExit, KeyboardInterrupt) as error:
                if task.done():
                    raise
                # Signals are handled otherwise, so some code has raised it.
                _log.error("%r was raised on the event loop, which goes on", error, exc_info=error)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


def _leave_after(
    patience: float, left: threading.Event, what_runs: Callable[[], Sequence[str]]
) -> None:
    if left.wait(patience):
        return
    what = ", ".join(what_runs()) or "a thread"
    _log.error("the process ends without what still runs: %s", what)
    logging.shutdown()
    with contextlib.suppress(Exception):
        sys.stdout.flush()
    os._exit(1)
