"""Random schemas and mutations whose outcome does not depend on any order of a mapping."""

from __future__ import annotations

import pytest

from tests.machine.vector_kit import Vector, each, run, vectors


@each("golden")
@pytest.mark.parametrize("handlers", [False, True], ids=["bare", "recorded"])
def test_golden(vector: Vector, handlers: bool) -> None:
    run(vector, handlers=handlers)


def test_the_table_is_whole() -> None:
    found = vectors("golden")
    assert [one.id for one in found] == [f"G{number}" for number in range(1, 49)]
    assert sum(len(one.steps) for one in found) == 337
