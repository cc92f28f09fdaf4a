"""The job from its start to its end: `python -m examples.corpus --help`."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import sysconfig
from collections.abc import Container, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

# gRPC reads this when it is first imported; it takes a third off a request's time.
os.environ.setdefault(
    "GRPC_EXPERIMENTS", "-event_engine_client,-event_engine_listener,-event_engine_callback_cq"
)
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

import typer
from rich.console import Console
from rich.markup import escape

import grid
from examples.corpus.app import LARGEST, server
from examples.corpus.count import Tally, count
from examples.corpus.failover import Failover, kill_leader
from examples.corpus.job import Job, NoProgress
from examples.corpus.peers import PeerEnded, Peers
from examples.corpus.report import counting, show_failover, show_tally, show_verdict
from grid.embedded import Etcd

_NAMESPACE = server.config.namespace
_SPARE = 1.0  # seconds that a failover may take on top of the lease
_INTERRUPTED = 130  # what a shell says of a command that Ctrl-C ended
_ENDING = (signal.SIGINT, signal.SIGTERM)
_STDLIB = Path(sysconfig.get_path("stdlib"))


@dataclass(frozen=True, slots=True)
class _Options:
    files: list[Path]
    peers: int
    lease: float
    kill_leader: bool
    verbose: bool


app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(
    peers: Annotated[int, typer.Option(min=1, help="Number of peers.")] = 3,
    kill_leader: Annotated[
        bool, typer.Option("--kill-leader", help="Kill the leader's process half way.")
    ] = False,
    files: Annotated[
        int | None,
        typer.Option(min=1, show_default=False, help="Number of files to count. (default: all)"),
    ] = None,
    root: Annotated[
        Path,
        typer.Option(
            exists=True, file_okay=False, show_default="the library", help="The folder to count."
        ),
    ] = _STDLIB,
    lease: Annotated[float, typer.Option(help="Seconds until a dead peer is missed.")] = 2.0,
    verbose: Annotated[bool, typer.Option("--verbose", help="Show what the peers log.")] = False,
) -> None:
    """Count the tokens of the Python standard library on a grid of peers.

    Ends with status 0 only if every file was counted exactly once, and right.
    """
    if kill_leader and peers == 1:
        raise typer.BadParameter("one of them is killed: --peers 2 at least")
    sources = _sources(root)[:files]
    if not sources:
        raise typer.BadParameter(f"no Python files in {root}")
    raise typer.Exit(_exit_code(_Options(sources, peers, lease, kill_leader, verbose)))


def _sources(root: Path) -> list[Path]:
    return sorted(
        path
        for path in root.rglob("*.py")
        if path.is_file() and "site-packages" not in path.relative_to(root).parts
    )


def _exit_code(options: _Options) -> int:
    console = Console(highlight=False)
    try:
        return 0 if asyncio.run(_until_signalled(_run(options, console))) else 1
    except asyncio.CancelledError:
        return _INTERRUPTED
    except (grid.GridError, NoProgress, PeerEnded) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


async def _until_signalled(work: Coroutine[Any, Any, bool]) -> bool:
    """Do the work. A signal cancels it, so that what it has started is ended in good order."""
    working = asyncio.create_task(work)
    for number in _ENDING:
        asyncio.get_running_loop().add_signal_handler(number, working.cancel)
    return await working


async def _run(options: _Options, console: Console) -> bool:
    def log(peer: str, line: str) -> None:
        if options.verbose:
            console.print(f"[dim]{peer} {escape(line)}[/]")

    async with Etcd() as etcd:
        environment = _environment(etcd.endpoint, options.lease)
        config = grid.EtcdConfig.parse(etcd.endpoint)
        async with (
            Peers(options.peers, environment=environment, log=log) as peers,
            grid.Client(_NAMESPACE, etcd=config, timeout=30.0, max_message_bytes=LARGEST) as client,
        ):
            await peers.wait_until_serving(client)
            console.print(f"{len(peers.names)} peers, etcd at {etcd.endpoint}")
            right = await _count(options, client, peers, console)
            for kind in ("peers", "actors", "mailboxes"):
                await _show(kind, environment, console)
            return right


def _environment(etcd: str, lease: float) -> dict[str, str]:
    # What the user has set is about other grids than this one.
    environment = {name: value for name, value in os.environ.items() if name[:5] != "GRID_"}
    ours = {"GRID_ETCD": etcd, "GRID_NAMESPACE": _NAMESPACE, "GRID_LEASE": f"{lease:g}"}
    return environment | ours


async def _count(options: _Options, client: grid.Client, peers: Peers, console: Console) -> bool:
    def kill(peer: str) -> None:
        peers.kill(peer)
        console.print(f"killed {peer}, which has the leader")

    async def kill_half_way(job: Job) -> Failover:
        await job.halfway.wait()
        return await kill_leader(client, kill)

    failover: Failover | None = None
    with counting(console, len(options.files)) as advance:
        job = Job(client, options.files, progress=advance)
        if options.kill_leader:
            _, failover = await asyncio.gather(job.run(), kill_half_way(job))
        else:
            await job.run()
    show_tally(console, job.tally, job.seconds)
    in_time = failover is None or failover.seconds <= options.lease + _SPARE
    if failover is not None:
        show_failover(console, failover, job.resent, bound=options.lease + _SPARE)
    return await _verify(options.files, job, console) and in_time


async def _verify(files: list[Path], job: Job, console: Console) -> bool:
    """Count again, here and one by one: whatever went wrong on the way shows up."""
    direct = await asyncio.to_thread(_count_directly, files, job.refused)
    same = job.tally.agrees_with(direct)
    show_verdict(console, job, same=same, total=len(files))
    return same and not job.refused


def _count_directly(files: list[Path], refused: Container[Path]) -> Tally:
    direct = Tally()
    for file in files:
        if file not in refused:
            direct.add(file, count(file.read_bytes()))
    return direct


async def _show(kind: str, environment: dict[str, str], console: Console) -> None:
    console.print(f"\n[dim]$[/] grid {kind}")
    shown = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "grid.cli", kind, env=environment
    )
    await shown.wait()


if __name__ == "__main__":
    app()
