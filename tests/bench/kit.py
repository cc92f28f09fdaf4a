"""The benchmark as a process, which ends with its test."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

__all__ = ["BUSY", "TINY", "bench", "rows_of"]

TINY = ("--quick", "--rounds", "1", "--seconds", "0.05")

_PATIENCE = 280.0  # seconds; a quiet machine needs a tenth
BUSY = pytest.mark.timeout(_PATIENCE + 20)


async def bench(*arguments: str) -> str:
    """Run the benchmark; the text that it prints."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bench", *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    try:
        out, err = await asyncio.wait_for(process.communicate(), _PATIENCE)
    finally:
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
    assert process.returncode == 0, err.decode()
    return out.decode()


async def rows_of(folder: Path, *arguments: str) -> list[dict[str, Any]]:
    """The rows of a run of the benchmark."""
    kept = folder / "figures.json"
    await bench(*arguments, "--json", str(kept))
    found = json.loads(kept.read_text())
    assert found["settings"]["grpcio"]
    rows: list[dict[str, Any]] = found["rows"]
    assert rows
    return rows
