"""The benchmark of remote machines runs."""

from __future__ import annotations

from pathlib import Path

from tests.bench.kit import BUSY, TINY
from tests.bench.test_bench import figures

pytestmark = BUSY


async def test_rpc(tmp_path: Path) -> None:
    rows = await figures(tmp_path, "rpc", *TINY)
    required = [row["required"] for row in rows]
    assert required.pop().endswith(" pushes")  # as many as the time has intervals
    assert required.pop(16).endswith(" calls")
    assert required == [
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
        "ratio <= 0.4",
        "<= 105 bytes",
        "<= 10 ms",
        "<= 21 calls",
        "ratio <= 1",
        "ratio <= 1",
        "ratio <= 1",
        "ratio <= 2",
        "ratio <= 2",
    ]
