"""A worker as a child process, seen from its agent."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import signal
import sys
from collections import deque
from collections.abc import Callable
from typing import Any

from node.agent.handle import Handlers
from node.worker.process import Assignment

__all__ = ["ChildWorker"]

_log = logging.getLogger("node.worker")

# Its arguments are the search path, so that the child finds what the parent finds, and its name,
# for those who list processes.
_BOOT = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from node.worker.process import main; main()"
)
_LINES = 200  # of its output that are kept
_LINE_LIMIT = 1 << 16  # bytes


class ChildWorker:
    """A worker in a process of its own.

    Args:
        assignment: what it shall do.
        handlers: called with what comes of it.

    Attributes:
        name: of the worker.
        pid: of its process; 0 before the start.
        log: the last lines of its output.
    """

    def __init__(self, assignment: Assignment, handlers: Handlers) -> None:
        self.name = assignment.worker
        self.pid = 0
        self.log: deque[str] = deque(maxlen=_LINES)
        self._assignment = assignment
        self._handlers = handlers
        self._process: asyncio.subprocess.Process | None = None
        self._reason = ""
        self._living = asyncio.create_task(self._live(), name=f"worker process {self.name}")

    def end(self) -> None:
        """Ask it to finish its job and to end."""
        process = self._process
        if process is not None and process.stdin is not None:
            with contextlib.suppress(OSError, RuntimeError):
                process.stdin.write(b"stop\n")

    def kill(self, reason: str) -> None:
        """End it at once."""
        self._reason = self._reason or reason
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(signal.SIGKILL)

    async def ended(self) -> None:
        """Return once its process is gone."""
        await asyncio.wait([self._living])

    async def _live(self) -> None:
        try:
            process = self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-c", _BOOT, json.dumps(sys.path), self.name),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                limit=_LINE_LIMIT,
            )
        except OSError as error:
            self._handlers.exited(self, f"its process did not start: {error}")
            return
        self.pid = process.pid
        if self._reason:
            self.kill(self._reason)
        if process.stdin is not None:
            with contextlib.suppress(OSError):
                process.stdin.write(self._assignment.encode())
        reading = asyncio.gather(
            _each_line(process.stdout, self._told), _each_line(process.stderr, self._printed)
        )
        code = await process.wait()
        # A process that the worker left behind may hold its output open.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.5):
                await asyncio.shield(reading)
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
        _close(process)
        self._handlers.exited(self, self._reason or self._last_words(code))

    def _told(self, line: str) -> None:
        try:
            what: dict[str, Any] = json.loads(line)
        except ValueError:
            return
        if what.get("ready"):
            self._handlers.ready(self)
        elif "client" in what:
            self._handlers.client(self, str(what["client"]))
        elif "busy" in what:
            self._handlers.beat(self, what)

    def _printed(self, line: str) -> None:
        self.log.append(line)
        _log.info("%s: %s", self.name, line)

    def _last_words(self, code: int) -> str:
        if code < 0:
            with contextlib.suppress(ValueError):
                return f"its process was ended by {signal.Signals(-code).name}"
        words = "\n".join([*self.log][-20:])
        return f"its process ended with {code}" + (f":\n{words}" if words else "")


async def _each_line(stream: asyncio.StreamReader | None, call: Callable[[str], None]) -> None:
    while stream is not None:
        try:
            line = await stream.readline()
        except ValueError:  # longer than the limit; what was read of it is gone
            continue
        if not line:
            return
        call(line.decode(errors="replace").rstrip("\n"))


def _close(process: asyncio.subprocess.Process) -> None:
    transport = getattr(process, "_transport", None)
    if transport is not None:
        transport.close()
