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
from node.agent.session_guard import SessionGuard, end_group
from node.worker.process import ALONE, BEGIN, STOP, SUPERVISED, Assignment

__all__ = ["ChildWorker"]

_log = logging.getLogger("node.worker")

# Its arguments are the search path, so that the child finds what the parent finds, and its name,
# for lists of processes.
_BOOT = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from node.worker.process import main; main()"
)
_LINES = 200  # of its output that are kept
_LINE_LIMIT = 1 << 16  # bytes
_LAST_WORDS = 0.5  # seconds for the rest of the output of a process that has ended
_KILLED = 0.1  # seconds for that of one which was killed: it has nothing to say


class _Protocol(asyncio.subprocess.SubprocessStreamProtocol):
    """The pipes of a process. `exited` is set at its end, while others may hold its output open."""

    def __init__(self, limit: int, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(limit, loop)
        self.exited = asyncio.Event()

    def process_exited(self) -> None:
        super().process_exited()
        self.exited.set()


class ChildWorker:
    """A worker in a process of its own.

    Args:
        assignment: what it shall do.
        handlers: called with what comes of it.
        guard: told of the process group of its process.
        wait: True for a spare process: it imports its code, and waits for `begin`.

    Attributes:
        name: of the worker.
        pid: of its process; 0 before the start.
        log: the last lines of its output.
    """

    def __init__(
        self,
        assignment: Assignment,
        handlers: Handlers,
        guard: SessionGuard,
        *,
        wait: bool = False,
    ) -> None:
        self.name: str = assignment.worker
        self.pid = 0
        self.log: deque[str] = deque(maxlen=_LINES)
        self._assignment = assignment
        self._handlers = handlers
        self._guard = guard
        self._process: asyncio.subprocess.Process | None = None
        self._reason = ""
        self._begun = not wait
        self._supervised = False
        self._living = asyncio.create_task(self._live(), name=f"worker process {self.name}")

    @property
    def killed(self) -> bool:
        """True once this agent has ended it."""
        return bool(self._reason)

    @property
    def ending(self) -> bool:
        """True once its process has ended, or is about to."""
        return self.killed or (self._process is not None and self._process.returncode is not None)

    def begin(self) -> None:
        """Let a spare process become a worker."""
        self._begun = True
        self._write(BEGIN)  # or when it is told its assignment

    def supervised(self, connected: bool) -> None:
        """Tell it whether there is a supervisor."""
        if connected != self._supervised:
            self._supervised = connected
            if self._begun:
                self._write(SUPERVISED if connected else ALONE)

    def end(self) -> None:
        """Ask it to finish its job and to end."""
        self._write(STOP)

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
        reason = "its end is not known"
        try:
            reason = await self._run()
        except Exception as error:  # noqa: BLE001 - whatever it was, the agent must not wait for it
            reason = f"its process did not start: {error}"
            if not isinstance(error, OSError):
                _log.exception("worker %s is lost", self.name)
                self.kill(reason)
        finally:
            self._handlers.exited(self, self._reason or reason)

    async def _run(self) -> str:
        loop = asyncio.get_running_loop()
        transport, protocol = await loop.subprocess_exec(
            lambda: _Protocol(limit=_LINE_LIMIT, loop=loop),
            *(sys.executable, "-c", _BOOT, json.dumps(_search_path()), self.name),
        )
        process = self._process = asyncio.subprocess.Process(transport, protocol, loop)
        self.pid = process.pid
        self._guard.add(self.pid)
        self._handlers.forked(self)
        if self._reason:
            self.kill(self._reason)
        self._write(self._assignment.encode())
        if self._begun:
            self._write(BEGIN + (SUPERVISED if self._supervised else ALONE))
        reading = asyncio.gather(
            _each_line(process.stdout, self._told), _each_line(process.stderr, self._printed)
        )
        await protocol.exited.wait()
        code = transport.get_returncode() or 0
        end_group(self.pid)
        self._guard.remove(self.pid)
        # A process that has left the group may hold the output open.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LAST_WORDS if code >= 0 else _KILLED):
                await asyncio.shield(reading)
        reading.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await reading
        transport.close()
        return self._last_words(code)

    def _write(self, line: bytes) -> None:
        process = self._process
        if process is not None and process.stdin is not None:
            with contextlib.suppress(OSError, RuntimeError):
                process.stdin.write(line)

    def _told(self, line: str) -> None:
        try:
            what: dict[str, Any] = json.loads(line)
        except ValueError:
            return
        if what.get("ready"):
            self._handlers.ready(self)
        elif "client" in what:
            self._handlers.client(self, str(what["client"]))
        elif "stuck" in what:
            self._handlers.stuck(self, str(what["stuck"]))
        elif "busy" in what:
            self._handlers.beat(self, what)

    def _printed(self, line: str) -> None:
        self.log.append(line)
        self._handlers.printed(self, line)
        _log.info("%s: %s", self.name, line)

    def _last_words(self, code: int) -> str:
        if code < 0:
            with contextlib.suppress(ValueError):
                return f"its process was ended by {signal.Signals(-code).name}"
        words = "\n".join([*self.log][-20:])
        return f"its process ended with {code}" + (f":\n{words}" if words else "")


def _search_path() -> list[str]:
    return [one for one in sys.path if isinstance(one, str)]  # Python passes over others, too


async def _each_line(stream: asyncio.StreamReader | None, call: Callable[[str], None]) -> None:
    while stream is not None:
        try:
            line = await stream.readline()
        except ValueError:  # longer than the limit; what was read of it is gone
            continue
        if not line:
            return
        call(line.decode(errors="replace").rstrip("\n"))
