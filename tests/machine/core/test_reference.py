"""The machine tests of the reference, as data; and that none of its rows is forgotten."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.machine.script_kit import run_script, script_ids, scripts
from tests.machine.vector_kit import Vector, each, rows, run, vectors

ROWS = {str(number) for number in range(1, 112)} | {f"U{number}" for number in range(1, 21)}
HERE = Path(__file__).parents[1]


@each("reference")
def test_machine(vector: Vector) -> None:
    run(vector)


@pytest.mark.parametrize("row", scripts("reference_waits"), ids=script_ids("reference_waits"))
def test_waits(row: dict[str, Any]) -> None:
    run_script(row, handlers=True)


def in_data() -> Iterator[str]:
    """The rows that are data: `22a` and `22b` are parts of 22."""
    for one in vectors("reference"):
        yield re.sub(r"[a-z]$", "", one.id)
    yield from script_ids("reference_waits")


def in_code() -> Iterator[str]:
    """The rows that are test functions: `test_12_...`, or `test_u3_...` of the utility tests."""
    for path in HERE.rglob("test_reference*.py"):
        found: list[str] = re.findall(
            r"^(?:async )?def test_(u?\d+)_", path.read_text(), re.MULTILINE
        )
        yield from (name.upper() for name in found)


def test_every_row_is_a_test_or_has_a_reason() -> None:
    skipped = {row["row"] for row in rows("reference_skipped")}
    assert set(in_data()) | set(in_code()) | skipped == ROWS
    assert all(row["reason"] for row in rows("reference_skipped"))
