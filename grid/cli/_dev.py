"""`grid dev`: etcd and some peers of an app, until Ctrl-C.

A peer that crashes is started again, and so is etcd, with a line that says so.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from grid.cli._exits import Code
from grid.cli._load import TARGET_HELP
from grid.cli._logs import LogLevel
from grid.cli._options import argument, option
from grid.cli._output import say, say_error
from grid.cli._parser import Parameter
from grid.cli._serve import LogLevelOption
from grid.cli._values import existing_file, seconds, whole_number
from grid.process import discard_closed_output

if TYPE_CHECKING:
    from grid.cli._fleet import Fleet
    from grid.embedded import Etcd

__all__ = ["dev"]

_USUAL_PORT = 2379
_START_PATIENCE = 30.0  # seconds
_POLL = 0.2  # seconds
_LEAST_DELAY, _LARGEST_DELAY = 0.5, 15.0  # seconds between starts of etcd


def _tls_file(flag: str, help: str) -> Parameter:  # noqa: A002
    return option(flag, metavar="FILE", parser=existing_file(flag), help=f"{help} (PEM)")


async def dev(
    target: Annotated[str, argument("MODULE:SERVER", help=TARGET_HELP)],
    peers: Annotated[
        int,
        option(
            "--peers",
            metavar="NUMBER",
            env="GRID_DEV_PEERS",
            parser=whole_number("--peers", 1, 1000),
            help="number of peers (default: 3)",
        ),
    ] = 3,
    data: Annotated[
        Path | None,
        option(
            "--data",
            metavar="DIR",
            env="GRID_DEV_DATA",
            help="folder of etcd's data (default: a temporary one)",
        ),
    ] = None,
    etcd_port: Annotated[
        int | None,
        option(
            "--etcd-port",
            metavar="PORT",
            env="GRID_DEV_ETCD_PORT",
            parser=whole_number("--etcd-port", 1, 65535),
            help=f"port of etcd (default: {_USUAL_PORT}, or a free one if that is taken)",
        ),
    ] = None,
    namespace: Annotated[
        str | None,
        option("--namespace", "-n", metavar="NAME", help="the grid (default: the app's)"),
    ] = None,
    lease: Annotated[
        float | None,
        option(
            "--lease",
            metavar="SECONDS",
            parser=seconds("--lease"),
            help="time until the names of a dead peer are free",
        ),
    ] = None,
    tls_ca: Annotated[Path | None, _tls_file("--tls-ca", "authority of the peers")] = None,
    tls_cert: Annotated[Path | None, _tls_file("--tls-cert", "certificate of each peer")] = None,
    tls_key: Annotated[Path | None, _tls_file("--tls-key", "key of the certificate")] = None,
    log_level: LogLevelOption = LogLevel.INFO,
) -> int:
    """Run etcd and peers of an app on this machine.

    Peers and etcd that crash are started again. Ctrl-C ends it: the peers drain,
    etcd goes last; a second Ctrl-C forces.

    $ grid dev shop.app:server
    $ grid dev shop.app:server --peers 5 --lease 2
    """
    from grid.cli._fleet import Fleet, describe

    arguments = [target, "--log-level", log_level.value]
    if namespace is not None:
        arguments += ["--namespace", namespace]
    if lease is not None:
        arguments += ["--lease", str(lease)]
    for flag, file in (("--tls-ca", tls_ca), ("--tls-cert", tls_cert), ("--tls-key", tls_key)):
        arguments += [] if file is None else [flag, str(file)]
    discard_closed_output()
    with _stop_requests() as stop:
        describing = asyncio.create_task(describe(arguments))
        async with _etcd(data, etcd_port) as etcd:
            if not await _before(stop, describing):
                return Code.INTERRUPTED
            described = describing.result()
            if described is None:
                say_error(f"{target} cannot be served, see above")
                return Code.FAILED
            fleet = Fleet(arguments, etcd.endpoint, described, on_closed=stop.put_nowait)
            usual = etcd.endpoint.endswith(f":{_USUAL_PORT}")
            why = (
                ""
                if usual or etcd_port is not None
                else f" on a free port ({_USUAL_PORT} is taken)"
            )
            say(f"etcd serves{why}; commands in another terminal find this grid by", style="bold")
            say(f"export GRID_ETCD={etcd.endpoint} GRID_NAMESPACE={fleet.namespace}")
            keeping = asyncio.create_task(_keep(etcd))
            try:
                return await _run(fleet, peers, stop)
            finally:
                keeping.cancel()
                await asyncio.wait([keeping])


async def _run(fleet: Fleet, peers: int, stop: asyncio.Queue[str]) -> int:
    try:
        await fleet.start(peers)
        serving = asyncio.create_task(fleet.wait_serving(_START_PATIENCE, _how_to_end()))
        over = asyncio.create_task(fleet.wait_ended())
        await _before(stop, over)
        serving.cancel()
        if over.done():
            say_error("all peers have ended")
            return Code.FAILED
        over.cancel()
        say("ending the peers; again to force", style="dim")
        ending = asyncio.create_task(fleet.end())
        if not await _before(stop, ending):
            await fleet.force()
            await ending
        return Code.OK if fleet.clean else Code.FAILED
    finally:
        await fleet.kill()


async def _keep(etcd: Etcd) -> None:
    """Start etcd again whenever it has ended, at the same port and with its data."""
    from grid.errors import GridError

    delay = _LEAST_DELAY
    while True:
        pid = etcd.pid
        while etcd.running:  # noqa: ASYNC110 - a process tells its end to its guard alone
            await asyncio.sleep(_POLL)
        say(f"etcd (pid {pid}) has ended; starting it again", style="red")
        while not etcd.running:
            try:
                await asyncio.to_thread(etcd.start)
                say(f"etcd serves again at {etcd.endpoint}", style="green")
                delay = _LEAST_DELAY
            except GridError as error:
                say_error(f"{error}; trying again in {delay:g} s")
                await asyncio.sleep(delay)
                delay = min(2 * delay, _LARGEST_DELAY)


def _how_to_end() -> str:
    """The user's way to end this process, which may run in the background of a shell."""
    try:
        with Path("/dev/tty").open("rb") as terminal:
            if os.tcgetpgrp(terminal.fileno()) != os.getpgrp():
                return f"kill {os.getpid()}"
    except OSError:  # no terminal
        pass
    return "Ctrl-C"


async def _before(stop: asyncio.Queue[str], task: asyncio.Task[Any]) -> bool:
    """Wait for a task; False if the end was asked for before it was done."""
    asked = asyncio.create_task(stop.get())
    await asyncio.wait([task, asked], return_when=asyncio.FIRST_COMPLETED)
    asked.cancel()
    return task.done()


@contextlib.contextmanager
def _stop_requests() -> Iterator[asyncio.Queue[str]]:
    """A queue of the signals that ask for the end."""
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
