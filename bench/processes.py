"""Processes under measurement: start them, tell them what to do, read their CPU time.

A child reads orders from its stdin and answers on its stdout, one JSON value a
line. It ends when its stdin closes, so that none outlives the benchmark.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

__all__ = ["Child", "CpuMeter", "cpu_seconds", "descendants", "quietest"]

_PATIENCE = 60.0
_STAT = Path("/proc/stat")
_QUIET = 0.15  # cores that others may use during a measurement
_TRIES = 4

T = TypeVar("T")


def cpu_seconds(pid: int) -> float:
    """CPU time that a process has used; 0 where the system does not tell."""
    # Linux numbers the CPU clock of a process so (see clock_getcpuclockid(3)).
    try:
        return time.clock_gettime((~pid << 3) | 2)
    except OSError:
        return 0.0


class Child:
    """A process of `bench.roles`. Use it with `async with`.

    Args:
        role: which one; see `bench.roles`.
        environment: of the process; None for this one's.
        given: what the role is given.
    """

    def __init__(
        self, role: str, /, *, environment: dict[str, str] | None = None, **given: Any
    ) -> None:
        self._role = role
        self._given = given
        self._environment = environment
        self._process: asyncio.subprocess.Process | None = None
        self.told: dict[str, Any] = {}

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._running().pid

    async def start(self) -> Self:
        """Start it and wait until it is ready; what it said then is in `told`."""
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "bench.roles",
            self._role,
            json.dumps(self._given),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env=self._environment,
        )
        try:
            self.told = await self._answer()
        except BaseException:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()
            raise
        return self

    async def ask(self, order: str) -> dict[str, Any]:
        """Give an order and wait for the answer."""
        pipe = self._running().stdin
        assert pipe is not None
        pipe.write(order.encode() + b"\n")
        await pipe.drain()
        return await self._answer()

    def kill(self) -> None:
        """SIGKILL."""
        self._running().kill()

    def terminate(self) -> None:
        """SIGTERM."""
        self._running().terminate()

    async def stop(self) -> None:
        """Close its stdin and wait for its end; also after `kill`."""
        process = self._running()
        assert process.stdin is not None
        process.stdin.close()
        try:
            await asyncio.wait_for(process.wait(), _PATIENCE)
        except TimeoutError:
            process.kill()
            await process.wait()

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.stop()

    async def _answer(self) -> dict[str, Any]:
        pipe = self._running().stdout
        assert pipe is not None
        line = await asyncio.wait_for(pipe.readline(), _PATIENCE)
        if not line:
            raise RuntimeError(f"the process {self._role!r} ended early")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _running(self) -> asyncio.subprocess.Process:
        assert self._process is not None, "it was not started"
        return self._process


class CpuMeter:
    """CPU used between two points in time: by the measured processes, and by all others."""

    def __init__(self, *pids: int) -> None:
        self._pids = (os.getpid(), *pids)
        self._began = time.monotonic()
        self._own, self._all = self._used(), _busy_seconds()

    def own(self) -> float:
        """Seconds used by this process and the ones given."""
        return self._used() - self._own

    def foreign(self) -> float:
        """Cores kept busy by everything else; 0 where the system does not tell."""
        elapsed = time.monotonic() - self._began
        return max(0.0, _busy_seconds() - self._all - self.own()) / elapsed

    def _used(self) -> float:
        return sum(map(cpu_seconds, self._pids))


def _busy_seconds() -> float:
    with contextlib.suppress(OSError):
        user, nice, system = _STAT.read_text().split(maxsplit=4)[1:4]
        return (int(user) + int(nice) + int(system)) / os.sysconf("SC_CLK_TCK")
    return 0.0


def descendants(pid: int) -> list[int]:
    """The children of a process, their children, and so on; none where the system does not tell."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            # The name before it is in brackets and may hold anything.
            parent = int(stat.read_bytes().rpartition(b")")[2].split()[1])
            children.setdefault(parent, []).append(int(stat.parent.name))
    found = list(children.get(pid, ()))
    for one in found:  # grows while it is walked
        found += children.get(one, ())
    return found


async def quietest(measure: Callable[[], Awaitable[T]]) -> T:
    """Measure, again if other processes used the machine meanwhile; the least disturbed result."""
    best: T | None = None
    least = float("inf")
    for _ in range(_TRIES):
        meter = CpuMeter(*descendants(os.getpid()))
        result = await measure()
        disturbed = meter.foreign()
        if disturbed < least:
            best, least = result, disturbed
        if least < _QUIET:
            break
    assert best is not None
    return best
