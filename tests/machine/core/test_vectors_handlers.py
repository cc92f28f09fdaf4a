"""The handlers that run, their order, and the effect of a "no" of each of them."""

from __future__ import annotations

from tests.machine.vector_kit import Vector, each, run, vectors


@each("handlers")
def test_handlers(vector: Vector) -> None:
    run(vector)


def test_the_table_is_whole() -> None:
    found = vectors("handlers")
    assert [one.id for one in found] == [f"H{number}" for number in range(1, 21)]
    assert sum(len(one.steps) for one in found) == 57
