"""The base of all histories: the filters of records, and the hooks of a tracer."""

from __future__ import annotations

import time
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

from machine.core.records import TransitionRecord, record_of
from machine.core.snapshot import Snapshot
from machine.core.tracer import Tracer
from machine.errors import InvalidArgument
from machine.history.queries import HistoryQueries, Names
from machine.history.records import Record
from machine.plain import plain_args
from machine.schema.state import flatten

if TYPE_CHECKING:
    from machine.core.machine import Machine
    from machine.core.transition import Transition
    from machine.schema.schema import Schema

__all__ = ["History"]

M = TypeVar("M", bound="Machine[Any]")
_OF_TRANSITION = tuple(one.name for one in fields(TransitionRecord) if one.name != "changes")


class History(HistoryQueries, Tracer):
    """A record of the transitions of one machine, with their times of day.

    Bind it as a tracer, before or after the first transition; query it from any
    thread. Use `MemoryHistory` or `SqliteHistory`.

    Args:
        states: whose ticks are kept, the tracked ones; all by default.
        called: only transitions that called one of these.
        called_except: no transitions that called one of these.
        changed: only transitions that changed one of these.
        changed_except: no transitions that changed one of these.
        rejected: also transitions that were rejected and changed nothing.
        max_records: the largest number of records; the oldest are deleted.
        args: the arguments to keep: True for all that JSON can hold, their
            names, or False.
        clock: the time of day, in seconds since 1970.

    Raises:
        InvalidArgument: `max_records` is below 1.
    """

    def __init__(
        self,
        *,
        states: Names = (),
        called: Names = (),
        called_except: Names = (),
        changed: Names = (),
        changed_except: Names = (),
        rejected: bool = False,
        max_records: int = 1000,
        args: bool | Iterable[str] = True,
        clock: Callable[[], float] = time.time,
    ) -> None:
        if max_records < 1:
            raise InvalidArgument(
                f"max_records must be 1 or more, not {max_records}", argument="max_records"
            )
        self.max_records = max_records
        self._states = flatten(states)
        self._called, self._not_called = _set(called), _set(called_except)
        self._changed, self._not_changed = _set(changed), _set(changed_except)
        self._rejected = rejected
        self._args = args if isinstance(args, bool) else flatten(args)
        self._clock = clock
        self._machine: weakref.ref[Machine[Any]] | None = None
        self._schema: Schema | None = None
        self._ticks: Sequence[int] | None = None
        self._sum = 0
        self._number = 1

    # -- storage hooks -------------------------------------------------------------------

    def _store(self, record: Record) -> None:
        raise NotImplementedError

    def _touch(self, schema: Schema, snapshot: Snapshot, at: datetime) -> None:
        raise NotImplementedError

    def _opened(self, machine: str) -> int:
        """The machine's id is known now; returns the number of the next record."""
        return self._number

    def _known(self) -> Iterable[str]:
        if self._states:
            return self._states
        if self._schema is not None:
            return self._schema.names
        record = self.machine_record()
        return () if record is None else record.schema.names

    # -- listening -----------------------------------------------------------------------

    def machine_init(self, machine: Machine[Any]) -> None:
        """Begin with a machine.

        Raises:
            InvalidArgument: this is the history of another machine.
            UnknownState: a filter names a state that it does not have.
        """
        if self.machine_id not in ("", machine.id):
            raise InvalidArgument(
                f"this is the history of {self.machine_id!r}",
                machine=machine.id,
                hint="Make a history for each machine.",
            )
        machine.check_states(self._states, self._called, self._not_called)
        machine.check_states(self._changed, self._not_changed)
        self._number = self._opened(machine.id)
        self.machine_id: str = machine.id
        self._machine = weakref.ref(machine)
        self._begin(machine, machine.current_ticks)

    def _begin(self, machine: Machine[Any], counts: Sequence[int]) -> None:
        """A record to count from, as ticks may be others than at the last one."""
        self._schema, self._ticks = machine.schema, counts
        ticks = self._tracked(machine.names, counts)
        self._sum = sum(counts)
        at = self._now()
        self._add(
            Record(
                number=self._number,
                at=at,
                machine=machine.id,
                ticks=ticks,
                sum=self._sum,
                sum_tracked=sum(ticks.values()),
                queue_tick=machine.queue_tick,
                machine_tick=machine.machine_tick,
                begins=True,
            )
        )
        self._touch(machine.schema, machine.export(), at)

    def schema_changed(self, machine: Machine[Any], old: Schema) -> None:
        """Count from here on with the new states."""
        if self._is_of(machine):
            self._begin(machine, machine.current_ticks)

    def transition_end(self, tx: Transition) -> None:
        """Record it, if it is one of those that are wanted."""
        machine = tx.machine
        if tx.mutation.check or not self._is_of(machine):
            return
        if tx.ticks_before is not self._ticks and tx.ticks_before != self._ticks:
            self._begin(machine, tx.ticks_before)  # it was imported since
        after = tx.ticks_after
        self._ticks = after
        at = self._now()
        if self._wants(tx):
            self._add(self._record_of(tx, after, at))
        if after is not tx.ticks_before:
            names = tx.names
            tick = machine.queue_tick
            snapshot = Snapshot(machine.id, names, tuple(after), tick, machine.machine_tick)
            self._touch(tx.schema, snapshot, at)

    def machine_disposed(self, machine: Machine[Any]) -> None:
        """Remember its last state."""
        if self._is_of(machine):
            self._touch(machine.schema, machine.export(), self._now())

    def _is_of(self, machine: Machine[Any]) -> bool:
        """Return True for the machine it began with; it stays bound to others, which it refused."""
        return self._machine is not None and self._machine() is machine

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock(), UTC)

    def _add(self, record: Record) -> None:
        self._number += 1
        self._store(record)

    def _tracked(self, names: Iterable[str], ticks: Iterable[int]) -> dict[str, int]:
        found = dict(zip(names, ticks, strict=False))
        return {name: found[name] for name in self._states} if self._states else found

    def _wants(self, tx: Transition) -> bool:
        called = tx.called
        if self._called and self._called.isdisjoint(called):
            return False
        if not self._not_called.isdisjoint(called):
            return False
        changed = {change.name for change in tx.changes}
        if not (tx.accepted or changed):
            return self._rejected
        if self._changed and self._changed.isdisjoint(changed):
            return False
        return self._not_changed.isdisjoint(changed)

    def _record_of(self, tx: Transition, after: Sequence[int], at: datetime) -> Record:
        machine, mutation = tx.machine, tx.mutation
        total = sum(after)
        since, self._sum = total - self._sum, total
        args: Mapping[str, Any] = {}
        if self._args is not False and mutation.args is not None:
            args = plain_args(mutation.values, None if self._args is True else self._args)
        base = record_of(tx, args)
        changes = base.changes
        if self._states:
            changes = tuple(change for change in changes if change.name in self._states)
        ticks = self._tracked(tx.names, after)
        return Record(
            **{name: getattr(base, name) for name in _OF_TRANSITION},
            changes=changes,
            number=self._number,
            at=at,
            ticks=ticks,
            sum=total,
            sum_tracked=sum(ticks.values()),
            sum_diff=total - sum(tx.ticks_before),
            since=since,
            queue_tick=machine.queue_tick,
            machine_tick=machine.machine_tick,
        )

    # -- making it again -----------------------------------------------------------------

    def restore(self, machine: M | None = None) -> M | Machine[Any]:
        """Make the machine again: its schema, and its last state. No handler runs.

        This history goes on with it, bound as a tracer.

        Args:
            machine: one with the same id and states, to take over the state;
                by default a plain `Machine` is made, without handlers.

        Raises:
            InvalidArgument: this history has seen no machine.
            ImportMismatch: `machine` has another id or other states.
        """
        from machine.core.machine import Machine

        known = self.machine_record()
        if known is None:
            raise InvalidArgument("there is no machine in this history to restore")
        made = Machine(known.schema, id=known.id) if machine is None else machine
        made.import_(known.snapshot)
        if self not in made.tracers:
            made.bind_tracer(self)
        return made


def _set(names: Names) -> frozenset[str]:
    return frozenset(flatten(names))
