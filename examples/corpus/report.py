"""Output of the job."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from examples.corpus.count import Tally
from examples.corpus.failover import Failover
from examples.corpus.job import Job, printable

__all__ = ["counting", "show_failover", "show_tally", "show_verdict"]

_BUSIEST = 8
_BAR = 12


@contextmanager
def counting(console: Console, total: int) -> Iterator[Callable[[], None]]:
    """Shows how far the counting is; call what it yields after each file.

    A bar on a terminal, elsewhere a line at each quarter.
    """
    if not console.is_terminal:
        yield _lines(console, total)
        return
    columns = (TextColumn("counting"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("counting", total=total)
        yield lambda: progress.advance(task)


def _lines(console: Console, total: int) -> Callable[[], None]:
    quarters = {total * part // 4 for part in (1, 2, 3, 4)}
    done = 0

    def advance() -> None:
        nonlocal done
        done += 1
        if done in quarters:
            console.print(f"counted {done:,} of {total:,} files")

    return advance


def show_tally(console: Console, tally: Tally, seconds: float) -> None:
    """The busiest names, the files per worker, and the pace."""
    files = len(tally.files)
    console.print(
        f"\n[bold]{files:,} files[/], {tally.lines:,} lines, {tally.tokens:,} tokens "
        f"in {seconds:.2f} s: [bold]{files / seconds:,.0f} requests per second[/]\n"
    )
    busiest = Counter(dict(tally.names.most_common(_BUSIEST)))
    workers = Counter(dict(sorted(tally.workers.items())))
    side_by_side = Table.grid(padding=(0, 4))
    side_by_side.add_row(_table("busiest tokens", busiest), _table("files per worker", workers))
    console.print(side_by_side)


def show_failover(console: Console, failover: Failover, resent: int, *, bound: float) -> None:
    """Print the new leader, the time without one, and the effect on the job."""
    verdict = "within" if failover.seconds <= bound else "[red]over[/]"
    console.print(
        f"\nfailover: [bold]{failover.seconds:.2f} s[/] from the kill of {failover.killed} "
        f"to the leader on {failover.successor}, {verdict} {bound:g} s\n"
        f"requests sent again, to other workers: {resent}"
    )


def show_verdict(console: Console, job: Job, *, same: bool, total: int) -> None:
    """Whether the sums are right, and what could not be sent."""
    console.print()
    for file, reason in job.refused.items():
        console.print(
            f"[red]not counted:[/] {escape(printable(file))}: {escape(reason)}", soft_wrap=True
        )
    done = len(job.tally.files)
    if same:
        console.print(
            f"[green]✓[/] {done:,} of {total:,} files counted exactly once; "
            "a direct count gives the same sums"
        )
    else:
        console.print(f"[red]✗ a direct count of {done:,} files gives other sums[/]")


def _table(title: str, rows: Counter[str]) -> Table:
    table = Table(
        title=title, title_justify="left", box=None, show_header=False, title_style="bold"
    )
    most = max(rows.values(), default=1)
    for name, times in rows.items():
        table.add_row(name, f"{times:,}", f"[cyan]{'━' * max(1, _BAR * times // most)}[/]")
    table.columns[1].justify = "right"
    return table
