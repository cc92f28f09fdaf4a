"""Looks from outside at handlers that take too long, and says where they are.

A plain handler runs on the thread of whoever mutates, so nobody but it can end
it. One thread for all machines looks a few times a second at those that are in
a handler; it sleeps while there are none, and who begins wakes it. What it finds is logged with the
stack of the handler, while it hangs.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
import traceback
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from machine._engine import Engine

__all__ = ["asleep", "busy", "wake"]

_log = logging.getLogger("machine")

_PERIOD = 0.1  # seconds between two looks
_ROUNDS = 20  # looks that find nothing before it goes to sleep

busy: set[Engine] = set()
_work = threading.Event()
_started = False
asleep = True


def wake() -> None:
    """There is something to look at again."""
    global _started, asleep
    asleep = False
    _work.set()
    if not _started:
        _started = True
        threading.Thread(target=_look, name="machine-watchdog", daemon=True).start()


def _look() -> None:
    global asleep
    reported: dict[int, float] = {}
    while True:
        quiet = 0
        while quiet < _ROUNDS:
            time.sleep(_PERIOD)
            machines = tuple(busy)
            quiet = 0 if machines else quiet + 1
            now = time.monotonic()
            for machine in machines:
                key, since = id(machine), machine._since
                if now - since > machine._options.handler_timeout and reported.get(key) != since:
                    reported[key] = since
                    _report(machine, now - since)
        reported.clear()
        _work.clear()
        asleep = True
        if busy:
            asleep = False
            continue
        _work.wait()


def _report(machine: Engine, seconds: float) -> None:
    frame = sys._current_frames().get(machine._thread)
    stack = "".join(traceback.format_stack(frame)) if frame is not None else "(its thread is gone)"
    _log.warning(
        "[%s] %s has been running for %.1f s; it is here:\n%s",
        machine.id,
        machine._running,
        seconds,
        stack,
    )
