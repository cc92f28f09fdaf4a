"""Records of a history: of a transition, and of a machine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from typing import Any

from machine.core.records import TransitionRecord
from machine.core.snapshot import Snapshot
from machine.core.transition import StateChange
from machine.errors import InvalidArgument
from machine.schema.schema import Schema

__all__ = ["MachineRecord", "Moment", "Record", "micros", "moment"]

Moment = datetime | float  # a time of day: with its time zone, or in seconds since 1970


@dataclass(frozen=True, slots=True, kw_only=True)
class Record(TransitionRecord):
    """The record of a transition in a history.

    Its `changes` are those of the tracked states, and its `args` those that are
    kept and that JSON can hold.

    Attributes:
        number: the position among the records of a machine.
        at: the time when it ended; UTC.
        ticks: of the tracked states, after it.
        sum: of the ticks of all states, after it.
        sum_tracked: of the ticks of the tracked states.
        sum_diff: the ticks that all states made in it.
        since: the ticks that all states made since the record before.
        queue_tick, machine_tick: of the machine, after it.
        begins: no transition, but a base to count from: the machine was bound, or imported.
    """

    number: int
    at: datetime
    ticks: Mapping[str, int] = field(default_factory=dict)
    sum: int = 0
    sum_tracked: int = 0
    sum_diff: int = 0
    since: int = 0
    queue_tick: int = 0
    machine_tick: int = 0
    begins: bool = False

    def __getstate__(self) -> dict[str, object]:
        return {one.name: getattr(self, one.name) for one in fields(self)}

    def __setstate__(self, state: dict[str, object] | list[Any]) -> None:
        values = state if isinstance(state, dict) else _of_before(state)
        for name, value in values.items():
            object.__setattr__(self, name, value)

    @property
    def diff(self) -> dict[str, int]:
        """The ticks that the tracked states made, of those that changed."""
        return {change.name: change.ticks for change in self.changes}

    def active(self, state: str) -> bool:
        """True if the state is active after it."""
        return self.ticks.get(state, 0) % 2 == 1

    def activated(self, state: str) -> bool:
        """True if the state became active in it, again, or for a moment."""
        ticks = self._ticks_of(state)
        return ticks > 0 and (self.active(state) or ticks > 1)

    def deactivated(self, state: str) -> bool:
        """True if the state became inactive in it."""
        return self._ticks_of(state) > 0 and not self.active(state)

    def _ticks_of(self, state: str) -> int:
        return next((change.ticks for change in self.changes if change.name == state), 0)


# The fields of a record in pickles that were made before it was a `TransitionRecord`.
_BEFORE = (
    *("number", "at", "machine", "transition", "kind", "called", "accepted", "auto", "ticks"),
    *("diff", "sum", "sum_tracked", "sum_diff", "since", "queue_tick", "machine_tick"),
    *("args", "source", "error", "begins"),
)


def _of_before(state: list[Any]) -> dict[str, object]:
    values = dict(zip(_BEFORE, state, strict=True))
    ticks, diff = values["ticks"], values.pop("diff")
    changes = [
        StateChange(at, name, diff[name], tick)
        for at, (name, tick) in enumerate(ticks.items())
        if name in diff
    ]
    return {**values, "check": False, "changes": tuple(changes)}


@dataclass(frozen=True, slots=True)
class MachineRecord:
    """A machine in a history: enough to make it again.

    Attributes:
        id: the machine's.
        first_seen: when a history was first bound to it; UTC.
        last_seen: when it last did something.
        next_number: of its next record.
        schema: its states and relations.
        snapshot: its last state.
    """

    id: str
    first_seen: datetime
    last_seen: datetime
    next_number: int
    schema: Schema
    snapshot: Snapshot


def moment(given: Moment) -> float:
    """A time of day in seconds since 1970.

    Raises:
        InvalidArgument: a datetime has no time zone, or it is not a number.
    """
    if isinstance(given, datetime):
        if given.tzinfo is None:
            raise InvalidArgument(
                f"{given} has no time zone",
                hint="Use datetime.now(timezone.utc), or seconds since 1970.",
            )
        return given.timestamp()
    if given != given:
        raise InvalidArgument("nan is no time of day")
    return float(given)


def micros(given: datetime) -> int:
    """The microseconds since 1970, exactly."""
    since = given - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86400 + since.seconds) * 1_000_000 + since.microseconds
