"""Handlers that hang: what is told while they do, and that nobody else hangs with them."""

import logging
import subprocess
import sys
import threading

import pytest

from machine import HandlerTimeout, Machine, Options
from machine.testing import wait_until_blocking

QUICK = Options(handler_timeout=0.05, handler_deadline=0.2, handler_backoff=0.2)


class Stuck(Machine[object], schema="A; B; C"):
    """A machine whose A hangs until it is let go."""

    def __init__(self, options: Options) -> None:
        super().__init__(options=options)
        self.began = threading.Event()
        self.release = threading.Event()

    def AState(self) -> None:
        self.began.set()
        self.release.wait(30)


@pytest.fixture
def stuck() -> Stuck:
    return Stuck(QUICK)


def hang(machine: Stuck) -> threading.Thread:
    thread = threading.Thread(target=machine.add, args=("A",))
    thread.start()
    assert machine.began.wait(5)
    return thread


def test_a_handler_that_hangs_is_reported_with_its_stack_while_it_does(
    stuck: Stuck, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "machine"):
        thread = hang(stuck)
        wait_until_blocking(stuck, lambda: "it is here" in caplog.text, timeout=5)
        assert "self.release.wait(30)" in caplog.text
        stuck.release.set()
        thread.join()
    assert not stuck.is_("A")


def test_those_behind_a_handler_that_hangs_are_not_left_waiting(stuck: Stuck) -> None:
    thread = hang(stuck)
    queued = stuck.add("B")
    assert queued.queued
    assert queued.wait(5).canceled
    assert stuck.backoff
    assert stuck.add("C").canceled  # at once, for a while
    stuck.release.set()
    thread.join()
    assert isinstance(stuck.err, HandlerTimeout)
    assert stuck.err.handler == "AState"
    assert stuck.is_("Exception")
    assert not stuck.is_("A")
    wait_until_blocking(stuck, lambda: not stuck.backoff, timeout=5)
    assert stuck.add("B").executed


def test_a_late_handler_is_waited_for_and_its_state_taken_back() -> None:
    machine = Stuck(Options(handler_timeout=0.05, handler_deadline=30))
    thread = hang(machine)
    queued = machine.add("B")
    threading.Timer(0.2, machine.release.set).start()
    assert queued.wait(5).executed
    thread.join()
    assert machine.string_all() == "(B:1) [A:2 C:0 Exception:0]"
    assert machine.err is None
    (late,) = machine.timeouts
    assert isinstance(late, HandlerTimeout)


def test_an_eval_that_has_no_turn_in_time_never_runs(stuck: Stuck) -> None:
    ran: list[str] = []
    thread = hang(stuck)
    assert not stuck.eval("test", lambda: ran.append("late"), timeout=0.05)
    stuck.release.set()
    thread.join()
    assert stuck.eval("test", lambda: ran.append("now"))
    assert ran == ["now"]
    assert "eval 'test'" in str(stuck.timeouts[0])


def test_a_clock_that_raises_stops_no_watch_over_others(
    stuck: Stuck, caplog: pytest.LogCaptureFixture
) -> None:
    asked = threading.Event()

    def clock() -> float:
        if threading.current_thread().name == "machine-watchdog":
            asked.set()
            raise StopIteration
        return 0.0

    odd = Stuck(Options(clock=clock))
    with caplog.at_level(logging.WARNING, "machine"):
        threads = [hang(odd)]
        assert asked.wait(5)
        threads.append(hang(stuck))
        wait_until_blocking(stuck, lambda: "it is here" in caplog.text, timeout=5)
    for machine, thread in zip((odd, stuck), threads, strict=True):
        machine.release.set()
        thread.join()


AT_EXIT = """
import atexit
from machine import Machine

machine = Machine("A", handlers={"AState": lambda: None})
atexit.register(lambda: print(machine.add("A"), machine))
"""


def test_a_program_that_ends_may_call_handlers_without_a_watchdog() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", AT_EXIT], capture_output=True, text=True, timeout=60, check=True
    )
    assert (ended.stdout, ended.stderr) == ("executed (A:1)\n", "")
