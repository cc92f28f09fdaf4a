"""Why a state is what it is: the mutations, handlers and lines of code that led to it.

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
or another of this process), by what ran on the same thread or by `source=`.
"""

from __future__ import annotations

import threading
import time
import weakref
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from machine.core.call_sites import CallSite, caller_site, raise_site, who_runs
from machine.core.tracer import Tracer
from machine.errors import InvalidArgument
from machine.schema.schema import EXCEPTION
from machine.story.deeds import Deed, Story

if TYPE_CHECKING:
    from machine.core.handlers import Handler
    from machine.core.machine import Machine
    from machine.core.mutation import Mutation
    from machine.core.transition import Transition

__all__ = ["CallSite", "Deed", "Site", "Story", "StoryTracer"]

Site = CallSite  # the name of before

_LONGEST = 50  # deeds in one story
_MORE = "Bind a machine.story.StoryTracer() to be told which mutations and handlers led to it."


@dataclass(frozen=True, slots=True)
class _Origin:
    """What is known of a mutation when it is asked for."""

    site: CallSite | None = None
    runner: str = ""
    cause: str = ""
    handler: str = ""


_tracers: weakref.WeakSet[StoryTracer] = weakref.WeakSet()
_tracers_lock = threading.Lock()
_running = threading.local()  # .calls: handlers that this thread is in, as (transition, handler)


