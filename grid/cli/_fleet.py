"""The peers of `grid dev`: processes, what they print, and how they end."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import TextIO

from grid.cli._output import say

__all__ = ["Described", "Fleet", "describe"]

_SERVE = (sys.executable, "-P", "-m", "grid.cli", "serve")
_FORCE_PATIENCE = 3.0  # seconds from a second signal to SIGKILL
# What would make all peers the same, or send them to another grid than the one of `dev`.
_NOT_INHERITED = ("GRID_ETCD", "GRID_LISTEN", "GRID_ADVERTISE", "GRID_NAME", "GRID_NAMESPACE")
_COLOURS = ("36", "33", "32", "35", "34", "96", "93", "92", "95", "94")


@dataclass(frozen=True, slots=True)
class Described:
    """What an app says of itself."""

    namespace: str


async def describe(arguments: list[str]) -> Described | None:
    """What the app says of itself; None if it cannot be loaded, which it has said on stderr.

    It is loaded in a process of its own: what it does when imported happens in
    peers, not in `grid dev`.
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
    # The app may print while it is imported.
    return Described(**json.loads(output.splitlines()[-1]))


class Fleet:
    """Peers as processes. They end with this process, however it ends."""

    def __init__(
        self,
        arguments: list[str],
        endpoint: str,
        namespace: str,
        *,
        on_closed: Callable[[str], object],
    ) -> None:
        self.namespace = namespace
        self.clean = True
        self._arguments = arguments
        self._endpoint = endpoint
        self._on_closed = on_closed
        self._peers: dict[str, Process] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._ending = False

    @property
    def alive(self) -> list[str]:
        """The names of those that run."""
        return [name for name, one in self._peers.items() if one.returncode is None]

    async def start(self, count: int) -> None:
        """Start peers named peer-1, peer-2, ..."""
        for number in range(1, count + 1):
            await self._start(number, f"peer-{number}", len(f"peer-{count}"))

    async def _start(self, number: int, name: str, width: int) -> None:
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
        colour = _COLOURS[(number - 1) % len(_COLOURS)]
        relays = [
            asyncio.create_task(self._relay(source, target, _prefix(name, width, colour, target)))
            for source, target in ((process.stdout, sys.stdout), (process.stderr, sys.stderr))
            if source is not None
        ]
        self._tasks.append(asyncio.create_task(self._follow(name, process, relays)))

    def _environment(self) -> dict[str, str]:
        kept = {
            name: value
            for name, value in os.environ.items()
            if name not in _NOT_INHERITED and not name.startswith("GRID_ETCD_")
        }
        own = {"GRID_ETCD": self._endpoint, "GRID_NAMESPACE": self.namespace}
        return {**kept, **own, "PYTHONUNBUFFERED": "1"}

    async def _relay(self, source: asyncio.StreamReader, target: TextIO, prefix: str) -> None:
        async for line in _lines(source):
            try:
                target.write(f"{prefix}{line}\n")
                target.flush()
            except BrokenPipeError:
                self._on_closed("nobody reads")
                return

    async def _follow(self, name: str, process: Process, relays: list[asyncio.Task[None]]) -> None:
        code = await process.wait()
        await asyncio.gather(*relays)
        # Ended before it could listen to a signal is as good as ended by it in order.
        in_order = self._ending and code in (0, -signal.SIGTERM)
        if self._ending and not in_order:
            self.clean = False
        if not in_order:
            say(f"{name} (pid {process.pid}) {_how_it_ended(code)}", style="red")

    async def wait_serving(self, timeout: float) -> None:
        """Say so when all peers that run are in the registry."""
        from grid.client.client import Client
        from grid.errors import GridError
        from grid.etcd import EtcdConfig

        config = EtcdConfig.parse(self._endpoint)
        async with Client(self.namespace, etcd=config) as client:
            try:
                await asyncio.gather(
                    *(client.wait_until_serving(name, timeout=timeout) for name in self.alive)
                )
            except GridError as error:
                say(f"warning: {error}", style="yellow")
            else:
                count = len(self.alive)
                serving = "1 peer serves" if count == 1 else f"{count} peers serve"
                say(f"{serving}; Ctrl-C ends it all", style="bold green")

    async def wait_ended(self) -> None:
        """Return when no peer runs."""
        await asyncio.wait(self._tasks)

    async def end(self) -> None:
        """Let them drain, and wait for it."""
        self._ending = True
        self._signal(signal.SIGTERM)
        await self.wait_ended()

    async def force(self) -> None:
        """Cut the drain short, and if that does not help, the process."""
        self._signal(signal.SIGTERM)
        await asyncio.wait(self._tasks, timeout=_FORCE_PATIENCE)
        self._signal(signal.SIGKILL)

    async def kill(self) -> None:
        """Leave none behind."""
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
