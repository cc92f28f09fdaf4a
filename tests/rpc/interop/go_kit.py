"""The Go program of this folder: built once a run, driven by JSON lines."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

__all__ = ["GoProgram", "build", "go_program"]

_HERE = Path(__file__).parent
_ENVIRONMENT = {**os.environ, "CGO_ENABLED": "0", "GOWORK": "off"}
_DOWNLOAD, _BUILD, _ANSWER = 240, 340, 30  # seconds


def build(folder: Path) -> Path:
    """Build the program; skips, and says so, where Go or its modules cannot be had."""
    go = shutil.which("go") or shutil.which("go", path="/usr/local/go/bin")
    if go is None:
        _skip("no Go toolchain")
    program = folder / "interop"
    try:
        done = _run(go, "mod", "download", timeout=_DOWNLOAD)
        if done.returncode:
            _skip(f"the Go modules cannot be had: {done.stderr.strip()[-300:]}")
        done = _run(go, "build", "-o", str(program), ".", timeout=_BUILD)
    except subprocess.TimeoutExpired as error:
        _skip(str(error))
    assert done.returncode == 0, done.stderr
    return program


def _skip(reason: str) -> None:
    text = f"*** SKIPPED: psrpc interop was not tested: {reason}"
    print(text, file=sys.stderr)
    pytest.skip(text)


def _run(go: str | None, *arguments: str, timeout: float) -> subprocess.CompletedProcess[str]:
    assert go is not None
    return subprocess.run(
        [go, *arguments],
        cwd=_HERE,
        env=_ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


class GoProgram:
    """A running program that answers each line with a line; updates come by themselves."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.updates: list[tuple[str, str]] = []

    async def ask(self, do: str, text: str = "", **fields: Any) -> dict[str, Any]:
        """Give a command; its answer."""
        assert self._process.stdin is not None
        line = {"do": do, "text": text, **fields}
        self._process.stdin.write(json.dumps(line).encode() + b"\n")
        return await self.answer()

    async def answer(self) -> dict[str, Any]:
        """The next line that is no update."""
        while "update" in (line := await self._line()):
            self.updates.append((line["of"], line["update"]))
        return line

    async def wait_updates(self, count: int) -> list[tuple[str, str]]:
        """The updates so far, once there are as many as this."""
        while len(self.updates) < count:
            line = await self._line()
            self.updates.append((line["of"], line["update"]))
        return self.updates

    async def _line(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        data = await asyncio.wait_for(self._process.stdout.readline(), _ANSWER)
        assert data, "the Go program has ended"
        found: dict[str, Any] = json.loads(data)
        return found


@asynccontextmanager
async def go_program(program: Path, url: str, *words: str) -> AsyncIterator[GoProgram]:
    """A program for a block; it is ready when the block begins."""
    process = await asyncio.create_subprocess_exec(
        program,
        url,
        *words,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=sys.stderr,
    )
    made = GoProgram(process)
    try:
        assert "ready" in await made.answer()
        yield made
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
