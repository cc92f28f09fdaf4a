"""Handlers that take too long: those that return before their deadline, and after it.

The handlers advance the clock of the machine instead of sleeping.
"""

from __future__ import annotations

from machine.errors import HandlerTimeout
from tests.machine.vector_kit import TIMEOUT, Vector, each, run, vectors


@each("timeouts")
def test_timeouts(vector: Vector) -> None:
    machine = run(vector, handler_timeout=TIMEOUT, handler_deadline=vector.deadline)
    late = vector.deadline < 1
    assert isinstance(machine.err, HandlerTimeout) == late
    assert machine.is_err == late


def test_the_table_is_whole() -> None:
    assert [one.id for one in vectors("timeouts")] == ["T1", "T2", "T3", "T4", "T5"]
