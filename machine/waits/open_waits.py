"""Open waits of a machine, indexed by state.

Theory of operation
-------------------

Conditions are evaluated after a transition, from its clocks and not from its
outcome: a transition that breaks in a final handler has still changed something.

A wait without references is forgotten: the entries refer to it weakly. While a
task awaits it, it is held here. So a wait that timed out leaves nothing behind.

Threads: an entry is put into its table first and its condition is evaluated
afterwards; a transition changes the clocks first and reads the tables
afterwards. Whichever comes second sees the other. The tables are changed by
single operations of dicts, and read as copies that are made in one step: the
garbage collector may remove an entry at any moment.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeAlias
from weakref import ref

from machine.errors import MachineError
from machine.waits.wait import Wait

__all__ = ["Condition", "OpenWaits", "WaitHost"]

_log = logging.getLogger("machine")

Condition: TypeAlias = Callable[[Sequence[int]], bool]  # of the ticks of all states
Failure: TypeAlias = Callable[[], BaseException | None]


class WaitHost(Protocol):
    """The machine as its open waits see it: clocks, the queue, and the tracers' notes."""

    _m_queue_tick: int
    _m_unobserved: bool

    @property
    def _m_ticks(self) -> Sequence[int]: ...
    @property
    def _m_tracers(self) -> Sequence[object]: ...
    def _m_is_draining(self) -> bool: ...
    def _m_note(self, level: str, text: str) -> None: ...


class HasValues(Protocol):
    """A mutation as `until_args` waits see it: its arguments by name."""

    @property
    def values(self) -> Mapping[str, Any]: ...


class _Entry:
    """One open wait.

    Attributes:
        wait: the wait, weakly.
        states: the states that its condition depends on; none: all.
        holds: its condition.
        args: the arguments that a state must begin with.
        failure: returns the error that ends it once the queue has ended, or None.
    """

    __slots__ = ("args", "failure", "holds", "states", "wait")

    def __init__(
        self,
        wait: ref[Wait],
        states: Sequence[int] = (),
        holds: Condition | None = None,
        args: Mapping[str, Any] | None = None,
    ) -> None:
        self.wait = wait
        self.states = tuple(states)
        self.holds = holds
        self.args = args
        self.failure: Failure | None = None

    def resolve(self) -> None:
        wait = self.wait()
        if wait is not None:
            wait._resolve()


_Table = dict[int, _Entry]


