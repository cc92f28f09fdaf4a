"""Reports of actors, as peers give them."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from grid.wire_pb2 import ActorReports

__all__ = ["ActorReport", "ActorState", "reports_of"]


class ActorState(enum.StrEnum):
    """The states of an actor, in the order of the wire's numbers.

    Attributes:
        RUNNING: its code runs.
        RESTARTING: it ended, and waits for its next run.
        STOPPING: it was told to end.
        FAILED: it ended by an error for good, and its names are free.
    """

    RUNNING = "running"
    RESTARTING = "restarting"
    STOPPING = "stopping"
    FAILED = "failed"


_STATES = tuple(ActorState)


@dataclass(frozen=True, slots=True)
class ActorReport:
    """State, restarts and last error of an actor.

    Attributes:
        name: its name.
        type: the definition that it was started by.
        peer: the peer that tells of it.
        state: its state.
        restarts: how often it was started again.
        error: text of what its last failed run ended by; empty for none.
        error_at: when that was, in seconds of Unix time; 0 for never.
    """

    name: str
    type: str
    peer: str
    state: ActorState
    restarts: int = 0
    error: str = ""
    error_at: float = 0.0


def reports_of(peer: str, found: ActorReports) -> list[ActorReport]:
    """The reports in a peer's answer; those of states that are not known here are left out."""
    return [
        ActorReport(
            one.name,
            one.type,
            peer,
            _STATES[one.state],
            one.restarts,
            one.error,
            one.error_ms / 1000,
        )
        for one in found.actors
        if one.state < len(_STATES)
    ]
