"""The process itself: closed standard streams, and signals that come early or are lost."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator

__all__ = [
    "STOPS",
    "discard_closed_output",
    "early_stops",
    "lost_interrupts_end",
    "open_standard_streams",
    "stoppable_as_first_process",
]

STOPS = (signal.SIGTERM, signal.SIGINT)
"""The signals that ask a process to end."""


def open_standard_streams(*, discard_output: bool = False) -> None:
    """Open the null device under the number of each standard stream that is closed.

    Without it a socket becomes descriptor 0, 1 or 2, and what is printed or read
    from there breaks it. A closed stdin is an empty file.

    Args:
        discard_output: let writes to a closed stdout go nowhere; otherwise the first
            one fails, so that no data is lost unnoticed.
    """
    output = os.O_WRONLY if discard_output else os.O_RDONLY
    for number, flags in ((0, os.O_RDONLY), (1, output), (2, os.O_WRONLY)):
        try:
            os.fstat(number)
        except OSError:
            # The lowest free number is this one.
            os.set_inheritable(os.open(os.devnull, flags), True)
    # Python sets the objects of closed streams to None.
    for name, number, mode in (("stdin", 0, "r"), ("stdout", 1, "w"), ("stderr", 2, "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, mode, encoding="utf-8", closefd=False))


def discard_closed_output() -> None:
    """Let writes to a stdout that was closed succeed and go nowhere."""
    try:
        os.write(1, b"")
    except OSError:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)
        os.close(null)


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


def lost_interrupts_end(code: int) -> None:
    """Let a Ctrl-C end the process also where Python would print it and go on.

    That is in a callback of the garbage collector, as imports have one for each module.
    It counts only while Python's own handler raises it: a server that handles the signal
    is not ended by an actor that raises KeyboardInterrupt there.

    Args:
        code: the exit code of the process.
    """
    former = sys.unraisablehook

    def hook(error: sys.UnraisableHookArgs) -> None:
        interrupted = issubclass(error.exc_type, KeyboardInterrupt)
        if not interrupted or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
            former(error)
            return
        with contextlib.suppress(Exception):
            sys.stdout.flush()
        os._exit(code)  # an exception would be lost as the first one was

    sys.unraisablehook = hook
