"""Targets of mutations: by relations alone, and again with handlers that agree."""

from __future__ import annotations

import pytest

from tests.machine.vector_kit import Vector, each, run, vectors


@each("relation")
@pytest.mark.parametrize("handlers", [False, True], ids=["bare", "recorded"])
def test_relations(vector: Vector, handlers: bool) -> None:
    run(vector, handlers=handlers)


def test_the_table_is_whole() -> None:
    found = vectors("relation")
    assert [one.id for one in found] == [f"R{number}" for number in range(1, 56)]
    assert sum(len(one.steps) for one in found) == 218
