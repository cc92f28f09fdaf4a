"""The stage of an example: an etcd, the peers of its app, and a client of their namespace."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.markup import escape

import grid
from examples.peers import PeerEnded, Peers
from grid.embedded import Etcd

__all__ = ["Stage", "exit_code", "open_stage"]

_INTERRUPTED = 130  # what a shell says of a command that Ctrl-C ended
_ENDING = (signal.SIGINT, signal.SIGTERM)


@dataclass(frozen=True, slots=True)
class Stage:
    """A running grid.

    Attributes:
        client: of its namespace.
        peers: the processes of its app, all of which serve.
        environment: of commands that look at it.
    """

    client: grid.Client
    peers: Peers
    environment: dict[str, str]

    async def show(self, kind: str, console: Console) -> None:
        """Print `grid KIND`, and the table that it prints."""
        console.print(f"\n[dim]$[/] grid {kind}")
        shown = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "grid.cli", kind, env=self.environment
        )
        await shown.wait()


@asynccontextmanager
async def open_stage(
    app: str,
    namespace: str,
    *,
    peers: int,
    lease: float,
    console: Console,
    verbose: bool = False,
    **client: Any,
) -> AsyncIterator[Stage]:
    """Start an etcd and peers, and end them with the block.

    Args:
        app: the module and its server, as `grid serve` takes them.
        namespace: of the peers and the client.
        peers: how many.
        lease: seconds until a dead peer is missed.
        console: says that they serve.
        verbose: print what the peers log.
        client: further arguments of the client.

    Raises:
        PeerEnded: a peer did not start.
    """

    def log(peer: str, line: str) -> None:
        if verbose:
            console.print(f"[dim]{peer} {escape(line)}[/]")

    async with Etcd() as etcd:
        # What the user has set is about other grids than this one.
        environment = {name: one for name, one in os.environ.items() if name[:5] != "GRID_"}
        environment["GRID_ETCD"] = etcd.endpoint
        environment["GRID_NAMESPACE"] = namespace
        environment["GRID_LEASE"] = f"{lease:g}"
        config = grid.EtcdConfig.parse(etcd.endpoint)
        async with (
            Peers(app, peers, environment=environment, log=log) as running,
            grid.Client(namespace, etcd=config, **client) as asking,
        ):
            await running.wait_until_serving(asking)
            console.print(f"{peers} peers, etcd at {etcd.endpoint}")
            yield Stage(asking, running, environment)


def exit_code(work: Coroutine[Any, Any, bool], *expected: type[Exception]) -> int:
    """Do the work of an example: 0 if it returns True.

    SIGINT and SIGTERM cancel it, so that what it has started is ended in good order.

    Args:
        work: the whole example.
        expected: errors that are printed as one line, beside those of the grid.
    """
    printed: tuple[type[Exception], ...] = (grid.GridError, PeerEnded, *expected)
    try:
        return 0 if asyncio.run(_until_signalled(work)) else 1
    except asyncio.CancelledError:
        return _INTERRUPTED
    except printed as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


async def _until_signalled(work: Coroutine[Any, Any, bool]) -> bool:
    working = asyncio.create_task(work)
    for number in _ENDING:
        asyncio.get_running_loop().add_signal_handler(number, working.cancel)
    return await working
