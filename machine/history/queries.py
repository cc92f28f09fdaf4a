"""Queries of a history."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any

from machine.errors import UnknownState
from machine.history.records import MachineRecord, Moment, Record, moment
from machine.plain import plain_args
from machine.rules.kinds import Kind, kind_of
from machine.schema.state import flatten

__all__ = ["HistoryQueries", "Names"]

Names = str | Iterable[str]


class HistoryQueries:
    """The queries of a history, for any thread. Times of day are `Moment`s.

    Attributes:
        machine_id: whose history it is; "" before that is known.
    """

    machine_id: str = ""
    _clock: Callable[[], float]

    def _scan(
        self,
        start: float | None = None,
        end: float | None = None,
        state: str = "",
        newest: bool = False,
    ) -> Iterator[Record]:
        """The records from start to end; with a state those that changed it."""
        raise NotImplementedError

    def _known(self) -> Iterable[str]:
        """The tracked states; nothing if no machine was seen."""
        raise NotImplementedError

    def machine_record(self) -> MachineRecord | None:
        """The machine's schema and last state; None before one was bound."""
        raise NotImplementedError

    def latest(self, count: int = 1) -> list[Record]:
        """The last records, the newest first."""
        return self.find(limit=count, newest_first=True)

    def find(
        self,
        *,
        called: Names = (),
        activated: Names = (),
        deactivated: Names = (),
        active: Names = (),
        inactive: Names = (),
        args: Mapping[str, Any] | None = None,
        kind: Kind | str | None = None,
        accepted: bool | None = None,
        auto: bool | None = None,
        start: Moment | None = None,
        end: Moment | None = None,
        min_sum: int | None = None,
        max_sum: int | None = None,
        where: Callable[[Record], bool] | None = None,
        limit: int | None = None,
        newest_first: bool = False,
    ) -> list[Record]:
        """The records that match all of the arguments.

        Args:
            called: all these states were called.
            activated, deactivated: all these became so.
            active, inactive: all these were so afterwards.
            args: it had these arguments, with these values.
            kind, accepted, auto: it was so.
            start, end: it ended from then on, and until then.
            min_sum, max_sum: the sum of all ticks after it is at least, at most.
            where: a function of a record, for any other condition.
            limit: the largest number of records.

        Raises:
            UnknownState: a state is not tracked.
            InvalidArgument: a datetime has no time zone, or there is no such kind or time.
        """
        on, off, there, gone = (flatten(one) for one in (activated, deactivated, active, inactive))
        for name in (*on, *off, *there, *gone):
            self._check(name)
        names = flatten(called)
        wanted = None if kind is None else kind_of(kind)

        def fits(one: Record) -> bool:
            return (
                not one.begins
                and set(names).issubset(one.called)
                and all(map(one.activated, on))
                and all(map(one.deactivated, off))
                and all(map(one.active, there))
                and not any(map(one.active, gone))
                and (wanted is None or one.kind is wanted)
                and accepted in (None, one.accepted)
                and auto in (None, one.auto)
                and (min_sum is None or one.sum >= min_sum)
                and (max_sum is None or one.sum <= max_sum)
                and (args is None or _within(args, one.args))
                and (where is None or where(one))
            )

        since = None if start is None else moment(start)
        until = None if end is None else moment(end)
        found: list[Record] = []
        for record in self._scan(since, until, (*on, *off, "")[0], newest_first):
            if limit is not None and len(found) >= limit:
                break
            if fits(record):
                found.append(record)
        return found

    def activated_between(self, state: str, start: Moment, end: Moment) -> bool:
        """True if the state became active (also again) in this time."""
        return bool(self.find(activated=state, start=start, end=end, limit=1))

    def deactivated_between(self, state: str, start: Moment, end: Moment) -> bool:
        """True if the state became inactive in this time."""
        return bool(self.find(deactivated=state, start=start, end=end, limit=1))

    def active_between(self, state: str, start: Moment, end: Moment) -> bool:
        """True if the state was active at some moment of this time."""
        tick = self._tick_at(state, moment(start), moment(end))
        if tick is None:
            return False
        return tick % 2 == 1 or self._ever(state, start, end, active=True)

    def inactive_between(self, state: str, start: Moment, end: Moment) -> bool:
        """True if the state was inactive at some moment of this time."""
        tick = self._tick_at(state, moment(start), moment(end))
        if tick is None:
            return False
        return tick % 2 == 0 or self._ever(state, start, end, active=False)

    def _ever(self, state: str, start: Moment, end: Moment, *, active: bool) -> bool:
        return any(
            one.active(state) is active or (active and one.activated(state))
            for one in self._scan(moment(start), moment(end))
        )

    def last_activated(self, state: str) -> datetime | None:
        """The last time that the state became active; None if it has not, or no record is left."""
        found = self.find(activated=state, limit=1, newest_first=True)
        return found[0].at if found else None

    def activated_recently(self, state: str, seconds: float) -> bool:
        """True if the state became active within the last seconds."""
        return bool(self.find(activated=state, start=self._clock() - seconds, limit=1))

    def _tick_at(self, state: str, start: float, end: float) -> int | None:
        """The state's tick at a time; None if nothing is known until `end`."""
        self._check(state)
        for record in self._scan(end=start, newest=True):
            return record.ticks.get(state, 0)
        for record in self._scan(end=end):
            return record.ticks.get(state, 0) - record.diff.get(state, 0)
        return None

    def _check(self, state: str) -> None:
        known = tuple(self._known())
        if known and state not in known:
            raise UnknownState(state, self.machine_id or None, known=known)


def _within(wanted: Mapping[str, Any], args: Mapping[str, Any]) -> bool:
    kept = plain_args(wanted)
    return len(kept) == len(wanted) and all(
        name in args and args[name] == value for name, value in kept.items()
    )
