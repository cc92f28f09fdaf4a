"""Progress of an example: a bar on a terminal, elsewhere a line at each quarter."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

__all__ = ["progress_of"]


@contextmanager
def progress_of(
    console: Console, doing: str, done: str, things: str, total: int
) -> Iterator[Callable[[], None]]:
    """Shows how far the work is; call what it yields after each thing.

    Args:
        console: where.
        doing, done, things: the words: "counting", "counted", "files".
        total: how many things there are.
    """
    if not console.is_terminal:
        yield _lines(console, done, things, total)
        return
    columns = (TextColumn(doing), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task(doing, total=total)
        yield lambda: progress.advance(task)


def _lines(console: Console, done: str, things: str, total: int) -> Callable[[], None]:
    quarters = {total * part // 4 for part in (1, 2, 3, 4)}
    count = 0

    def advance() -> None:
        nonlocal count
        count += 1
        if count in quarters:
            console.print(f"{done} {count:,} of {total:,} {things}")

    return advance
