"""The job that runs now, for the worker's own code."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass

__all__ = ["RunningJob", "current", "job"]


@dataclass(frozen=True, slots=True)
class RunningJob:
    """The job that a worker runs.

    Attributes:
        kind: of the worker.
        worker: its name.
        attempt: 1, or more if a worker was lost while it may have run this job before.
        report: what `progress` calls.
    """

    kind: str
    worker: str
    attempt: int
    report: Callable[[float, str], None]

    def progress(self, fraction: float, text: str = "") -> None:
        """Tell the client how far the job is.

        Args:
            fraction: from 0 to 1.
            text: what is done at the moment.
        """
        self.report(float(fraction), text)


current: ContextVar[RunningJob] = ContextVar("running job")


def job() -> RunningJob:
    """The job that runs now. Raises `LookupError` outside of a worker's function."""
    found = current.get(None)
    if found is None:
        raise LookupError("no job runs here: call node.job() in a worker's function")
    return found
