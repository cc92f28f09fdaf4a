"""Kit of the tests of the command: real `grid` processes."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from grid.testing import wait_until

__all__ = ["APP", "GRID", "Running", "children", "data", "grid", "on_terminal", "shell"]

APP = "tests.grid.cli.cli_app:server"
ROOT = Path(__file__).parents[3]
GRID = Path(sys.executable).with_name("grid")


def _environment(more: Mapping[str, str] | None) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GRID_")}
    kept.pop("GRPC_EXPERIMENTS", None)
    return {**kept, "COLUMNS": "200", **(more or {})}


def grid(
    *arguments: str,
    env: Mapping[str, str] | None = None,
    stdin: str = "",
    stdout: int = subprocess.PIPE,
    cwd: Path = ROOT,
) -> subprocess.CompletedProcess[str]:
    """The command, run to its end."""
    return subprocess.run(
        [GRID, *arguments],
        env=_environment(env),
        input=stdin,
        cwd=cwd,
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        timeout=30,
        check=False,
    )


def shell(line: str, *, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """A line of bash, with the command on its PATH."""
    return subprocess.run(
        ["bash", "-c", f"PATH={GRID.parent}:$PATH; {line}"],
        env=_environment(env),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def on_terminal(
    *arguments: str, terminal: int, env: Mapping[str, str] | None = None
) -> subprocess.Popen[bytes]:
    """The command with its output on a terminal."""
    return subprocess.Popen(
        [GRID, *arguments],
        env=_environment({"TERM": "xterm", **(env or {})}),
        cwd=ROOT,
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        start_new_session=True,
    )


def data(done: subprocess.CompletedProcess[str]) -> Any:
    """The JSON that a successful command printed."""
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


class Running:
    """A command that runs in the background, and what it has printed so far."""

    def __init__(
        self,
        *arguments: str,
        env: Mapping[str, str] | None = None,
        cwd: Path = ROOT,
        stdout: int | IO[bytes] = subprocess.PIPE,
    ) -> None:
        self.out: list[str] = []
        self.err: list[str] = []
        self.process = subprocess.Popen(
            [GRID, *arguments],
            env=_environment(env),
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        pipes = ((self.process.stdout, self.out), (self.process.stderr, self.err))
        self._readers = [
            threading.Thread(target=_collect, args=(pipe, lines), daemon=True)
            for pipe, lines in pipes
            if pipe is not None
        ]
        for reader in self._readers:
            reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.ended()

    async def says(self, text: str, *, on: str = "err", timeout: float = 20) -> str:
        """The first line with a text, when it is there."""
        lines = self.err if on == "err" else self.out
        await self.until(lambda: any(text in line for line in lines), f"{text!r}", timeout)
        return next(line for line in lines if text in line)

    async def until(
        self, condition: Callable[[], object], description: str, timeout: float = 20
    ) -> None:
        """Wait; if it does not come true, the error has what was printed."""
        try:
            await wait_until(condition, description, timeout=timeout)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{''.join(self.out)}\n{''.join(self.err)}") from None

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the command's own process."""
        self.process.send_signal(number)

    def ended(self) -> int:
        """The exit code, when it has ended and everything it printed is here."""
        code = self.process.wait(60)
        for reader in self._readers:
            reader.join(60)
        for pipe in (self.process.stdout, self.process.stderr):
            if pipe is not None:
                pipe.close()
        return code


def _collect(pipe: IO[str], lines: list[str]) -> None:
    for line in iter(pipe.readline, ""):
        lines.append(line)  # noqa: PERF402 - seen while it grows


def children(pid: int) -> dict[int, str]:
    """All descendants of a process: pids and command lines."""
    found: dict[int, str] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        # The names and arguments of other programs may be any bytes.
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            if int((folder / "stat").read_bytes().rpartition(b")")[2].split()[1]) == pid:
                line = (folder / "cmdline").read_bytes().replace(b"\0", b" ")
                found[int(folder.name)] = line.decode(errors="replace")
                found |= children(int(folder.name))
    return found
