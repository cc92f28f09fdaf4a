"""The clock of a machine: the time of handlers, by hand."""

import copy
import logging
import pickle

import pytest

from machine import HandlerTimeout, Machine, Options
from machine.core import watchdog
from machine.errors import InvalidArgument
from tests.machine.vector_kit import Clock


def made(clock: Clock, seconds: float) -> Machine[object]:
    options = Options(handler_timeout=1, handler_deadline=10, handler_backoff=3, clock=clock)
    machine: Machine[object] = Machine("A; B", options=options)
    machine.bind({"AState": lambda: clock.advance(seconds)})
    return machine


def test_a_handler_in_time_is_no_overrun() -> None:
    machine = made(Clock(), 1)
    assert machine.add("A").executed
    assert machine.timeouts == ()


def test_a_handler_that_overran_is_taken_back() -> None:
    machine = made(Clock(), 1.5)
    assert machine.add("A").canceled
    assert not machine.backoff
    assert machine.err is None
    assert isinstance(machine.timeouts[0], HandlerTimeout)
    assert machine.add("B").executed


def test_the_backoff_ends_by_the_clock() -> None:
    clock = Clock()
    machine = made(clock, 12)
    assert machine.add("A").canceled
    assert isinstance(machine.err, HandlerTimeout)
    assert machine.backoff
    assert machine.add("B").canceled
    clock.advance(2.9)
    assert machine.add("B").canceled
    clock.advance(0.2)
    assert not machine.backoff
    assert machine.add("B").executed


def test_the_watchdog_goes_by_the_clock(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    machine = made(clock, 0)
    reported: dict[int, float] = {}
    queued = []

    def hang() -> None:
        queued.append(machine.add("B"))
        with caplog.at_level(logging.WARNING, "machine"):
            watchdog.inspect(machine, reported)
            assert not caplog.text
            clock.advance(5)
            watchdog.inspect(machine, reported)
            assert "has been running for 5.0 s" in caplog.text
        assert queued[0].queued
        clock.advance(7)
        watchdog.inspect(machine, reported)
        assert queued[0].final.canceled

    machine.bind({"AEnter": hang})
    assert machine.add("A").canceled


def test_a_clock_stays_in_its_process() -> None:
    options = Options(queue_limit=3, clock=Clock())
    again = pickle.loads(pickle.dumps(options))
    assert again == Options(queue_limit=3)
    assert again.clock() > 0
    assert copy.copy(Options(catch=False)).catch is False


def test_a_clock_is_callable() -> None:
    with pytest.raises(InvalidArgument, match="clock must be callable, not float"):
        Options(clock=1.0)  # type: ignore[arg-type]
