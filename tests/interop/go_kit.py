"""The Go program of this folder: built once a session, driven by JSON lines.

The tests are skipped, with the reason, where there is no Go toolchain or the
Go modules cannot be had; a program that does not compile is a failure.
"""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from grid.testing import wait_until

__all__ = ["Line", "Program", "build", "running", "why_not"]

Line = dict[str, Any]

_HERE = Path(__file__).parent
_ENVIRONMENT = {**os.environ, "CGO_ENABLED": "0", "GOWORK": "off"}
_DOWNLOAD_SECONDS = 240
_BUILD_SECONDS = 340  # with nothing in Go's cache, on a small machine


def why_not() -> str:
    """Why the Go program cannot be built here; empty if it can. Fetches the modules."""
    if _go() is None:
        return "no Go toolchain (`go` is neither on PATH nor in /usr/local/go/bin)"
    try:
        done = _run_go("mod", "download", timeout=_DOWNLOAD_SECONDS)
    except subprocess.TimeoutExpired:
        return f"the Go modules were not downloaded within {_DOWNLOAD_SECONDS} s"
    if done.returncode:
        return f"the Go modules cannot be had: {done.stderr.strip()[-500:]}"
    return ""


def build(folder: Path) -> Path:
    """Build the program into a folder; seconds if Go's cache is warm, else minutes."""
    program = folder / "interop"
    done = _run_go("build", "-o", str(program), ".", timeout=_BUILD_SECONDS)
    assert done.returncode == 0, done.stderr
    return program


def _go() -> str | None:
    return shutil.which("go") or shutil.which("go", path="/usr/local/go/bin")


def _run_go(*arguments: str, timeout: float) -> subprocess.CompletedProcess[str]:
    go = _go()
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


class Program:
    """A process that takes commands and gives answers and events, a JSON object a line.

    Attributes:
        events: all events so far; each has `event` and the time `at`.
    """

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._answers: dict[int, asyncio.Future[Line]] = {}
        self._ids = itertools.count(1)
        self._reading = asyncio.create_task(self._read())
        self.events: list[Line] = []

    async def ask(self, op: str, **fields: Any) -> Line:
        """Give a command and return its answer."""
        number = next(self._ids)
        answer: asyncio.Future[Line] = asyncio.get_running_loop().create_future()
        self._answers[number] = answer
        if isinstance(fields.get("data"), bytes):
            fields["data"] = base64.b64encode(fields["data"]).decode()
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"id": number, "op": op, **fields}).encode() + b"\n")
        return await answer

    async def event(
        self, name: str, *, timeout: float = 15.0, when: Callable[[Line], bool] = lambda _: True
    ) -> Line:
        """The first event of that name (for which `when` is true), waited for."""

        def happened() -> list[Line]:
            return [one for one in self.events if one["event"] == name and when(one)]

        def happened_or_ended() -> bool:
            return bool(happened()) or self._reading.done()

        await wait_until(happened_or_ended, f"event {name!r} in {self.events}", timeout=timeout)
        assert happened(), f"it ended without {name!r}: {self.events}"
        return happened()[0]

    async def kill(self) -> None:
        """SIGKILL: nothing is given back."""
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()
        await self._reading

    async def ended(self) -> int:
        """Wait for its own end; its exit code."""
        code = await self._process.wait()
        await self._reading
        return code

    async def _read(self) -> None:
        assert self._process.stdout is not None
        async for text in self._process.stdout:
            line: Line = json.loads(text)
            if "event" in line:
                self.events.append(line)
            else:
                self._answers.pop(line["id"]).set_result(line)
        for answer in self._answers.values():
            answer.set_exception(ConnectionError("the program ended without an answer"))


@asynccontextmanager
async def running(*command: str | Path) -> AsyncIterator[Program]:
    """A process that is killed at the end, if it has not ended by itself."""
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=sys.stderr,
        limit=16 * 1024 * 1024,
    )
    program = Program(process)
    try:
        yield program
    finally:
        await program.kill()
