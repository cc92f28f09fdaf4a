"""Mutations inside handlers: what they return, and when they run."""

from __future__ import annotations

from tests.machine.vector_kit import Vector, each, run, vectors


@each("queue")
def test_queue(vector: Vector) -> None:
    run(vector)


def test_the_table_is_whole() -> None:
    found = vectors("queue")
    assert [one.id for one in found] == [f"Q{number}" for number in range(1, 12)]
    assert all(any(step.nested for step in one.steps) for one in found)
