"""The job from its start to its end: `python -m examples.corpus --help`."""

from __future__ import annotations

import asyncio
import sysconfig
from collections.abc import Container
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

import grid
import node
import rpc
from examples.corpus.app import KIND, LARGEST, WORKERS, server
from examples.corpus.count import Tally, count
from examples.corpus.job import Job
from examples.corpus.report import show_failover, show_tally, show_verdict
from examples.failover import Failover, kill_leader
from examples.peers import Peers
from examples.progress import progress_of
from examples.stage import exit_code, open_stage

_NAMESPACE = server.config.namespace
_SPARE = 1.0  # seconds that a failover may take on top of the lease
_PATIENCE = 60.0  # seconds for the workers to start
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
    """Count the tokens of the Python standard library on a pool of workers.

    Ends with status 0 only if every file was counted exactly once, and right.
    """
    if kill_leader and peers == 1:
        raise typer.BadParameter("one of them is killed: --peers 2 at least")
    sources = _sources(root)[:files]
    if not sources:
        raise typer.BadParameter(f"no Python files in {root}")
    options = _Options(sources, peers, lease, kill_leader, verbose)
    raise typer.Exit(exit_code(_run(options, Console(highlight=False))))


def _sources(root: Path) -> list[Path]:
    return sorted(
        path
        for path in root.rglob("*.py")
        if path.is_file() and "site-packages" not in path.relative_to(root).parts
    )


async def _run(options: _Options, console: Console) -> bool:
    async with open_stage(
        "examples.corpus.app:server",
        _NAMESPACE,
        peers=options.peers,
        lease=options.lease,
        console=console,
        verbose=options.verbose,
        timeout=30.0,
        max_message_bytes=LARGEST,
    ) as stage:
        await _workers_ready(stage.client)
        console.print(f"{WORKERS} workers, each in a process of its own")
        right = await _count(options, stage.client, stage.peers, console)
        for kind in ("peers", "pools", "workers"):
            await stage.show(kind, console)
        return right


async def _workers_ready(client: grid.Client) -> None:
    """Wait for the first workers: a few of them would be done before the others had started."""
    async with (
        asyncio.timeout(_PATIENCE),
        rpc.Client(client, f"{KIND}-pool", states=node.PoolStates) as pool,
    ):
        await pool.machine.when("PoolReady")


async def _count(options: _Options, client: grid.Client, peers: Peers, console: Console) -> bool:
    def kill(peer: str) -> None:
        peers.kill(peer)
        console.print(f"killed {peer}, which has the leader, and its workers")

    async def kill_half_way(job: Job) -> Failover:
        await job.halfway.wait()
        return await kill_leader(client, kill)

    failover: Failover | None = None
    total = len(options.files)
    with progress_of(console, "counting", "counted", "files", total) as advance:
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


if __name__ == "__main__":
    app()