class OpenWaits:
    """The open waits of a machine."""

    def __init__(self, machine: WaitHost) -> None:
        self._machine = machine
        self._by_state: dict[int, _Table] = {}
        self._queries: _Table = {}
        self._failing: _Table = {}
        self._args: _Table = {}
        self._queue_ticks: dict[int, tuple[int, _Entry]] = {}
        self._ends: _Table = {}
        self._awaited: dict[asyncio.Future[None], Wait] = {}

    def __len__(self) -> int:
        tables = (*self._by_state.copy().values(), self._queries, self._args, self._ends)
        return sum(map(len, tables)) + len(self._queue_ticks)

    # -- waiting -------------------------------------------------------------------------

    def until(self, what: str, states: Sequence[int], holds: Condition) -> Wait:
        """Return a wait for a condition of the ticks.

        Args:
            what: the condition in words.
            states: the states on whose ticks it depends; none: all.
            holds: the condition.
        """
        tables = [self._by_state.setdefault(state, {}) for state in states] or [self._queries]
        wait, entry = self._enter(what, tables, states, holds)
        if holds(self._machine._m_ticks):
            self._leave(tables, id(entry))
            wait._resolve()
        return wait

    def until_or_failure(self, what: str, holds: Condition, failure: Failure) -> Wait:
        """Return a wait for a condition of all ticks, which an error may end.

        Args:
            what: the condition in words.
            holds: the condition.
            failure: returns the error of the machine as it is, or None; asked while
                no queue is worked off.
        """
        tables = [self._queries, self._failing]
        wait, entry = self._enter(what, tables, (), holds)
        entry.failure = failure
        if holds(self._machine._m_ticks):
            self._leave(tables, id(entry))
            wait._resolve()
        elif not self._machine._m_is_draining():
            self.fail()
        return wait

    def until_args(self, what: str, state: int, args: Mapping[str, Any]) -> Wait:
        """Return a wait for a state to begin with arguments that have these among them."""
        return self._enter(what, [self._args], (state,), args=dict(args))[0]

    def until_tick(self, what: str, tick: int) -> Wait:
        """Return a wait for the queue to have come to a tick."""
        key = 0

        def forget(_: object) -> None:
            self._queue_ticks.pop(key, None)

        wait = Wait(what, forget, self._awaited)
        entry = _Entry(ref(wait, forget))
        key = id(entry)
        self._queue_ticks[key] = (tick, entry)
        self._machine._m_unobserved = False
        self.queue_moved(self._machine._m_queue_tick)
        return wait

    def until_queue_ends(self) -> Wait:
        """Return a wait for the end of the drain; it is done if no thread drains."""
        wait, _ = self._enter("the end of the queue", [self._ends])
        if not self._machine._m_is_draining():
            self.queue_ended(self._machine._m_queue_tick)
        return wait

    def _enter(
        self,
        what: str,
        tables: Sequence[_Table],
        states: Sequence[int] = (),
        holds: Condition | None = None,
        args: Mapping[str, Any] | None = None,
    ) -> tuple[Wait, _Entry]:
        key = 0

        def forget(_: object) -> None:
            self._leave(tables, key)

        wait = Wait(what, forget, self._awaited)
        entry = _Entry(ref(wait, forget), states, holds, args)
        key = id(entry)
        for table in tables:
            table[key] = entry
        self._machine._m_unobserved = False
        return wait, entry

    def _leave(self, tables: Sequence[_Table], key: int) -> None:
        for table in tables:
            table.pop(key, None)

    # -- events --------------------------------------------------------------------

    def changed(self, before: Sequence[int], after: Sequence[int]) -> None:
        """End the waits whose conditions hold now that ticks have changed."""
        found = self._queries.copy()
        for state, table in self._by_state.copy().items():
            if before[state] != after[state]:
                found |= table.copy()
        for key, entry in found.items():
            if entry.holds is not None and _holds(entry.holds, after):
                self._leave([self._table(state) for state in entry.states], key)
                self._queries.pop(key, None)
                self._failing.pop(key, None)
                entry.resolve()
                self._tell(entry, "when")
        if self._failing and not self._machine._m_is_draining():
            self.fail()

    def reached(self, enters: Sequence[int], count: int, mutation: HasValues) -> None:
        """End the waits for arguments of states that have begun.

        Args:
            enters: the states that begin, in the order of their final handlers.
            count: how many final handlers of them completed. The state of the next
                one has begun, too.
            mutation: holds the arguments with which they begin.
        """
        if not self._args or count < 0:
            return
        states = enters[: count + 1]
        values = mutation.values
        for key, entry in self._args.copy().items():
            if entry.states[0] in states and _within(entry.args or {}, values):
                self._args.pop(key, None)
                entry.resolve()
                self._tell(entry, "whenArgs")

    def queue_moved(self, tick: int) -> None:
        """End the waits for a tick of the queue that it has come to."""
        for key, (wanted, entry) in self._queue_ticks.copy().items():
            if tick >= wanted:
                self._queue_ticks.pop(key, None)
                entry.resolve()

    def queue_ended(self, tick: int) -> None:
        """End the waits for the end of the queue."""
        if self._failing:
            self.fail()
        self.queue_moved(tick)
        for key, entry in self._ends.copy().items():
            self._ends.pop(key, None)
            entry.resolve()

    def fail(self) -> None:
        """End the waits that the machine's error ends; no queue is worked off."""
        for key, entry in self._failing.copy().items():
            error = None if entry.failure is None else entry.failure()
            wait = entry.wait()
            if error is not None:
                self._leave([self._queries, self._failing], key)
                if wait is not None:
                    wait._end(error)

    def close(self, error: MachineError) -> None:
        """End all waits with an error."""
        tables = (*self._by_state.copy().values(), self._queries, self._args, self._ends)
        entries = [entry for table in tables for entry in table.copy().values()]
        entries += [entry for _, entry in self._queue_ticks.copy().values()]
        for table in (*tables, self._failing):
            table.clear()
        self._queue_ticks.clear()
        for entry in entries:
            wait = entry.wait()
            if wait is not None:
                wait._fail(error)

    def reindex(self, moved: Mapping[int, int]) -> None:
        """Give the entries the new indexes of their states; no transition runs meanwhile."""
        self._by_state = {moved[state]: table for state, table in self._by_state.items()}
        tables = (*self._by_state.values(), self._args)
        for entry in {id(one): one for table in tables for one in table.values()}.values():
            entry.states = tuple(moved[state] for state in entry.states)

    def _tell(self, entry: _Entry, kind: str) -> None:
        wait = entry.wait()
        if wait is not None and self._machine._m_tracers:
            self._machine._m_note("ops", f"[{kind}:match] {wait.what}")

    def _table(self, state: int) -> _Table:
        return self._by_state.get(state, {})


def _holds(condition: Condition, ticks: Sequence[int]) -> bool:
    try:
        return condition(ticks)
    except Exception:  # noqa: BLE001 - a user's function
        _log.exception("the condition of an open wait raised; it counts as not met")
        return False


def _within(wanted: Mapping[str, Any], values: Mapping[str, Any]) -> bool:
    return all(name in values and _same(values[name], value) for name, value in wanted.items())


def _same(given: object, wanted: object) -> bool:
    """Compare by identity first: values such as arrays and frames have no truth when equal."""
    if given is wanted:
        return True
    try:
        return bool(given == wanted)
    except Exception:  # noqa: BLE001 - a user's comparison must not break the mutation
        return False
