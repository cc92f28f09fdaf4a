"""Output of the example."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from examples.fileproc.server import FileServer
from examples.fileproc.states import FileStates
from examples.fileproc.work import File, compress
from machine import Tracer
from machine.logs import MachineLogger

__all__ = ["log_to", "progress_of", "show", "verified"]


@contextmanager
def progress_of(console: Console, total: int) -> Iterator[Callable[[], None]]:
    """Shows how many files have ended, on a terminal; call what it yields after each."""
    if not console.is_terminal:
        yield lambda: None
        return
    columns = (TextColumn("files"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("files", total=total)
        yield lambda: progress.advance(task)


def log_to(console: Console) -> Tracer:
    """A tracer that prints each change of states, with the machine's id."""
    logger = logging.getLogger("examples.fileproc")
    logger.propagate = False
    logger.setLevel(logging.INFO)
    logger.handlers = [_Printer(console)]
    return MachineLogger(logger=logger, ids=False)


class _Printer(logging.Handler):
    def __init__(self, console: Console) -> None:
        super().__init__()
        self._console = console

    def emit(self, record: logging.LogRecord) -> None:
        line = f"{getattr(record, 'machine_id', '')}: {record.getMessage()}"
        self._console.print(f"[dim]{escape(line)}[/]", soft_wrap=True)


def verified(file: File, server: FileServer) -> bool:
    """The server has got just what comes out of processing what it serves."""
    content = server.content(file.id)
    return content is not None and server.results.get(file.id) == compress(content)


def show(console: Console, files: list[File], server: FileServer, seconds: float) -> None:
    """Print the outcome of each file, and of all of them."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("file")
    for title in ("attempts", "bytes", "seconds"):
        table.add_column(title, justify="right")
    table.add_column("state")
    for file in files:
        table.add_row(
            file.id,
            "+".join(str(file.attempts(step)) for step in FileStates.Network),
            " → ".join(f"{size:,}" for size in file.sizes),
            f"{file.seconds:.2f}",
            _ending(file, server),
        )
    console.print(table)
    ended = ", ".join(
        f"{sum(file.is_(state) for file in files)} {state.lower()}" for state in FileStates.Ended
    )
    faults = ", ".join(f"{number} {fault}" for fault, number in sorted(server.faults.items()))
    console.print(
        f"\n{len(files)} files in {seconds:.2f} s: [bold]{ended}[/]; "
        f"the server failed {server.faults.total()} times{f' ({faults})' if faults else ''}"
    )


def _ending(file: File, server: FileServer) -> str:
    match file.switch(FileStates.Ended):
        case FileStates.Uploaded:
            right = verified(file, server)
            return "[green]Uploaded, verified[/]" if right else "[red]Uploaded, and wrong[/]"
        case FileStates.Failed:
            return f"[red]Failed[/] {file.where}: {escape(str(file.err))}"
        case FileStates.Canceled:
            return f"[yellow]Canceled[/] {file.where}"
        case _:
            return file.string()