class StoryTracer(Tracer):
    """Remembers what `Machine.story` tells, and adds the story to what handlers raise.

    May be bound to several machines, in any threads. It costs some
    microseconds for each transition, most of them for the line of the caller.

    Args:
        keep: how many transitions are remembered, of all machines together.

    Raises:
        InvalidArgument: `keep` is below 1.
    """

    def __init__(self, keep: int = 1000) -> None:
        if keep < 1:
            raise InvalidArgument(f"keep is 1 or more, not {keep}", argument="keep")
        self.keep = keep
        self._lock = threading.Lock()
        self._deeds: OrderedDict[str, Deed] = OrderedDict()
        self._origins: OrderedDict[int, tuple[Mutation, _Origin]] = OrderedDict()
        self._open: dict[str, Deed] = {}
        self._last: dict[tuple[str, str], Deed] = {}
        self._tried: dict[tuple[str, str], Deed] = {}
        self._errors: OrderedDict[str, tuple[str, Deed]] = OrderedDict()
        with _tracers_lock:
            _tracers.add(self)

    @property
    def deeds(self) -> tuple[Deed, ...]:
        """All that is remembered, the oldest first."""
        with self._lock:
            return tuple(self._deeds.values())

    # -- telling -------------------------------------------------------------------------

    def story(self, machine: Machine[Any], state: str) -> Story:
        """What led to the state's current tick."""
        title, tick = _title(machine, state), machine.tick(state)
        key = machine.id, state
        with self._lock:
            deed = self._last.get(key)
            attempt = self._tried.get(key)
        if deed is not None and deed.ticks[state] != tick:
            deed = None  # imported since
        if attempt is not None and deed is not None and attempt.at < deed.at:
            attempt = None
        hint = ""
        if deed is None and tick:
            hint = "It came about before the StoryTracer was bound, or was forgotten since."
        return Story(machine.id, state, title, self._back(deed), attempt, hint)

    def error_story(self, machine: Machine[Any]) -> Story:
        """What led to the machine's last error."""
        error = machine.err
        if error is None:
            return Story(machine.id, EXCEPTION, f"{machine.id!r} has had no error")
        title = f"The last error of {machine.id!r}: {type(error).__name__}: {error}"
        with self._lock:
            text, deed = self._errors.get(machine.id, ("", None))
        if deed is None or text != _text(error):
            return Story(machine.id, EXCEPTION, title, hint="What led to it is not known.")
        return Story(machine.id, EXCEPTION, title, self._back(deed))

    def _back(self, deed: Deed | None) -> tuple[Deed, ...]:
        found: list[Deed] = []
        while deed is not None and deed not in found and len(found) < _LONGEST:
            found.append(deed)
            before = deed.cause or (deed.source.transition if deed.source is not None else "")
            deed = self._find(before, deed.machine) if before else None
        return tuple(found)

    def _find(self, transition: str, machine: str) -> Deed | None:
        others: list[StoryTracer] = []
        if transition.rpartition("#")[0] != machine:
            with _tracers_lock:
                others += _tracers
        for tracer in (self, *others):
            with tracer._lock:
                deed = tracer._open.get(transition) or tracer._deeds.get(transition)
            if deed is not None:
                return deed
        return None

    # -- listening -----------------------------------------------------------------------

    def mutation_queued(self, machine: Machine[Any], mutation: Mutation) -> None:
        """Remember who asked for it."""
        with self._lock:
            self._origins[id(mutation)] = (mutation, _origin_of(machine, mutation))
            while len(self._origins) > self.keep:
                self._origins.popitem(last=False)

    def transition_init(self, tx: Transition) -> None:
        """Begin its deed."""
        mutation = tx.mutation
        kept, origin = self._origins.pop(id(mutation), (None, _Origin()))
        if kept is not mutation:
            origin = _origin_of(tx.machine, mutation, direct=True)
        self._open[tx.id] = Deed(
            tx.machine.id,
            tx.id,
            mutation.kind,
            mutation.called,
            tuple(mutation.values),
            mutation.auto,
            time.time(),
            origin.site,
            origin.runner,
            origin.cause,
            origin.handler,
            mutation.source,
        )

    def handler_start(self, tx: Transition, handler: Handler) -> None:
        """Remember that it was called, and that this thread is in it."""
        deed = self._open.get(tx.id)
        if deed is not None:
            deed.handlers.append(handler.name)
        calls = _running.__dict__.setdefault("calls", [])
        calls.append((tx.id, handler.name))

    def handler_end(self, tx: Transition, handler: Handler, accepted: bool) -> None:
        """This thread has left it."""
        calls = _running.__dict__.get("calls")
        if calls and calls[-1] == (tx.id, handler.name):
            calls.pop()

    def transition_end(self, tx: Transition) -> None:
        """Complete its deed, and put the story into what was raised."""
        deed = self._open.pop(tx.id, None)
        if deed is None:
            return  # this was bound in the midst of it
        deed.accepted = tx.accepted
        deed._move = tx.relations, tx.move
        if not tx.accepted:
            deed.rejected_by = tx.handler or "relations"
        if tx.error is not None:
            deed.error = _text(tx.error)
        if tx.mutation.check:
            return
        deed.ticks.update((change.name, change.tick) for change in tx.changes)
        self._keep(deed, tx)
        if tx.error is not None:
            self._annotate(tx.error, deed)

    def _keep(self, deed: Deed, tx: Transition) -> None:
        with self._lock:
            self._deeds[deed.transition] = deed
            while len(self._deeds) > self.keep:
                self._deeds.popitem(last=False)
            for state in deed.ticks:
                self._last[deed.machine, state] = deed
                self._tried.pop((deed.machine, state), None)
            if not deed.accepted:
                for state in deed.called:
                    if state not in deed.ticks:
                        self._tried[deed.machine, state] = deed
            error = tx.error or _error_in(tx.mutation)
            known = self._errors.get(deed.machine)
            if error is not None and (tx.error or known is None or known[0] != _text(error)):
                self._errors[deed.machine] = (_text(error), deed)
                while len(self._errors) > self.keep:
                    self._errors.popitem(last=False)

    def _annotate(self, error: BaseException, deed: Deed) -> None:
        told = Story(deed.machine, "", "What led to it:", self._back(deed))
        note = str(told)
        if note not in getattr(error, "__notes__", ()):
            error.add_note(note)

    def machine_disposed(self, machine: Machine[Any]) -> None:
        """Forget what belongs to the machine's states; its transitions stay for other stories."""
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
        return _Origin(site, who_runs(), running.id, running.handler)
    calls = _running.__dict__.get("calls")
    transition, handler = calls[-1] if calls else ("", "")
    return _Origin(site, who_runs(), transition, handler)


def _error_in(mutation: Mutation) -> BaseException | None:
    error = mutation.values.get("error") if EXCEPTION in mutation.called else None
    return error if isinstance(error, BaseException) else None


def _title(machine: Machine[Any], state: str) -> str:
    tick = machine.tick(state)
    if not tick:
        return f"{state} of {machine.id!r} has never been active"
    active = "active" if machine.is_(state) else "inactive"
    return f"{state} of {machine.id!r} is {active}, tick {tick}"


def _text(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"


def known_story(machine: Machine[Any], state: str) -> Story:
    """What can be told of a state, or with "" of the last error, without a `StoryTracer`."""
    if state:
        title = _title(machine, state)
    elif machine.err is None:
        return Story(machine.id, EXCEPTION, f"{machine.id!r} has had no error")
    else:
        title = f"The last error of {machine.id!r}: {_text(machine.err)}"
    known = []
    running = machine.transition
    if state and running is not None and state in (*running.enters, *running.exits):
        known.append(f"Just now: {running.mutation}  {running.id}")
        cause = running.mutation.cause
        while cause is not None:
            known.append(f"which a handler of {cause} asked for")
            cause = cause.cause
    if not state:
        known += getattr(machine.err, "__notes__", ())
    return Story(machine.id, state or EXCEPTION, title, hint="\n".join((*known, _MORE)))
