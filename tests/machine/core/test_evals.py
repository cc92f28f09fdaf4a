"""Evals whose turn comes late, and those that are interrupted."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from machine import Machine
from machine.helpers import call

AnyMachine = Machine[Any]


class Interrupt(BaseException):
    """As KeyboardInterrupt, which pytest would take for its own."""


class Held:
    """A machine in a handler of another thread, until an eval waits for its turn."""

    def __init__(self) -> None:
        self.inside = threading.Event()
        self.machine: AnyMachine = Machine("A", handlers={"AState": self._hold})
        self.error: BaseException | None = None
        self._thread = threading.Thread(target=self._add, daemon=True)
        self._thread.start()
        assert self.inside.wait(10)

    def _hold(self) -> None:
        self.inside.set()
        ends_at = time.monotonic() + 10
        while not self.machine.queue_len:
            assert time.monotonic() < ends_at, "no eval came"
            time.sleep(0.001)

    def _add(self) -> None:
        try:
            self.machine.add("A")
        except BaseException as error:  # noqa: BLE001 - for the test
            self.error = error

    def end(self) -> None:
        self._thread.join(10)
        assert not self._thread.is_alive()


def outlast(seconds: float, since: float) -> None:
    """Go on for longer than a caller waits that began at that time."""
    time.sleep(max(0.0, since + seconds + 0.1 - time.monotonic()))


def test_an_eval_whose_turn_has_come_is_over_when_it_returns() -> None:
    held, since = Held(), time.monotonic()

    def function() -> str:
        outlast(0.5, since)
        return "value"

    assert call(held.machine, "test", function, timeout=0.5) == "value"
    held.end()


def test_an_error_after_the_time_is_raised_at_the_caller() -> None:
    held, since = Held(), time.monotonic()

    def function() -> None:
        outlast(0.5, since)
        raise OSError("late")

    with pytest.raises(OSError, match="late"):
        held.machine.eval("test", function, timeout=0.5)
    held.end()


def test_an_interrupt_comes_out_at_the_caller_and_at_the_thread_that_ran_it() -> None:
    held = Held()

    def function() -> None:
        raise Interrupt

    with pytest.raises(Interrupt):
        held.machine.eval("test", function, timeout=10)
    held.end()
    assert isinstance(held.error, Interrupt)
