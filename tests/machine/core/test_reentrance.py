"""Callbacks, signal handlers and other threads that come back to machines at any moment."""

from __future__ import annotations

import signal
import subprocess
import sys
from typing import Any

import pytest

from machine import Machine, Tracer
from tests.machine.thread_kit import in_threads

AnyMachine = Machine[Any]

# A timer's signal comes at any instruction of the main thread, also under locks.
SIGNALS = """
import signal
from machine import Machine

waits, count = [], 0
machine = Machine("A!; B!; C!", handlers={"AState": lambda machine: machine.add("B") and None})

def on_alarm(*_):
    global count
    count += 1
    waits.append(machine.add("C"))
    machine.state_ctx("C")
    signal.setitimer(signal.ITIMER_REAL, 0.0005)

signal.signal(signal.SIGALRM, on_alarm)
signal.setitimer(signal.ITIMER_REAL, 0.0005)
while count < 2000:
    machine.add("A")
    machine.state_ctx("B")
signal.setitimer(signal.ITIMER_REAL, 0)
machine.add("A")
assert all(one.final.executed for one in waits), "a result hangs"
assert machine.queue_len == 0
print("done")
"""


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="there are no timers' signals")
def test_signal_handlers_may_mutate_a_machine_at_any_moment() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SIGNALS], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout == "done\n", done.stderr


def test_a_tracer_told_of_a_context_may_ask_for_others() -> None:
    other: AnyMachine = Machine("X")
    seen: list[str] = []

    class Asking(Tracer):
        def note(self, machine: object, level: str, text: str) -> None:
            if text.startswith("[ctx:new]"):
                seen.append(other.state_ctx("X").state)
                other.bind({"XState": lambda: None})

    machine: AnyMachine = Machine("A", tracers=[Asking()])
    in_threads(lambda _: machine.state_ctx("A"), count=1)
    assert seen == ["X"]
