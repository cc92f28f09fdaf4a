"""The peers of an example: processes of `grid serve`, which end with this one."""

from __future__ import annotations

import asyncio
import sys
from asyncio.subprocess import PIPE, Process
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import grid

__all__ = ["PeerEnded", "Peers"]

_ROOT = Path(__file__).parents[1]
_READY = 30.0  # seconds that a peer may take to start
_TAIL = 20  # lines of its log that say why it ended


class PeerEnded(Exception):
    """A peer's process ended before it served; with the end of its log."""

    def __init__(self, name: str, log: str) -> None:
        super().__init__(f"{name} did not start:\n{log}")
        self.name = name
        self.log = log


@dataclass(frozen=True, slots=True)
class _Peer:
    name: str
    process: Process
    log: deque[str]
    logging: asyncio.Task[None]


class Peers:
    """Some peers of an app: `async with Peers("module:server", 3, ...) as peers:`.

    Args:
        app: the module and its server, as `grid serve` takes them.
        count: how many.
        environment: of their processes; `grid serve` reads its `GRID_...`.
        log: called with a peer's name and a line that it logged.

    Attributes:
        names: the peers' names.
    """

    def __init__(
        self,
        app: str,
        count: int,
        *,
        environment: Mapping[str, str],
        log: Callable[[str, str], object],
    ) -> None:
        self._app = app
        self.names = [f"peer-{number}" for number in range(1, count + 1)]
        self._environment = environment
        self._log = log
        self._peers: dict[str, _Peer] = {}

    async def __aenter__(self) -> Self:
        try:
            for name in self.names:
                self._peers[name] = await self._start(name)
        except BaseException:
            await self.stop()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.stop()

    async def wait_until_serving(self, client: grid.Client) -> None:
        """Return when all of them serve.

        Raises:
            PeerEnded: one ended instead.
            DeadlineExceeded: one does neither.
        """
        for peer in self._peers.values():
            await _serving(peer, client)

    def kill(self, name: str) -> None:
        """SIGKILL a peer: it has no time to say goodbye."""
        self._peers[name].process.kill()

    async def stop(self) -> None:
        """End all, gently; return when they are gone."""
        for peer in self._peers.values():
            if peer.process.returncode is None:
                peer.process.terminate()
        for peer in self._peers.values():
            await peer.process.wait()
            await peer.logging

    async def _start(self, name: str) -> _Peer:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "grid.cli", "serve", self._app, "--name", name, "--owned"),
            cwd=_ROOT,
            env=self._environment,
            stdin=PIPE,  # which closes when this process ends, however it ends
            stderr=PIPE,
            # Ctrl-C is for this process, which then ends its peers in good order.
            start_new_session=True,
        )
        log: deque[str] = deque(maxlen=_TAIL)
        return _Peer(name, process, log, asyncio.create_task(self._follow(name, process, log)))

    async def _follow(self, name: str, process: Process, log: deque[str]) -> None:
        assert process.stderr is not None  # noqa: S101 - it is a pipe
        async for line in process.stderr:
            log.append(line.decode(errors="replace").rstrip())
            self._log(name, log[-1])


async def _serving(peer: _Peer, client: grid.Client) -> None:
    serving = asyncio.create_task(client.wait_until_serving(peer.name, timeout=_READY))
    try:
        await asyncio.wait([serving, peer.logging], return_when=asyncio.FIRST_COMPLETED)
        if not serving.done():
            raise PeerEnded(peer.name, "\n".join(peer.log))
        serving.result()
    finally:
        serving.cancel()
