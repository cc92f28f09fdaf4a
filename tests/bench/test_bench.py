"""The benchmarks run, and their figures have the shape that programs rely on."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any
from xml.dom import minidom

from bench.model import Row
from bench.report import write_docs
from tests.bench.kit import BUSY, TINY, rows_of

pytestmark = BUSY

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


async def figures(tmp_path: Path, *arguments: str) -> list[dict[str, Any]]:
    rows = await rows_of(tmp_path, *arguments)
    assert all(set(row) == ROW_KEYS for row in rows)
    # One of two watches sees a key's end first, and it need not be the bare one.
    assert all(row["ours"] > 0 or "key's end" in row["figure"] for row in rows)
    return rows


async def test_request(tmp_path: Path) -> None:
    rows = await figures(tmp_path, "request", *TINY)
    rates = [row for row in rows if row["figure"] == "calls per second"]
    assert [row["case"] for row in rates] == ["1 caller", "16 callers", "128 callers"]
    assert all(row["ratio"] > 0 and row["required"] == "ratio >= 0.8" for row in rates)


async def test_names(tmp_path: Path) -> None:
    rows = await figures(tmp_path, "names", *TINY, "--names", "200")
    assert {row["case"] for row in rows} == {"200 mailboxes"}
    assert [row["required"] for row in rows if row["required"]] == ["<= 1 s", "<= 0.2 s", "<= 3 s"]


async def test_failover(tmp_path: Path) -> None:
    rows = await figures(tmp_path, "failover", *TINY, "--kills", "1")
    acts = {row["case"]: row for row in rows if row["figure"] == "next leader acts, p50"}
    assert set(acts) == {"kill -9, lease 2 s", "SIGTERM, lease 2 s"}
    assert all(len(row["samples"]) == 1 for row in acts.values())


async def test_local(tmp_path: Path) -> None:
    rows = await figures(tmp_path, "local", *TINY, "--actors", "300")
    assert {row["unit"] for row in rows} == {"KiB", "/s"}
    assert [row["required"] for row in rows if row["required"]] == ["<= 8 KiB", ">= 100,000/s"]


async def test_actors(tmp_path: Path) -> None:
    rows = await figures(tmp_path, "actors", *TINY, "--actors", "50")
    units = ["us", "us", "ms", "ms", "/s", "us", "KiB", "ms", "ms", "/s"]
    assert [row["unit"] for row in rows] == units
    assert [row["required"] for row in rows if row["required"]] == ["ratio <= 1.15"]
    assert all(row["ours"] > 0 for row in rows)


def row(subject: str, **more: Any) -> Row:
    given = {"case": "one", "figure": "speed", "unit": "/s", "ours": 9.0, **more}
    return Row(subject=subject, **given)


def test_a_row_knows_whether_it_is_as_required() -> None:
    assert row("request").met is None
    assert row("request", yardstick=10.0, least_ratio=0.8).met
    assert not row("request", yardstick=10.0, least_ratio=0.95).met
    assert row("request", yardstick=10.0, ratios=(0.7, 0.8, 1.0)).ratio == 0.8
    assert row("failover", most=9.0).met
    assert not row("failover", most=8.0).met
    assert row("local", least=9.0).met
    assert not row("local", least=9.1).met
    assert row("transport", yardstick=10.0, most_ratio=0.9).met
    assert not row("transport", yardstick=10.0, most_ratio=0.8).met
    assert not row("transport", yardstick=10.0, least_ratio=0.5, most=8.0).met
    assert not row("transport", most_ratio=0.8).met


def test_a_row_says_what_is_required() -> None:
    assert row("local", least=100_000).required == ">= 100,000/s"
    assert row("local", most=8, unit="KiB").required == "<= 8 KiB"
    assert row("transport", most_ratio=0.4).required == "ratio <= 0.4"
    assert row("transport", least_ratio=8, most=5, unit="ms").required == "ratio >= 8, <= 5 ms"


def test_the_manual_gets_tables_and_pictures(tmp_path: Path) -> None:
    page = tmp_path / "benchmarks.md"
    page.write_text("before\n<!-- tables: begin -->\nold\n<!-- tables: end -->\nafter\n")
    rows = [
        row("request", yardstick=10.0, least_ratio=0.8, ratios=(0.8, 0.9)),
        row("failover", unit="s", most=10.0, samples=(1.0, 2.0)),
    ]
    write_docs(rows, tmp_path)
    text = page.read_text()
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "old" not in text
    assert "| one | speed | 9.000/s |" in text
    for name in ("bench-request.svg", "bench-failover.svg"):
        minidom.parseString((tmp_path / name).read_text())  # noqa: S318 - made here


async def test_unknown_subject_is_a_usage_error() -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench", "nonsense", stdout=-1, stderr=-1
    )
    _, err = await process.communicate()
    assert process.returncode == 2
    assert b"choose from request" in err
