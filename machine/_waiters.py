"""Who waits for what in one machine, found by the states it depends on.

Everything is looked at after a transition, by what its clocks say and not by
whether it was accepted: a transition that breaks in a final handler has still
changed something. A wait for the same thing is the same object while it is
open, so that many waiters cost one entry.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from machine.waits import Wait

if TYPE_CHECKING:
    from machine._compile import Move
    from machine._core import Core
    from machine.errors import MachineError
    from machine.mutation import Mutation

__all__ = ["Condition", "Waiters"]

Condition = Callable[[Sequence[int]], bool]  # of the ticks of all states


class _Entry:
    """One open wait.

    Attributes:
        key: what makes another one the same.
        states: the states whose ticks it depends on; None for all.
        holds: whether it has come to be; looked at when one of them has ticked.
    """

    __slots__ = ("holds", "key", "states", "wait")

    def __init__(
        self, key: object, wait: Wait, states: Sequence[int] | None, holds: Condition
    ) -> None:
        self.key = key
        self.wait = wait
        self.states = states
        self.holds = holds


class Waiters:
    """The open waits of a machine. Its methods may be called from any thread."""

    def __init__(self, machine: Core) -> None:
        self._machine = machine
        self._lock = threading.RLock()
        self._entries: dict[object, _Entry] = {}
        self._by_state: dict[int, dict[object, _Entry]] = {}
        self._queries: dict[object, _Entry] = {}
        self._args: dict[object, tuple[int, Mapping[str, Any], Wait]] = {}
        self._ticks: dict[object, tuple[int, Wait]] = {}
        self._ends: Wait | None = None

    def __len__(self) -> int:
        ends = self._ends is not None
        return len(self._entries) + len(self._args) + len(self._ticks) + ends

    # -- waiting -------------------------------------------------------------------------

    def until(self, key: object, what: str, states: Sequence[int] | None, holds: Condition) -> Wait:
        """A wait for a condition of the ticks.

        Args:
            key: what makes another wait the same.
            what: is waited for, in words.
            states: on whose ticks the condition depends; None for all.
            holds: the condition.
        """
        with self._lock:
            found = self._entries.get(key)
            if found is not None:
                return found.wait
            wait = Wait(what, lambda _: self._forget(key))
            if holds(self._machine._ticks):
                wait._resolve()
                return wait
            entry = self._entries[key] = _Entry(key, wait, states, holds)
            if states is None:
                self._queries[key] = entry
            else:
                for state in states:
                    self._by_state.setdefault(state, {})[key] = entry
            self._machine._plain = False
            return wait

    def until_args(self, state: int, args: Mapping[str, Any], what: str) -> Wait:
        """A wait for a state to begin with arguments that have these among them."""
        with self._lock:
            for other, wanted, wait in self._args.values():
                if other == state and wanted == args:
                    return wait
            key = object()
            wait = Wait(what, lambda _: self._args.pop(key, None))
            self._args[key] = (state, dict(args), wait)
            self._machine._plain = False
            return wait

    def until_tick(self, tick: int, what: str) -> Wait:
        """A wait for the queue to have come to a tick."""
        with self._lock:
            found = self._ticks.get(tick)
            if found is not None:
                return found[1]
            wait = Wait(what, lambda _: self._ticks.pop(tick, None))
            if self._machine._queue_tick >= tick:
                wait._resolve()
                return wait
            self._ticks[tick] = (tick, wait)
            self._machine._plain = False
            return wait

    def until_queue_ends(self) -> Wait:
        """A wait for the end of the drain; done if nobody drains."""
        with self._lock:
            if self._ends is None:
                self._ends = Wait("the end of the queue", self._forget_ends)
                self._machine._plain = False
            if not self._machine._busy.locked():
                ends, self._ends = self._ends, None
                ends._resolve()
                return ends
            return self._ends

    # -- what happens --------------------------------------------------------------------

    def changed(self, before: Sequence[int], after: Sequence[int]) -> None:
        """Ticks have changed."""
        if not self._entries:
            return
        with self._lock:
            found = dict(self._queries)
            if self._by_state:
                for state, entries in self._by_state.items():
                    if before[state] != after[state]:
                        found.update(entries)
            for entry in found.values():
                if entry.holds(after):
                    self._forget(entry.key)
                    entry.wait._resolve()

    def reached(self, move: Move, count: int, mutation: Mutation) -> None:
        """The final handlers of so many states that enter were reached, or one more."""
        if not self._args or count < 0:
            return
        states = move.enters[: count + 1]
        values = mutation.values
        with self._lock:
            for key, (state, wanted, wait) in tuple(self._args.items()):
                if state in states and _within(wanted, values):
                    del self._args[key]
                    wait._resolve()

    def queue_moved(self, tick: int) -> None:
        """The queue has come to a tick."""
        if not self._ticks:
            return
        with self._lock:
            for wanted, wait in tuple(self._ticks.values()):
                if tick >= wanted:
                    del self._ticks[wanted]
                    wait._resolve()

    def queue_ended(self, tick: int) -> None:
        """Nothing is left in the queue."""
        self.queue_moved(tick)
        if self._ends is not None:
            with self._lock:
                ends, self._ends = self._ends, None
            if ends is not None:
                ends._resolve()

    def close(self, error: MachineError) -> None:
        """End all waits with an error."""
        with self._lock:
            waits = [entry.wait for entry in self._entries.values()]
            waits += [wait for _, _, wait in self._args.values()]
            waits += [wait for _, wait in self._ticks.values()]
            waits += [self._ends] if self._ends is not None else []
            for table in (self._entries, self._by_state, self._queries, self._args, self._ticks):
                table.clear()
            self._ends = None
        for wait in waits:
            wait._fail(error)

    def reindex(self, moved: Mapping[int, int]) -> None:
        """The states have other indexes now."""
        with self._lock:
            for entry in self._entries.values():
                if entry.states is not None:
                    entry.states = [moved[state] for state in entry.states]
            by_state, self._by_state = self._by_state, {}
            for state, entries in by_state.items():
                self._by_state[moved[state]] = entries
            for key, (state, wanted, wait) in tuple(self._args.items()):
                self._args[key] = (moved[state], wanted, wait)

    def _forget(self, key: object) -> None:
        with self._lock:
            entry = self._entries.pop(key, None)
            if entry is None:
                return
            self._queries.pop(key, None)
            for state in entry.states or ():
                entries = self._by_state.get(state)
                if entries is not None:
                    entries.pop(key, None)
                    if not entries:
                        del self._by_state[state]

    def _forget_ends(self, _: Wait) -> None:
        self._ends = None


def _within(wanted: Mapping[str, Any], values: Mapping[str, Any]) -> bool:
    return all(name in values and values[name] == value for name, value in wanted.items())
