"""Commands as processes, and what they leave behind."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
from collections.abc import Mapping
from pathlib import Path

__all__ = ["Command", "run"]

_ROOT = Path(__file__).parents[2]
_MARK = "GRID_TEST_RUN"


class Command:
    """`python -m MODULE ARGUMENTS`, with its output as it comes.

    Everything that it starts inherits a mark, by which `left` finds it.
    """

    def __init__(
        self, module: str, *arguments: str, tmp: Path, environment: Mapping[str, str] = {}
    ) -> None:
        self._mark = f"{_MARK}={uuid.uuid4()}"
        name, _, value = self._mark.partition("=")
        inherited = {key: one for key, one in os.environ.items() if key[:5] != "GRID_"}
        self._process = subprocess.Popen(
            [sys.executable, "-u", "-m", module, *arguments],
            cwd=_ROOT,
            env={**inherited, **environment, name: value, "TMPDIR": str(tmp), "COLUMNS": "100"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            # pytest itself may run where SIGINT is ignored, which is inherited.
            start_new_session=True,
        )
        self.output = ""

    def read_until(self, text: str) -> str:
        """The output up to the line with the text in it; fails if it ends before."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.output += line
            if text in line:
                return self.output
        raise AssertionError(f"no {text!r} in:\n{self.output}")

    def finish(self, timeout: float = 60.0) -> int:
        """Read to the end; the exit code."""
        rest, _ = self._process.communicate(timeout=timeout)
        self.output += rest
        return self._process.returncode

    def signal(self, number: int) -> None:
        """Send a signal to this process alone."""
        self._process.send_signal(number)

    def left(self) -> list[str]:
        """The processes that it started and that are still there."""
        return [_command_line(one) for one in Path("/proc").glob("[0-9]*") if self._has_mark(one)]

    def _has_mark(self, process: Path) -> bool:
        try:
            return self._mark.encode() in (process / "environ").read_bytes().split(b"\0")
        except OSError:  # it ended just now, or is another user's
            return False


def run(module: str, *arguments: str, tmp: Path, **environment: str) -> tuple[int, str]:
    """Run a command to its end; its exit code and output."""
    command = Command(module, *arguments, tmp=tmp, environment=environment)
    return command.finish(), command.output


def _command_line(process: Path) -> str:
    try:
        return (process / "cmdline").read_text(errors="replace").replace("\0", " ")
    except OSError:
        return f"{process.name} (ended)"
