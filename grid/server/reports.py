"""Reports of a peer's actors: states, restarts and errors, for queries of the grid.

A registration says where an actor is. What it has been through is asked of its peer, which keeps
it in memory: nothing is written to etcd when an actor fails, however often it does. An actor that
ended by an error leaves a report, so that its end can be seen for a while after its name is free.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from grid.actor import ActorContext
from grid.wire_pb2 import ActorReport

__all__ = ["FailedActors", "report_of"]

_MOST = 100  # actors that ended by an error, of which a peer keeps the report


class Runs(Protocol):
    """The runs of an actor, as far as a report tells of them."""

    @property
    def restarts(self) -> int:
        """Restarts so far."""

    @property
    def restarting(self) -> bool:
        """True between two runs."""

    @property
    def error(self) -> str:
        """Text of the last error; empty for none."""

    @property
    def error_at(self) -> float:
        """Time of the last error, in seconds of Unix time."""


def report_of(context: ActorContext, runs: Runs, *, ended: bool = False) -> ActorReport | None:
    """The report of an actor; None if it runs and has always done so.

    Args:
        context: the actor's context.
        runs: its runs.
        ended: True once it has ended for good.
    """
    if ended:
        state = ActorReport.FAILED
    elif context._stopping:
        state = ActorReport.STOPPING
    elif runs.restarting:
        state = ActorReport.RESTARTING
    elif runs.restarts or runs.error:
        state = ActorReport.RUNNING
    else:
        return None
    return ActorReport(
        name=context.name,
        type=context.type,
        state=state,
        restarts=runs.restarts,
        error=runs.error,
        error_ms=int(runs.error_at * 1000),
    )


class FailedActors:
    """The last actors of a peer that ended by an error, by name.

    Args:
        most: how many are kept; the oldest go first.
    """

    def __init__(self, most: int = _MOST) -> None:
        self._most = most
        self._reports: dict[str, ActorReport] = {}

    def __iter__(self) -> Iterator[ActorReport]:
        return iter(self._reports.values())

    def add(self, context: ActorContext, runs: Runs) -> None:
        """Keep the report of an actor that ended by an error."""
        report = report_of(context, runs, ended=True)
        if report is None:
            return
        self.forget(context.name)
        self._reports[context.name] = report
        while len(self._reports) > self._most:
            del self._reports[next(iter(self._reports))]

    def forget(self, name: str) -> None:
        """Drop the report of a name, which runs again."""
        self._reports.pop(name, None)
