"""Stories of states: the mutations, handlers and lines of code that led to a state or an error.

    machine.bind_tracer(StoryTracer())
    ...
    print(machine.story("Connected"))

    Connected of 'link' is active, tick 3
    1. [add] Connected (host)  link#7  12:30:01.250
       Connected was called
       at app/link.py:41 in Link.DialingState
       handlers: ConnectedEnter, ConnectedState
    2. it was asked for in DialingState of [add] Dialing  link#6  12:30:01.248
       at app/main.py:12 in main
       handlers: DialingState

A story goes back from the effect to its first cause: from a mutation to the
handler that made it, from an auto mutation to the transition that it followed,
and from one machine to the other, if both have a `StoryTracer` (the same one
or another of this process), by the handler that ran on the same thread or by `source=`.
"""

from __future__ import annotations

import threading
import time
import weakref
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from machine.core.call_sites import CallSite, caller_site, raise_site, runner_name
from machine.core.notes import annotate
from machine.core.records import record_of
from machine.core.story import Story, StoryEntry, StorySource, title_of
from machine.core.view import View
from machine.errors import InvalidArgument
from machine.schema.schema import EXCEPTION
from machine.texts import error_text

if TYPE_CHECKING:
    from machine.core.handlers import Handler
    from machine.core.machine import Machine
    from machine.core.mutation import Mutation
    from machine.core.transition import Transition

__all__ = ["CallSite", "Deed", "Site", "Story", "StoryEntry", "StoryTracer"]

Deed: TypeAlias = StoryEntry  # the names of before
Site: TypeAlias = CallSite

_LONGEST = 50  # entries in one story


@dataclass(frozen=True, slots=True)
class _Origin:
    """The origin of a mutation."""

    site: CallSite | None = None
    runner: str = ""
    cause: str = ""
    handler: str = ""


_tracers: weakref.WeakSet[StoryTracer] = weakref.WeakSet()
_tracers_lock = threading.Lock()
_running = threading.local()  # .calls: handlers that this thread is in, as (transition, handler)


