"""The benchmark of remote machines runs."""

from __future__ import annotations

from pathlib import Path

from tests.bench.test_bench import TINY, figures


async def test_rpc(tmp_path: Path) -> None:
    rows = await figures(tmp_path, "rpc", *TINY)
    assert [row["required"] for row in rows] == [
        "ratio <= 1.3",
        "",
        "ratio <= 1.3",
        "ratio <= 2",
        "<= 105 bytes",
        "<= 4 calls",
        "",
        "<= 53 calls",
        "ratio <= 1",
        "ratio <= 0.4",
        "<= 105 bytes",
        "<= 10 ms",
    ]
