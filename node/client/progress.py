"""A progress bar for a run of jobs, on a terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from grid.errors import InvalidArgument

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.progress import Progress

__all__ = ["OnJobProgress", "RunProgress", "bar_text"]

OnJobProgress = Callable[[int, float, str], None]

_TEXT = 40  # characters of a job's own text that are shown


def bar_text(progress: object) -> str:
    """The text before the bar; "" for no bar. Raises `InvalidArgument`."""
    if isinstance(progress, str):
        return progress
    if isinstance(progress, bool):
        return "jobs" if progress else ""
    raise InvalidArgument("progress", progress, "True, False, or the text before the bar")


class RunProgress:
    """Progress of a run: jobs that are done, and shares of those that say how far they are.

    The bar is drawn by a thread a few times a second, from counters; a job costs no more than
    an addition. It is on stderr, and there is none if that is no terminal.

    Args:
        text: before the bar; "" for no bar.
        total: number of jobs; None if it is not known.
        on_job: called with a job's index, fraction and text for each of its reports.
    """

    def __init__(self, text: str, total: int | None, on_job: OnJobProgress | None) -> None:
        self.done = 0
        self.total = total
        self._on_job = on_job
        self._shares: dict[int, float] = {}
        self._text = ""
        self._bar: Progress | None = None
        if text and sys.stderr.isatty():
            self._bar = _drawn(text, self)

    @property
    def wanted(self) -> bool:
        """True if reports of jobs are shown or handed on."""
        return self._bar is not None or self._on_job is not None

    def start(self) -> None:
        """Show the bar."""
        if self._bar is not None:
            self._bar.start()

    def stop(self) -> None:
        """Draw the bar a last time and leave it there. Idempotent."""
        if self._bar is not None:
            bar, self._bar = self._bar, None
            bar.stop()

    def report(self, index: int, fraction: float, text: str) -> None:
        """Note how far a job is."""
        self._shares[index] = min(1.0, max(0.0, fraction))
        self._text = text
        if self._on_job is not None:
            self._on_job(index, fraction, text)

    def forget(self, index: int) -> None:
        """A job runs no more: it is done, or its worker is lost."""
        self._shares.pop(index, None)

    def position(self) -> tuple[float, int | None, str]:
        """Jobs that are done, with parts of them; their number; the text of the latest report."""
        return self.done + sum([*self._shares.values()]), self.total, self._text[:_TEXT]


def _drawn(text: str, progress: RunProgress) -> Progress:
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
    )

    class Bar(Progress):
        def get_renderables(self) -> Iterable[RenderableType]:
            completed, total, now = progress.position()
            for task in self.task_ids:
                self.update(task, completed=completed, total=total, now=escape(now))
            yield from super().get_renderables()

    bar = Bar(
        TextColumn(escape(text)),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[now]}"),
        console=Console(stderr=True),
        # What the program prints goes above the bar, unless it goes into a file.
        redirect_stdout=sys.stdout.isatty(),
    )
    bar.add_task(text, total=progress.total, now="")
    return bar
