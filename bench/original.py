"""The benchmark of asyncmachine-go itself, run here: its aRPC and its gRPC at the task of `rounds`.

Its Go module comes by the module proxy, is checked against the sum below, and its test program is
built where it lies. Source: examples/benchmark_grpc of github.com/pancsta/asyncmachine-go.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

__all__ = ["MODULE", "CannotRun", "OriginalRun", "parsed", "run"]

MODULE = "github.com/pancsta/asyncmachine-go@v0.19.1"
_SUM = "h1:WdbH+FX8cuswkrplizoIaIQUgdApK3RHKgWpBE/jnxs="
_PACKAGE = "./examples/benchmark_grpc"
_ENVIRONMENT = {**os.environ, "CGO_ENABLED": "0", "GOWORK": "off", "GOTOOLCHAIN": "local"}
_PATIENCE = 600.0  # seconds to download, to build, and to run
_PROGRAMS = {"Arpc": "aRPC", "Grpc": "gRPC"}
_RESULT = re.compile(r"BenchmarkClient(Arpc|Grpc)\S*\s+(\d+)\s+([\d.]+) ns/op")
_COUNT = re.compile(r"(Transferred|Calls|Errors): ([\d,]+)")


class CannotRun(Exception):
    """Go, the module, or what it needs cannot be had; the text says which."""


@dataclass(frozen=True, slots=True)
class OriginalRun:
    """The figures of one of its programs.

    Attributes:
        calls: calls and notifications.
        bytes: of TCP, in both directions.
        seconds: a round.
    """

    calls: int
    bytes: int
    seconds: float


async def run(rounds: int) -> dict[tuple[str, int], OriginalRun]:
    """The figures of "aRPC" and "gRPC", by 1 and by `rounds` rounds.

    Raises:
        CannotRun: it cannot be had or built here.
    """
    go = shutil.which("go") or shutil.which("go", path="/usr/local/go/bin")
    if go is None:
        raise CannotRun("there is no Go toolchain")
    folder = await _module(go)
    with tempfile.TemporaryDirectory(prefix="original-") as made:
        program = str(Path(made) / "benchmark")
        await _output(go, "test", "-c", "-o", program, _PACKAGE, folder=folder)
        found: dict[tuple[str, int], OriginalRun] = {}
        for times in sorted({1, rounds}):
            text = await _output(
                program, "-test.bench", "Arpc|Grpc", "-test.benchtime", f"{times}x", folder=made
            )
            found |= {(name, times): one for name, one in parsed(text).items()}
    return found


async def _module(go: str) -> str:
    """The folder of the module's source."""
    told = json.loads(await _output(go, "mod", "download", "-json", MODULE, folder=os.sep))
    if told["Sum"] != _SUM:
        raise CannotRun(f"{MODULE} has the sum {told['Sum']}, not {_SUM}")
    return str(told["Dir"])


async def _output(*command: str, folder: str) -> str:
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=folder,
        env=_ENVIRONMENT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        out, err = await asyncio.wait_for(process.communicate(), _PATIENCE)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        text = (err or out).decode(errors="replace").strip()
        raise CannotRun(f"{' '.join(command[:3])}: {text[-300:]}")
    return out.decode()


def parsed(text: str) -> dict[str, OriginalRun]:
    """The last run of each program in what Go's benchmark prints; the first is a trial of one."""
    found: dict[str, OriginalRun] = {}
    name, seconds, counts = "", 0.0, dict[str, int]()
    for line in [*text.splitlines(), "BenchmarkClientNone"]:
        if line.startswith("BenchmarkClient"):
            if name:
                found[name] = OriginalRun(counts["Calls"], counts["Transferred"], seconds)
            result = _RESULT.match(line)
            name = _PROGRAMS[result[1]] if result else ""
            seconds = float(result[3]) / 1e9 if result else 0.0
            counts = {}
        elif count := _COUNT.search(line):
            counts[count[1]] = int(count[2].replace(",", ""))
    return found
