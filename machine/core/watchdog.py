"""The watchdog: a thread that reports handlers which take too long, with their stacks.

A plain handler runs on the thread of the mutation, so no other thread can end
it. One thread for all machines looks a few times a second at those that are in
a handler; it sleeps while there are none, and a machine that begins wakes it. A
handler that hangs is logged with its stack, while it hangs. After the deadline
the mutations that are queued behind it are canceled, so that other threads do
not wait for ever.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import threading
import time
import traceback
from typing import Protocol

from machine.core.options import Options
from machine.core.transition import Transition

__all__ = ["Watched", "asleep", "busy", "inspect", "wake"]

_log = logging.getLogger("machine")

_PERIOD = 0.1  # seconds between two looks
_ROUNDS = 20  # looks that find nothing before it goes to sleep


class Watched(Protocol):
    """A machine as the watchdog sees it."""

    id: str
    _m_options: Options
    _m_since: float
    _m_thread: int

    @property
    def transition(self) -> Transition | None: ...
    def _m_give_up_waiting(self) -> None: ...


# By the locks of the machines, as machines may be unhashable, or equal to others.
busy: dict[threading.Lock, Watched] = {}
_work = threading.Event()
_started = False
asleep: bool = True


def wake() -> None:
    """Wake the thread: a machine has begun to call handlers."""
    global _started, asleep
    asleep = False
    _work.set()
    if not _started:
        _started = True
        try:
            threading.Thread(target=_look, name="machine-watchdog", daemon=True).start()
        except RuntimeError:  # the program ends, or may have no more threads now
            _started, asleep = False, True


def _look() -> None:
    global asleep
    reported: dict[int, float] = {}
    while True:
        quiet = 0
        while quiet < _ROUNDS:
            time.sleep(_PERIOD)
            quiet = 0 if _inspect_busy(reported) else quiet + 1
        reported.clear()
        _work.clear()
        asleep = True
        if busy:
            asleep = False
            continue
        _work.wait()


def _inspect_busy(reported: dict[int, float]) -> bool:
    # A function of its own: variables of the thread's loop would keep the last machine alive.
    machines = tuple(busy.copy().values())
    for machine in machines:
        # A clock, an observer or a filter of the log may raise; other machines are looked at then.
        try:
            inspect(machine, reported)
        except Exception:  # noqa: BLE001 - of a user
            with contextlib.suppress(Exception):
                _log.exception("[%s] its handler cannot be watched", machine.id)
    return bool(machines)


def inspect(machine: Watched, reported: dict[int, float]) -> None:
    """Report a handler that takes too long, and cancel the queue behind one that hangs.

    Args:
        reported: the beginnings of handlers that were reported, by machine.
    """
    options, since = machine._m_options, machine._m_since
    seconds = options.clock() - since
    if seconds <= options.handler_timeout:
        return
    if reported.get(id(machine)) != since:
        reported[id(machine)] = since
        _report(machine, seconds)
    if seconds > options.handler_timeout + options.handler_deadline:
        machine._m_give_up_waiting()


def _report(machine: Watched, seconds: float) -> None:
    transition = machine.transition
    frame = sys._current_frames().get(machine._m_thread)
    stack = "".join(traceback.format_stack(frame)) if frame is not None else "(its thread is gone)"
    _log.warning(
        "[%s] %s has been running for %.1f s; it is here:\n%s",
        machine.id,
        transition.handler if transition is not None else "a handler",
        seconds,
        stack,
    )


def _forget() -> None:
    """Start again in a forked process, where the thread does not exist."""
    global _started, asleep
    _started = False
    asleep = True
    busy.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
