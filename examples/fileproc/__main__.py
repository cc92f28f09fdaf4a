"""The example from its start to its end: `python -m examples.fileproc --help`."""

from __future__ import annotations

import asyncio
import signal
import sysconfig
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from examples.fileproc.client import Client
from examples.fileproc.report import log_to, progress_of, show, verified
from examples.fileproc.server import FileServer
from examples.fileproc.states import BatchStates, FileStates
from examples.fileproc.work import Batch

_STDLIB = Path(sysconfig.get_path("stdlib"))
_FAILED = 1
_INTERRUPTED = 130  # what a shell says of a command that Ctrl-C ended
_ENDING = (signal.SIGINT, signal.SIGTERM)

_EXAMPLES = """
Examples:

  python -m examples.fileproc

  python -m examples.fileproc --files 40 --fail 0.5 --attempts 10

  python -m examples.fileproc --files 3 --verbose

  python -m examples.fileproc --cancel-after 0.5; echo $?
"""


@dataclass(frozen=True, slots=True)
class _Options:
    files: dict[str, Path]
    fail: float
    attempts: int
    timeout: float
    seed: int
    cancel_after: float | None
    verbose: bool


app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command(epilog=_EXAMPLES)
def main(
    files: Annotated[int, typer.Option(min=1, help="Number of files.")] = 12,
    fail: Annotated[
        float, typer.Option(min=0, max=1, help="Share of the requests that fail, from 0 to 1.")
    ] = 0.3,
    attempts: Annotated[
        int, typer.Option(min=1, help="Attempts at a step before its file has failed.")
    ] = 6,
    timeout: Annotated[
        float, typer.Option(min=0.01, help="Seconds that a transfer may take.")
    ] = 0.5,
    cancel_after: Annotated[
        float | None,
        typer.Option(
            min=0, show_default=False, help="Seconds until all is cancelled. (default: never)"
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Another one: other requests fail.")] = 0,
    verbose: Annotated[
        bool, typer.Option("--verbose", help="Print each change of each machine.")
    ] = False,
) -> None:
    """Download files of the Python standard library, compress them and upload the result.

    The server is a local one, and fails on purpose: with status 503, too slow, or cut off half way.

    Ends with status 0 if every file was uploaded and is right, 1 if one failed, and 130 if one was
    canceled, by Ctrl-C or --cancel-after.
    """
    sources = {path.name: path for path in sorted(_STDLIB.glob("[a-z]*.py"))}
    if files > len(sources):
        raise typer.BadParameter(f"--files: {_STDLIB} has only {len(sources)}")
    chosen = dict(list(sources.items())[:files])
    options = _Options(chosen, fail, attempts, timeout, seed, cancel_after, verbose)
    try:
        raise typer.Exit(_run(options, Console(highlight=False)))
    except KeyboardInterrupt:  # the second one
        raise typer.Exit(_INTERRUPTED) from None


def _run(options: _Options, console: Console) -> int:
    with (
        tempfile.TemporaryDirectory(prefix="fileproc-") as folder,
        FileServer(
            options.files, fail=options.fail, slow=3 * options.timeout, seed=options.seed
        ) as server,
    ):
        return asyncio.run(_process(options, server, Path(folder), console))


async def _process(options: _Options, server: FileServer, folder: Path, console: Console) -> int:
    began = time.monotonic()
    client = Client("127.0.0.1", server.port, timeout=options.timeout)
    with progress_of(console, len(options.files)) as progress:
        batch = Batch(
            options.files,
            client,
            folder,
            attempts=options.attempts,
            tracers=[log_to(console)] if options.verbose else (),
            progress=progress,
        )
        _cancel_when_told(batch, options.cancel_after)
        batch.add(BatchStates.Start)
        await batch.when(BatchStates.Finished)
        await batch.join()
    show(console, batch.files, server, time.monotonic() - began)
    code = _exit_code(batch, server)
    batch.dispose()
    return code


def _exit_code(batch: Batch, server: FileServer) -> int:
    if any(file.is_(FileStates.Canceled) for file in batch.files):
        return _INTERRUPTED
    return 0 if all(verified(file, server) for file in batch.files) else _FAILED


def _cancel_when_told(batch: Batch, seconds: float | None) -> None:
    """At a signal, or after so long. The next signal ends the process as usual."""
    loop = asyncio.get_running_loop()

    def stop() -> None:
        for number in _ENDING:
            loop.remove_signal_handler(number)
        batch.add(BatchStates.Canceled)

    for number in _ENDING:
        loop.add_signal_handler(number, stop)
    if seconds is not None:
        loop.call_later(seconds, stop)


if __name__ == "__main__":
    app()
