"""The benchmark of services runs."""

from __future__ import annotations

from pathlib import Path

from tests.bench.kit import BUSY, TINY
from tests.bench.test_bench import figures

pytestmark = BUSY


async def test_services(tmp_path: Path) -> None:
    rows = await figures(tmp_path, "services", *TINY)
    assert [row["required"] for row in rows] == [
        "ratio <= 1.2",
        "",
        "",
        "",
        "",
        "ratio >= 5",
        "ratio <= 2",
        ">= 100,000/s",
    ]
