"""The peers of `grid dev`: processes that are started again when they crash."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any, TextIO

from grid.cli._exits import Code
from grid.cli._output import discard, put, say

__all__ = ["Described", "Fleet", "Restarts", "describe"]

_SERVE = (sys.executable, "-P", "-m", "grid.cli", "serve")
_FORCE_PATIENCE = 3.0  # seconds from a second signal to SIGKILL
# Variables that would make all peers the same, or send them to another grid.
_NOT_INHERITED = ("GRID_ETCD", "GRID_LISTEN", "GRID_ADVERTISE", "GRID_NAME", "GRID_NAMESPACE")
_COLOURS = ("36", "33", "32", "35", "34", "96", "93", "92", "95", "94")


class Restarts:
    """Policy of one peer: when it is started again after it has ended.

    A peer that was told to end (exit code 0) stays ended, and so does one whose
    arguments are wrong. The others come back after a delay that doubles, and are
    given up when they end soon after each start.
    """

    SOON = 10.0  # seconds
    ATTEMPTS = 6

    def __init__(self) -> None:
        self._failures = 0

    def delay(self, code: int, lived: float) -> float | None:
        """Seconds until the next start; None for never.

        Args:
            code: exit code, negative for a signal.
            lived: seconds from its start to its end.
        """
        if code in (Code.OK, Code.USAGE):
            return None
        self._failures = 1 if lived > self.SOON else self._failures + 1
        if self._failures > self.ATTEMPTS:
            return None
        return 0.5 * 2.0 ** (self._failures - 1)


@dataclass(frozen=True, slots=True)
class Described:
    """Settings of an app that `grid dev` needs; its TLS as fields of `grid.TLS` but the token."""

    namespace: str
    tls: dict[str, Any] | None = None


async def describe(arguments: list[str]) -> Described | None:
    """Load an app and return its settings; None if it fails, with its error on stderr.

    It is loaded in a process of its own: the effects of its import belong to
    peers, not to `grid dev`.
    """
    process = await asyncio.create_subprocess_exec(
        *_SERVE, *arguments, "--describe", stdout=PIPE, start_new_session=True
    )
    try:
        output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode != 0:
        return None
    return Described(**json.loads(output))


class Fleet:
    """Peers as processes. They end with this process, however it ends."""

    def __init__(
        self,
        arguments: list[str],
        endpoint: str,
        described: Described,
        *,
        on_closed: Callable[[str], object],
    ) -> None:
        self.namespace = described.namespace
        self._tls = described.tls
        self.clean = True
        self._arguments = arguments
        self._endpoint = endpoint
        self._on_closed = on_closed
        self._peers: dict[str, Process] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._ending = asyncio.Event()

    @property
    def alive(self) -> list[str]:
        """The names of the running peers."""
        return [name for name, one in self._peers.items() if one.returncode is None]

    async def start(self, count: int) -> None:
        """Start peers named peer-1, peer-2, ..."""
        for number in range(1, count + 1):
            colour = _COLOURS[(number - 1) % len(_COLOURS)]
            name, width = f"peer-{number}", len(f"peer-{count}")
            # The first start is awaited, so that `alive` is complete afterwards.
            process = await self._start(name)
            self._tasks.append(asyncio.create_task(self._keep(name, width, colour, process)))

    async def _start(self, name: str) -> Process:
        # A session of its own: Ctrl-C is for `dev`, which then ends the peers in order.
        process = await asyncio.create_subprocess_exec(
            *_SERVE,
            *self._arguments,
            *("--name", name, "--listen", "127.0.0.1:0", "--owned"),
            stdin=PIPE,
            stdout=PIPE,
            stderr=PIPE,
            env=self._environment(),
            start_new_session=True,
        )
        self._peers[name] = process
        return process

    async def _keep(self, name: str, width: int, colour: str, process: Process) -> None:
        """Start a peer again whenever it has crashed, until the end of all."""
        restarts = Restarts()
        while True:
            began = time.monotonic()
            code = await self._follow(name, width, colour, process)
            if self._ending.is_set():
                return
            delay = restarts.delay(code, time.monotonic() - began)
            if delay is None:
                return
            say(f"starting {name} again in {delay:g} s", style="yellow")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(delay):
                    await self._ending.wait()
                return
            process = await self._start(name)
            if self._ending.is_set():  # the signal to end has missed it
                process.terminate()

    async def _follow(self, name: str, width: int, colour: str, process: Process) -> int:
        """Relay the output of a process until it has ended; its exit code."""
        relays = [
            asyncio.create_task(self._relay(source, target, _prefix(name, width, colour, target)))
            for source, target in ((process.stdout, sys.stdout), (process.stderr, sys.stderr))
            if source is not None
        ]
        code = await process.wait()
        await asyncio.gather(*relays)
        # Ended before it could listen to a signal is as good as ended by it in order.
        in_order = self._ending.is_set() and code in (0, -signal.SIGTERM)
        if self._ending.is_set() and not in_order:
            self.clean = False
        if not in_order:
            say(f"{name} (pid {process.pid}) {_how_it_ended(code)}", style="red")
        return code

    def _environment(self) -> dict[str, str]:
        kept = {
            name: value
            for name, value in os.environ.items()
            if name not in _NOT_INHERITED and not name.startswith("GRID_ETCD_")
        }
        own = {"GRID_ETCD": self._endpoint, "GRID_NAMESPACE": self.namespace}
        return {**kept, **own, "PYTHONUNBUFFERED": "1"}

    async def _relay(self, source: asyncio.StreamReader, target: TextIO, prefix: str) -> None:
        # It reads on whatever happens: a peer whose pipe is full would stand still.
        reads = True
        async for line in _lines(source):
            try:
                if reads:
                    put(f"{prefix}{line}\n", target)
            except BrokenPipeError:
                reads = False
                self._on_closed("the reader of the output has gone")
            except OSError as error:
                discard(target)
                say(f"warning: what peers print is lost from now on: {error.strerror}")

    async def wait_serving(self, timeout: float, how_to_end: str) -> None:
        """Say so when all running peers serve.

        Args:
            timeout: in seconds; afterwards a warning says which peer does not serve.
            how_to_end: the user's way to end everything, for that line.
        """
        from grid.client.client import Client
        from grid.errors import GridError
        from grid.etcd import EtcdConfig
        from grid.tls import TLS

        config = EtcdConfig.parse(self._endpoint)
        tls = None if self._tls is None else TLS(**self._tls)
        async with Client(self.namespace, etcd=config, tls=tls) as client:
            try:
                await asyncio.gather(
                    *(client.wait_until_serving(name, timeout=timeout) for name in self.alive)
                )
            except GridError as error:
                say(f"warning: {error}", style="yellow")
            else:
                count = len(self.alive)
                serving = "1 peer serves" if count == 1 else f"{count} peers serve"
                say(f"{serving}; {how_to_end} ends it all", style="bold green")

    async def wait_ended(self) -> None:
        """Return when no peer runs, and none is to be started again."""
        await asyncio.wait(self._tasks)

    async def end(self) -> None:
        """Let them drain, and wait for it."""
        self._ending.set()
        self._signal(signal.SIGTERM)
        await self.wait_ended()

    async def force(self) -> None:
        """Cut the drain short, and if that does not help, the process."""
        self._signal(signal.SIGTERM)
        await asyncio.wait(self._tasks, timeout=_FORCE_PATIENCE)
        self._signal(signal.SIGKILL)

    async def kill(self) -> None:
        """Leave none behind."""
        self._ending.set()
        self._signal(signal.SIGKILL)
        if self._tasks:
            await asyncio.wait(self._tasks)

    def _signal(self, number: signal.Signals) -> None:
        for name in self.alive:
            with contextlib.suppress(ProcessLookupError):
                self._peers[name].send_signal(number)


async def _lines(source: asyncio.StreamReader) -> AsyncIterator[str]:
    rest = b""
    while chunk := await source.read(65536):
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            yield line.decode(errors="replace")
    if rest:
        yield rest.decode(errors="replace")


def _prefix(name: str, width: int, colour: str, target: TextIO) -> str:
    plain = f"{name:<{width}} | "
    coloured = target.isatty() and "NO_COLOR" not in os.environ
    return f"\x1b[{colour}m{plain}\x1b[0m" if coloured else plain


def _how_it_ended(code: int) -> str:
    if code >= 0:
        return f"ended with exit code {code}"
    return f"was ended by {signal.Signals(-code).name}"
