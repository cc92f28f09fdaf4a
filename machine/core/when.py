"""Waits for a machine, the contexts of its states, and their stories.

`When` adds to the attributes of a `View` those that waits and contexts need:

==================  ===============================================================
`_m_open_waits`     the open waits, made when the first one is
`_m_contexts`       the contexts by the positions of their states; -1 is the machine
`_m_gone`           the waits for the machine's end; None after it
`_m_tracers`        the guarded tracers
`_m_unobserved`     True while mutations may take a short way that tells no observer
`_m_thread`         the thread that drains the queue, or 0
`_m_disposing`      True once `dispose` was called
`_m_loop`, `_m_tasks`  the home loop, and the tasks of contexts
`_m_starting`       work that begins after the drain, if handlers are eager
`_m_adopted`        True once the home loop is not the one of the constructor
==================  ===============================================================

A mirror of a remote machine derives from it: after each change of the clocks it calls
`_open_waits.changed` and `_m_expire`. Its queue is elsewhere, so it is never draining.
"""

from __future__ import annotations

import logging
import threading
from asyncio import AbstractEventLoop, Task
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

from machine.core import final
from machine.core.mutation import values_of
from machine.core.notes import annotate
from machine.core.story import Story, StorySource, known_story
from machine.core.tracer import GuardedTracer
from machine.core.view import Names, View
from machine.errors import InvalidArgument, MachineDisposed
from machine.rules.resolution import Relations
from machine.schema.schema import EXCEPTION
from machine.texts import repr_of
from machine.times import next_active
from machine.waits.contexts import StateContext
from machine.waits.eager import Starting
from machine.waits.end_waits import EndWaits
from machine.waits.open_waits import Condition, OpenWaits
from machine.waits.result import Result
from machine.waits.wait import Wait

__all__ = ["When", "check_callable", "setup_lock"]

_log = logging.getLogger("machine")
# Over the making of attributes that are made when they are first needed, and over changes
# of bindings; of any machine, as it is held for moments only. It may be taken again by its
# thread, as signal handlers and finalizers run there at any moment. No user's function is
# called under it.
setup_lock: AbstractContextManager[bool] = threading.RLock()