class StoryTracer(StorySource):
    """A tracer for `Machine.story`, which also adds the story to errors of handlers.

    May be bound to several machines, in any threads. It costs some
    microseconds for each transition, most of them for the line of the caller.

    Args:
        keep: the number of transitions that are kept, of all machines together.

    Raises:
        InvalidArgument: `keep` is below 1.
    """

    def __init__(self, keep: int = 1000) -> None:
        if keep < 1:
            raise InvalidArgument(f"keep must be 1 or more, not {keep}", argument="keep")
        self.keep = keep
        self._lock = threading.Lock()
        self._entries: OrderedDict[str, StoryEntry] = OrderedDict()
        self._origins: OrderedDict[int, tuple[Mutation, _Origin]] = OrderedDict()
        self._open: dict[str, StoryEntry] = {}
        self._last: dict[tuple[str, str], StoryEntry] = {}
        self._tried: dict[tuple[str, str], StoryEntry] = {}
        self._errors: OrderedDict[str, tuple[str, StoryEntry]] = OrderedDict()
        with _tracers_lock:
            _tracers.add(self)

    @property
    def deeds(self) -> tuple[StoryEntry, ...]:
        """All transitions that are kept, the oldest first."""
        with self._lock:
            return tuple(self._entries.values())

    # -- telling -------------------------------------------------------------------------

    def story(self, machine: View, state: str) -> Story:
        """The transitions that led to the state's current tick."""
        title, tick = title_of(machine, state), machine.tick(state)
        key = machine.id, state
        with self._lock:
            entry = self._last.get(key)
            attempt = self._tried.get(key)
        if entry is not None and entry.ticks[state] != tick:
            entry = None  # imported since
        if attempt is not None and entry is not None and attempt.at < entry.at:
            attempt = None
        hint = ""
        if entry is None and tick:
            hint = "It came about before the StoryTracer was bound, or is no longer kept."
        return Story(machine.id, state, title, self._back(entry), attempt, hint)

    def error_story(self, machine: View) -> Story:
        """The transitions that led to the machine's last error."""
        error = machine.err
        if error is None:
            return Story(machine.id, EXCEPTION, f"{machine.id!r} has had no error")
        title = f"The last error of {machine.id!r}: {error_text(error)}"
        with self._lock:
            text, entry = self._errors.get(machine.id, ("", None))
        if entry is None or text != error_text(error):
            return Story(machine.id, EXCEPTION, title, hint="Its causes are not known.")
        return Story(machine.id, EXCEPTION, title, self._back(entry))

    def _back(self, entry: StoryEntry | None) -> tuple[StoryEntry, ...]:
        found: list[StoryEntry] = []
        while entry is not None and entry not in found and len(found) < _LONGEST:
            found.append(entry)
            before = entry.cause or (entry.source.transition if entry.source is not None else "")
            entry = self._find(before, entry.machine) if before else None
        return tuple(found)

    def _find(self, transition: str, machine: str) -> StoryEntry | None:
        others: list[StoryTracer] = []
        if transition.rpartition("#")[0] != machine:
            with _tracers_lock:
                others += _tracers
        for tracer in (self, *others):
            with tracer._lock:
                entry = tracer._open.get(transition) or tracer._entries.get(transition)
            if entry is not None:
                return entry
        return None

    # -- listening -----------------------------------------------------------------------

    def mutation_queued(self, machine: Machine[Any], mutation: Mutation) -> None:
        """Keep the origin of the mutation."""
        with self._lock:
            self._origins[id(mutation)] = (mutation, _origin_of(machine, mutation))
            while len(self._origins) > self.keep:
                self._origins.popitem(last=False)

    def transition_init(self, tx: Transition) -> None:
        """Begin its record."""
        mutation = tx.mutation
        kept, origin = self._origins.pop(id(mutation), (None, _Origin()))
        if kept is not mutation:
            origin = _origin_of(tx.machine, mutation, direct=True)
        self._open[tx.id] = StoryEntry(
            record_of(tx, dict.fromkeys(mutation.values)),
            time.time(),
            origin.site,
            origin.runner,
            origin.cause,
            origin.handler,
        )

    def handler_start(self, tx: Transition, handler: Handler) -> None:
        """Note that it was called, and that this thread is in it."""
        entry = self._open.get(tx.id)
        if entry is not None:
            entry.handlers.append(handler.name)
        calls = _running.__dict__.setdefault("calls", [])
        calls.append((tx.id, handler.name))

    def handler_end(self, tx: Transition, handler: Handler, accepted: bool) -> None:
        """Note that this thread has left it."""
        calls = _running.__dict__.get("calls")
        if calls and calls[-1] == (tx.id, handler.name):
            calls.pop()

    def transition_end(self, tx: Transition) -> None:
        """Complete its record, and add the story to the error."""
        entry = self._open.pop(tx.id, None)
        if entry is None:
            return  # this was bound in the midst of it
        entry.record = record_of(tx, entry.record.args)
        entry.relations = tx.relations, tx.move
        if not tx.accepted:
            entry.rejected_by = tx.handler or "relations"
        if tx.mutation.check:
            return
        self._keep(entry, tx)
        if tx.error is not None:
            self._annotate(tx.error, entry)

    def _keep(self, entry: StoryEntry, tx: Transition) -> None:
        machine, ticks = entry.machine, entry.ticks
        with self._lock:
            self._entries[entry.transition] = entry
            while len(self._entries) > self.keep:
                self._entries.popitem(last=False)
            for state in ticks:
                self._last[machine, state] = entry
                self._tried.pop((machine, state), None)
            if not entry.accepted:
                for state in entry.called:
                    if state not in ticks:
                        self._tried[machine, state] = entry
            error = tx.error or _error_in(tx.mutation)
            known = self._errors.get(machine)
            if error is not None and (tx.error or known is None or known[0] != error_text(error)):
                self._errors[machine] = (error_text(error), entry)
                while len(self._errors) > self.keep:
                    self._errors.popitem(last=False)

    def _annotate(self, error: BaseException, entry: StoryEntry) -> None:
        told = Story(entry.machine, "", "What led to it:", self._back(entry))
        note = str(told)
        if note not in getattr(error, "__notes__", ()):
            annotate(error, note)

    def machine_disposed(self, machine: Machine[Any]) -> None:
        """Forget the machine's states; its transitions stay for stories of other machines."""
        with self._lock:
            for table in (self._last, self._tried):
                for key in [key for key in table if key[0] == machine.id]:
                    del table[key]


def _origin_of(machine: Machine[Any], mutation: Mutation, direct: bool = False) -> _Origin:
    running = None if direct else machine.transition
    if running is not None and running.completed:
        running = None
    if running is not None and mutation.auto:
        return _Origin(cause=running.id)
    error = _error_in(mutation)
    site = (raise_site(error) if error is not None else None) or caller_site()
    if running is not None and mutation.cause is running.mutation:
        return _Origin(site, runner_name(), running.id, running.handler)
    calls = _running.__dict__.get("calls")
    transition, handler = calls[-1] if calls else ("", "")
    return _Origin(site, runner_name(), transition, handler)


def _error_in(mutation: Mutation) -> BaseException | None:
    error = mutation.values.get("error") if EXCEPTION in mutation.called else None
    return error if isinstance(error, BaseException) else None
