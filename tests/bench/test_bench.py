"""The benchmarks run, and their figures have the shape that programs rely on."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

ROW_KEYS = {
    "subject",
    "case",
    "figure",
    "unit",
    "ours",
    "yardstick",
    "against",
    "ratio",
    "required",
    "met",
    "samples",
    "ratios",
}
TINY = ("--quick", "--rounds", "1", "--seconds", "0.05")


async def bench(*arguments: str) -> str:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench", *arguments, stdout=-1, stderr=-1
    )
    out, err = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0, err.decode()
    return out.decode()


async def figures(tmp_path: Path, *arguments: str) -> list[dict[str, Any]]:
    kept = tmp_path / "figures.json"
    await bench(*arguments, "--json", str(kept))
    found = json.loads(kept.read_text())
    assert found["settings"]["grpcio"]
    rows: list[dict[str, Any]] = found["rows"]
    assert rows
    assert all(set(row) == ROW_KEYS for row in rows)
    assert all(row["ours"] > 0 for row in rows)
    return rows


async def test_request(tmp_path: Path) -> None:
    rows = await figures(tmp_path, "request", *TINY)
    rates = [row for row in rows if row["figure"] == "calls per second"]
    assert [row["case"] for row in rates] == ["1 caller", "16 callers", "128 callers"]
    assert all(row["ratio"] > 0 and row["required"] == "ratio >= 0.8" for row in rates)


async def test_unknown_subject_is_a_usage_error() -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench", "nonsense", stdout=-1, stderr=-1
    )
    _, err = await process.communicate()
    assert process.returncode == 2
    assert b"choose from request" in err