class When(View):
    """Waits.

    Each method returns a `Wait` at once: `await` it, or `.wait(timeout)` in a
    thread. Conditions are evaluated after each transition, with its final
    handlers, before the next one; the task that waits goes on a little later, and
    may see a later state. When the machine is disposed, open waits end with
    `MachineDisposed`.
    """

    __slots__ = (
        "_m_adopted",
        "_m_contexts",
        "_m_disposing",
        "_m_gone",
        "_m_loop",
        "_m_open_waits",
        "_m_starting",
        "_m_tasks",
        "_m_thread",
        "_m_tracers",
        "_m_unobserved",
    )

    def __init__(self, relations: Relations, id: str) -> None:  # noqa: A002 - the public name
        super().__init__(relations, id)
        self._m_unobserved = True
        self._m_open_waits: OpenWaits | None = None
        self._m_contexts: dict[int, StateContext] | None = None
        self._m_gone: Iterable[Wait] | None = ()
        self._m_tracers: tuple[GuardedTracer, ...] = ()
        self._m_thread = 0
        self._m_disposing = False
        self._m_loop: AbstractEventLoop | None = None
        self._m_adopted = False
        self._m_starting: Starting | None = None
        self._m_tasks: set[Task[Any]] | None = None

    def when(self, *states: Names) -> Wait:
        """All these states are active at the same time."""
        return self._m_when_all(self._m_names(states), 1)

    def when_not(self, *states: Names) -> Wait:
        """All these states are inactive at the same time."""
        return self._m_when_all(self._m_names(states), 0)

    def when_any(self, *states: Names) -> Wait:
        """At least one of these states is active."""
        names = self._m_names(states)
        if not names:
            raise InvalidArgument("when_any needs one or more states", argument="states")
        ticks_of = self._m_ticks_of

        def holds(ticks: Sequence[int]) -> bool:
            return any(tick % 2 for tick in ticks_of(ticks, names))

        return self._m_until(f"any of {' '.join(names)}", names, holds)

    def when_time(self, states: Names, times: Sequence[int]) -> Wait:
        """Each of these states has reached its tick; they need not stay there together.

        Raises:
            InvalidArgument: there are not as many ticks as states, or none.
        """
        names = self._m_names((states,))
        wanted = _ticks(times)
        if len(names) != len(wanted) or not names:
            raise InvalidArgument(
                f"{len(names)} states need as many ticks, not {len(wanted)}",
                argument="times",
                machine=self.id,
            )
        ticks_of = self._m_ticks_of

        def holds(ticks: Sequence[int]) -> bool:
            return all(a >= b for a, b in zip(ticks_of(ticks, names), wanted, strict=True))

        pairs = zip(names, wanted, strict=True)
        return self._m_until(" ".join(f"{name}:{tick}" for name, tick in pairs), names, holds)

    def when_ticks(self, state: str, ticks: int) -> Wait:
        """A state has made `ticks` ticks from now on."""
        return self.when_time(state, (self._m_tick_of(state) + _ticks((ticks,))[0],))

    def when_ticks_eq(self, state: str, tick: int) -> Wait:
        """A state has reached a tick."""
        return self.when_time(state, (tick,))

    def when_next_active(self, state: str) -> Wait:
        """A state begins, or begins again as Multi; its present activation does not count."""
        return self.when_time(state, (next_active(self._m_tick_of(state)),))

    def when_args(self, state: str, args: Any) -> Wait:
        """A state begins with arguments of which these are a part."""
        (name,) = self._m_names((state,))
        wanted = values_of(args)
        if self._m_disposing:
            return self._m_closed()
        what = (
            f"{name} with {', '.join(f'{k}={repr_of(v)}' for k, v in wanted.items()) or 'any args'}"
        )
        self._m_note("ops", f"[whenArgs:new] {what}")
        return self._m_waits().until_args(what, self._m_relations.index[name], wanted)

    def when_query(self, query: Callable[[Mapping[str, int]], bool]) -> Wait:
        """A function of the clock returns True; it is called now and after each change.

        Args:
            query: gets the ticks by state; must be quick, and is called on the
                thread of the transition. An error is raised here at the first
                call; later ones are logged and count as False.
        """
        check_callable(query, "query")

        def holds(ticks: Sequence[int]) -> bool:
            return bool(query(dict(zip(self._m_relations.names, ticks, strict=True))))

        return self._m_until(f"the query {repr_of(query)}", (), holds)

    def when_queue(self, result: Result | int) -> Wait:
        """A queued mutation has run, with any result; done at once for others."""
        if isinstance(result, Result):
            if result._wait is not None and not result.done:
                return result._wait
            return self._m_done()
        if _ticks((result,))[0] <= 1 or self._m_queue_tick >= result:
            return self._m_done()
        if self._m_disposing:
            return self._m_closed()
        return self._m_waits().until_tick(f"queue tick {result}", result)

    def when_queue_ends(self) -> Wait:
        """The queue is empty; done at once if no thread drains it."""
        if self._m_disposed:
            return self._m_closed()
        return self._m_waits().until_queue_ends()

    @property
    def is_final(self) -> bool:
        """True while a final state is active."""
        return final.is_final(self)

    def when_final(self) -> Wait:
        """A final state is active; ends with the error if Exception is so, and none of them.

        Exception counts when the queue has ended, so that a handler or an auto state
        may answer it with a final state.

        Raises:
            InvalidArgument: no state of the schema is final.
        """
        if self._m_disposing:
            return self._m_closed()
        self._m_note("ops", "[when:new] final")
        return final.when_final(self, self._m_waits())

    def when_err(self) -> Wait:
        """The state Exception is active."""
        return self.when(EXCEPTION)

    def when_disposed(self) -> Wait:
        """The machine has been disposed."""
        with setup_lock:
            if self._m_gone is not None:
                if not isinstance(self._m_gone, EndWaits):
                    self._m_gone = EndWaits()
                return self._m_gone.enter()
        return self._m_done()

    def state_ctx(self, state: str) -> StateContext:
        """The context of a state as it is now; expires when the state's clock ticks.

        May be taken of an inactive state, and is the same object for all callers
        between two ticks.

        Raises:
            UnknownState: it is not in the schema.
        """
        (name,) = self._m_names((state,))
        if self._m_disposing and self._m_contexts is None:
            context = StateContext(self, name, self._m_ticks[self._m_relations.index[name]])
            context.expired = True
            return context
        return self._m_context(self._m_relations.index[name])

    # -- stories -------------------------------------------------------------------------

    def story(self, state: str = "") -> Story:
        """The causes of the current tick of a state; from any thread.

        With a `machine.story.StoryTracer` bound: the mutations, with the lines
        of the program or the handlers that asked for them, back to the first
        cause. Without one: the little that the machine knows, and a hint.

        Args:
            state: "" for the story of the last error.

        Returns:
            The story, to print or to walk through.

        Raises:
            UnknownState: it is not in the schema.
        """
        if state:
            self._m_names((state,))
        for one in self._m_tracers:
            source = one.tracer
            if isinstance(source, StorySource):
                return source.story(self, state) if state else source.error_story(self)
        return known_story(self, state)

    # -- contexts ------------------------------------------------------------------------

    def _m_context(self, state: int) -> StateContext:
        """Return the context of a state's current tick; of the machine itself for -1."""
        made = None
        with setup_lock:
            if self._m_contexts is None:
                self._m_contexts = {}
            contexts = self._m_contexts
            context = contexts.get(state)
            if context is None:
                name = self._m_relations.names[state] if state >= 0 else self.id
                tick = self._m_ticks[state] if state >= 0 else 0
                made = StateContext(self, name, tick)
                context = contexts.setdefault(state, made)
        if context is made and self._m_tracers:
            self._m_note("ops", f"[ctx:new] {context.state}")
        self._m_unobserved = False
        if self._m_thread != threading.get_ident():
            self._m_expire_old()  # the state may have ticked before the context was in the table
        return context

    def _m_expire(self, changes: Iterable[tuple[int, int]]) -> None:
        """End the contexts of states that have ticked."""
        contexts = self._m_contexts
        if contexts is not None:
            for at, _ in changes:
                ended = contexts.pop(at, None)
                if ended is not None:
                    ended._expire()
                    if self._m_tracers:
                        self._m_note("ops", f"[ctx:match] {ended.state}")

    def _m_expire_old(self) -> None:
        """End the contexts whose states have ticked since."""
        for state, context in tuple((self._m_contexts or {}).items()):
            if state >= 0 and self._m_ticks[state] != context.tick:
                if self._m_contexts is not None:
                    self._m_contexts.pop(state, None)
                context._expire()

    # -- hooks of contexts and waits -----------------------------------------------------

    def _m_background_failed(self, error: BaseException, state: str, name: str) -> None:
        """Report the error of a context's task; a machine with an engine also adds it."""
        annotate(error, f"in {name}, a task of {state} of the machine {self.id!r}")
        _log.error("[%s] %s, a task of %s, raised", self.id, name, state, exc_info=error)

    def _m_is_draining(self) -> bool:
        """True while a thread works the queue off."""
        return False

    def _m_note(self, level: str, text: str) -> None:
        for tracer in self._m_tracers:
            tracer.note(self, level, text)

    # -- conditions ----------------------------------------------------------------------

    def _m_waits(self) -> OpenWaits:
        if self._m_open_waits is None:
            with setup_lock:
                if self._m_open_waits is None:
                    self._m_open_waits = OpenWaits(self)
        return self._m_open_waits

    def _m_when_all(self, names: tuple[str, ...], odd: int) -> Wait:
        ticks_of = self._m_ticks_of

        def holds(ticks: Sequence[int]) -> bool:
            return all(tick % 2 == odd for tick in ticks_of(ticks, names))

        what = f"{'' if odd else 'not '}{' '.join(names)}"
        return self._m_until(what, names, holds) if names else self._m_done()

    def _m_until(
        self,
        what: str,
        names: tuple[str, ...],
        holds: Condition,
    ) -> Wait:
        if self._m_disposing:
            return self._m_closed()
        self._m_note("ops", f"[when:new] {what}")
        return self._m_waits().until(what, self._m_indexes(names), holds)

    def _m_ticks_of(self, ticks: Sequence[int], names: tuple[str, ...]) -> list[int]:
        index = self._m_relations.index
        return [ticks[index[name]] for name in names]

    def _m_tick_of(self, state: str) -> int:
        (name,) = self._m_names((state,))
        return self._m_ticks[self._m_relations.index[name]]

    def _m_done(self) -> Wait:
        wait = Wait("nothing")
        wait._resolve()
        return wait

    def _m_closed(self) -> Wait:
        wait = Wait("nothing: the machine is disposed")
        wait._fail(MachineDisposed(self.id))
        return wait


def check_callable(function: object, argument: str) -> None:
    """Raise unless the argument is callable.

    Raises:
        InvalidArgument: it is not.
    """
    if not callable(function):
        raise InvalidArgument(
            f"{argument} must be callable, not {type(function).__name__}", argument=argument
        )


def _ticks(given: object) -> tuple[int, ...]:
    if isinstance(given, Iterable):
        ticks = tuple(given)
        if all(isinstance(tick, int) for tick in ticks):
            return ticks
    raise InvalidArgument(f"ticks must be whole numbers, not {given!r}", argument="times")
