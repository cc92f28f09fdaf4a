"""The process itself: standard streams that are closed, and signals that come early."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator

__all__ = ["STOPS", "early_stops", "open_standard_streams", "stoppable_as_first_process"]

STOPS = (signal.SIGTERM, signal.SIGINT)
"""The signals that ask a process to end."""


def open_standard_streams() -> None:
    """Open what is closed of the standard streams, so that nothing else gets their numbers.

    Without it a socket becomes descriptor 0, 1 or 2, and what is printed or
    read from there breaks it.
    """
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest free number is this one
    if sys.stdin is None:
        sys.stdin = open(0, closefd=False)  # noqa: SIM115
    if sys.stdout is None:
        sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
    if sys.stderr is None:
        sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115


def stoppable_as_first_process() -> None:
    """Let SIGTERM end the first process of a container, as it ends every other.

    The kernel drops signals that the first process does not handle, so a stop
    before the server runs would wait for the kill.
    """
    if os.getpid() != 1 or threading.current_thread() is not threading.main_thread():
        return
    if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))


@contextlib.contextmanager
def early_stops() -> Iterator[list[int]]:
    """Collect the signals of `STOPS` until something else handles them (main thread only)."""
    seen: list[int] = []
    before = {one: signal.getsignal(one) for one in STOPS}
    for one in STOPS:
        signal.signal(one, lambda number, _: seen.append(number))
    try:
        yield seen
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
