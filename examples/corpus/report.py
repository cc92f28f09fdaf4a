"""Output of the job."""

from __future__ import annotations

from collections import Counter

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from examples.corpus.count import Tally
from examples.corpus.job import Job, printable
from examples.failover import Failover

__all__ = ["show_failover", "show_tally", "show_verdict"]

_BUSIEST = 8
_BAR = 12


def show_tally(console: Console, tally: Tally, seconds: float) -> None:
    """The busiest names, the files per worker, and the pace."""
    files = len(tally.files)
    console.print(
        f"\n[bold]{files:,} files[/], {tally.lines:,} lines, {tally.tokens:,} tokens "
        f"in {seconds:.2f} s: [bold]{files / seconds:,.0f} jobs per second[/]\n"
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
        f"files sent again, to other workers: {resent}"
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
