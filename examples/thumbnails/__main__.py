"""The example from its start to its end: `python -m examples.thumbnails --help`."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from examples.stage import exit_code, open_stage

try:
    from examples.thumbnails.app import WORKERS, server
    from examples.thumbnails.job import Outcome, make_thumbnails
    from examples.thumbnails.pictures import THUMBNAIL, make, small
except ImportError as missing:
    if missing.name != "PIL":
        raise
    sys.exit(f"error: {missing}")

_LEASE = 2.0  # seconds until a dead peer is missed
_BOUND = _LEASE + 1.0  # seconds that a failover may take
_FEWEST = 8  # pictures: one to kill a worker at, one to kill a peer at
_THREADS = 2  # that look whether the thumbnails are right

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(
    pictures: Annotated[int, typer.Option(min=_FEWEST, help="Number of pictures.")] = 100,
    peers: Annotated[int, typer.Option(min=2, help="Number of peers; one is killed.")] = 2,
    folder: Annotated[
        Path | None,
        typer.Option(
            file_okay=False,
            show_default=False,
            help="Keep pictures and thumbnails here. (default: they are removed)",
        ),
    ] = None,
    verbose: Annotated[bool, typer.Option("--verbose", help="Show what the peers log.")] = False,
) -> None:
    """Make thumbnails of pictures on a pool of workers, of which one is killed, and a peer.

    Ends with status 0 only if there is a thumbnail of each picture, and the right one.
    """
    console = Console(highlight=False)
    with tempfile.TemporaryDirectory() if folder is None else nullcontext(folder) as name:
        code = exit_code(_run(Path(name), pictures, peers, verbose, console))
    raise typer.Exit(code)


async def _run(folder: Path, pictures: int, peers: int, verbose: bool, console: Console) -> bool:
    files = await asyncio.to_thread(make, folder, pictures)
    console.print(f"{len(files)} pictures of {_megabytes(files):.0f} MB in {folder}")
    async with open_stage(
        "examples.thumbnails.app:server",
        server.config.namespace,
        peers=peers,
        lease=_LEASE,
        console=console,
        verbose=verbose,
        timeout=30.0,
    ) as stage:

        def kill_peer(peer: str) -> None:
            stage.peers.kill(peer)
            console.print(f"killed {peer}, which has the leader, and its workers")

        console.print(f"{WORKERS} workers, each in a process of its own")
        outcome = await make_thumbnails(stage.client, files, kill_peer=kill_peer, say=console.print)
        right = await asyncio.to_thread(_verify, outcome, folder, files)
        _report(outcome, files, right, console)
        for kind in ("pools", "workers"):
            await stage.show(kind, console)
    return right == len(files) and outcome.failover is not None


def _megabytes(files: list[Path]) -> float:
    return sum(one.stat().st_size for one in files) / 1e6


def _verify(outcome: Outcome, folder: Path, files: list[Path]) -> int:
    """The number of thumbnails that are those which are made here; they are written as well."""

    def verified(file: Path) -> bool:
        made = outcome.thumbnails.get(file)
        if made is None:
            return False
        (folder / f"small-{file.stem}.jpg").write_bytes(made)
        return made == small(file.read_bytes())

    with ThreadPoolExecutor(_THREADS) as threads:
        return sum(threads.map(verified, files))


def _report(outcome: Outcome, files: list[Path], right: int, console: Console) -> None:
    width, height = THUMBNAIL
    console.print(
        f"\n[bold]{len(outcome.thumbnails)} thumbnails[/] of {width} x {height} in "
        f"{outcome.seconds:.2f} s, {outcome.again} of them in a second attempt\n"
    )
    for worker, number in sorted(outcome.by_worker.items()):
        console.print(f"{worker:24} {number:4}")
    failover = outcome.failover
    if failover is not None:
        verdict = "within" if failover.seconds <= _BOUND else "[red]over[/]"
        console.print(
            f"\nfailover: [bold]{failover.seconds:.2f} s[/] from the kill of {failover.killed} "
            f"to the leader on {failover.successor}, {verdict} {_BOUND:g} s"
        )
    if right == len(files):
        console.print(f"[green]✓[/] all {right} thumbnails are there, the same as made directly")
    else:
        console.print(f"[red]✗ {len(files) - right} of {len(files)} thumbnails are wrong[/]")


if __name__ == "__main__":
    app()
