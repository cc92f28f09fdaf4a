"""`grid dev`: etcd and some peers of an app, until Ctrl-C."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from grid.cli._exits import Code
from grid.cli._load import TARGET_HELP
from grid.cli._options import command, option
from grid.cli._output import say, say_error
from grid.cli._serve import LogLevel

if TYPE_CHECKING:
    from grid.cli._fleet import Fleet
    from grid.embedded import Etcd

__all__ = ["add_to"]

_USUAL_PORT = 2379
_START_PATIENCE = 30.0


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    command(app, rich_help_panel="Run")(dev)


async def dev(
    target: Annotated[str, typer.Argument(metavar="MODULE:SERVER", help=TARGET_HELP)],
    peers: Annotated[
        int, option("--peers", env="GRID_DEV_PEERS", min=1, help="How many.", show_default=True)
    ] = 3,
    data: Annotated[
        Path | None,
        option(
            "--data",
            metavar="DIR",
            env="GRID_DEV_DATA",
            help="Where etcd keeps its data. (default: a temporary folder)",
        ),
    ] = None,
    etcd_port: Annotated[
        int | None,
        option(
            "--etcd-port",
            env="GRID_DEV_ETCD_PORT",
            help=f"etcd's port. (default: {_USUAL_PORT}, or any if that is taken)",
        ),
    ] = None,
    namespace: Annotated[
        str | None, option("--namespace", "-n", help="The grid. (default: what the app says)")
    ] = None,
    lease: Annotated[
        float | None,
        option("--lease", metavar="SECONDS", help="How soon a dead peer's names are free."),
    ] = None,
    log_level: Annotated[
        LogLevel, option("--log-level", help="What peers log.", show_default=True)
    ] = LogLevel.INFO,
) -> int:
    """Run an app on this machine: an etcd of its own, and peers as processes.

    Ctrl-C ends it: the peers drain, etcd goes last. A second Ctrl-C forces.

    $ grid dev shop.app:server
    $ grid dev shop.app:server --peers 5 --lease 2
    """
    from grid.cli._fleet import Fleet, describe

    arguments = [target, "--log-level", log_level.value]
    if namespace is not None:
        arguments += ["--namespace", namespace]
    if lease is not None:
        arguments += ["--lease", str(lease)]
    with _stop_requests() as stop:
        describing = asyncio.create_task(describe(arguments))
        async with _etcd(data, etcd_port) as etcd:
            if not await _before(stop, describing):
                return Code.INTERRUPTED
            described = describing.result()
            if described is None:
                say_error(f"{target} cannot be served, see above")
                return Code.FAILED
            fleet = Fleet(arguments, etcd.endpoint, described.namespace, on_closed=stop.put_nowait)
            say(f"export GRID_ETCD={etcd.endpoint} GRID_NAMESPACE={fleet.namespace}", style="bold")
            return await _run(fleet, peers, stop)


async def _run(fleet: Fleet, peers: int, stop: asyncio.Queue[str]) -> int:
    try:
        await fleet.start(peers)
        serving = asyncio.create_task(fleet.wait_serving(_START_PATIENCE))
        over = asyncio.create_task(fleet.wait_ended())
        await _before(stop, over)
        serving.cancel()
        if not fleet.alive:
            say_error("all peers have ended")
            return Code.FAILED
        say("ending the peers; again to force", style="dim")
        ending = asyncio.create_task(fleet.end())
        if not await _before(stop, ending):
            await fleet.force()
            await ending
        return Code.OK if fleet.clean else Code.FAILED
    finally:
        await fleet.kill()


async def _before(stop: asyncio.Queue[str], task: asyncio.Task[Any]) -> bool:
    """Wait for a task; False if the end was asked for before it was done."""
    asked = asyncio.create_task(stop.get())
    await asyncio.wait([task, asked], return_when=asyncio.FIRST_COMPLETED)
    asked.cancel()
    return task.done()


@contextlib.contextmanager
def _stop_requests() -> Iterator[asyncio.Queue[str]]:
    """Signals that ask for the end, as they come."""
    loop = asyncio.get_running_loop()
    requests: asyncio.Queue[str] = asyncio.Queue()
    taken = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    for one in taken:
        loop.add_signal_handler(one, requests.put_nowait, one.name)
    try:
        yield requests
    finally:
        for one in taken:
            loop.remove_signal_handler(one)


@contextlib.asynccontextmanager
async def _etcd(data: Path | None, port: int | None) -> AsyncIterator[Etcd]:
    from grid.embedded import Etcd
    from grid.errors import AddressInUse

    async with contextlib.AsyncExitStack() as stack:
        try:
            etcd = await stack.enter_async_context(Etcd(data, port or _USUAL_PORT))
        except AddressInUse:
            if port is not None:
                raise
            etcd = await stack.enter_async_context(Etcd(data))
        if data is not None:
            await _release_dead(etcd)
        yield etcd


async def _release_dead(etcd: Etcd) -> None:
    # After a `grid dev` that was killed, the names of its peers are in the data it kept.
    from grid.etcd import EtcdClient, EtcdConfig
    from grid.registry.membership import release_dead

    async with EtcdClient(EtcdConfig.parse(etcd.endpoint)) as client:
        await release_dead(client)
