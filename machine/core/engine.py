"""A transition carried out: negotiation, commit, final handlers, and what follows.

The phases (reference 2.5, 2.6, 2.8, 2.9):

1. The relations have spoken already: the move says whether they accept it.
2. Negotiation handlers are asked; the first False, raise or overrun rejects
   the transition, and nothing has changed. In a transition that the machine
   made of Auto states, a state that is rejected in its Enter handler, or on
   the way to it, is struck out alone, with what only it implied.
3. The commit: ticks, active states, and the end of contexts.
4. Final handlers are told, exits first. When one fails, its state and those
   after it go back to what they were before, one tick each; those before it
   stand. The transition is canceled, though something of it remains.
5. If anything has changed, the Auto states that are not active are tried, in
   a mutation of their own that goes before all others.

What a handler raises becomes the state Exception, by a mutation that goes
before all others. If it was raised while Exception itself was being added, it
is only logged and remembered: otherwise this would not end.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Sequence
from typing import Any, NoReturn

from machine.core import watchdog
from machine.core.base import binding
from machine.core.handlers import Role
from machine.core.mutation import Mutation
from machine.core.plans import Call, Plan, Shape
from machine.core.queue import Queue, loop_of
from machine.core.transition import Transition
from machine.errors import HandlerTimeout, InvalidHandler
from machine.rules.kinds import Kind
from machine.rules.resolution import Configuration, Move
from machine.schema.schema import EXCEPTION
from machine.waits.contexts import StateContext

__all__ = ["Engine"]

_log = logging.getLogger("machine")
_monotonic = time.monotonic
_begin_busy = watchdog.busy.add
_end_busy = watchdog.busy.discard
_NEVER = float("inf")
_EXCEPTION_ARG = "error"
_MOST_FAILURES = 10  # of handlers of Auto states, one after another, before they are given up


Owners = tuple[object, ...]
Bound = tuple[Shape, Owners]


class _Stopped(Exception):
    """A handler said no, or failed; the transition ends here."""


class Engine(Queue):
    """The part of a machine that carries out transitions."""

    __slots__ = ()

    def _perform(self, mutation: Mutation) -> bool:  # noqa: C901 - frames are what it costs
        move = mutation._move
        if move is None or move.before is not self._config:
            called = self._indexes(mutation.called)
            move = self._compiled.move(self._config, mutation.kind, called, mutation.auto)
        self._transitions += 1
        before = self._ticks
        tx = self._transition = Transition(self, mutation, move, before, self._transitions)
        if mutation.check and not tx.accepted:
            tx.accepted = any(self._compiled.multi[at] for at in move.called)
        tracers, bound, plan = self._tracers, self._bound, None
        if tracers:
            for tracer in tracers:
                tracer.transition_init(tx)
                tracer.transition_start(tx)
        try:
            if not tx.accepted:
                return False
            if bound is not None:
                plan = bound[0].plan(move)
                self._since = _NEVER  # until the first handler begins
                _begin_busy(self)
                if watchdog.asleep:
                    watchdog.wake()
                if plan.negotiation and not mutation.auto:
                    refused = self._call(tx, plan.negotiation, bound[1])
                    if refused is not None:
                        self._reject(tx, refused)
            if mutation.check:
                return True
            if mutation.auto:
                move, plan = self._negotiate_auto(tx, move, bound, plan)
            ticks = before[:]
            for at, more in move.ticks:
                ticks[at] += more
            self._ticks = tx._ticks_after = ticks
            self._config = target = move.target
            self._active = target.active
            tx.committed = True
            if self._contexts:
                self._expire(move.ticks)
            if tracers:
                for tracer in tracers:
                    tracer.transition_finals(tx)
            if plan is not None and plan.finals and bound is not None:
                try:
                    self._call(tx, plan.finals, bound[1], final=True)
                except BaseException:
                    self._take_back(tx, move, plan.finals)
                    raise
            if self._waiters is not None:
                self._waiters.reached(move, len(move.enters), mutation)
        except _Stopped:
            tx.accepted = False
        except BaseException:
            tx.accepted = False
            raise
        finally:
            if bound is not None:
                _end_busy(self)
            if (
                plan is None
                or tracers
                or self._waiters is not None
                or self._on_change is not None
                or self._config.autos
            ):
                self._conclude(tx)
            else:
                tx.completed = True
        return tx.accepted and move.holds

    def _commit(
        self, tx: Transition, target: Configuration, changes: tuple[tuple[int, int], ...]
    ) -> None:
        ticks = self._ticks[:]
        for at, more in changes:
            ticks[at] += more
        self._ticks = tx._ticks_after = ticks
        self._config = target
        self._active = target.active
        if self._contexts:
            self._expire(changes)

    def _expire(self, changes: tuple[tuple[int, int], ...]) -> None:
        """End the contexts of states that have ticked."""
        contexts = self._contexts
        if contexts is not None:
            for at, _ in changes:
                ended = contexts.pop(at, None)
                if ended is not None:
                    ended._expire()
                    if self._tracers:
                        self._note("ops", f"[ctx:match] {ended.state}")

    def _conclude(self, tx: Transition) -> None:
        """Everything after the handlers, whatever they did."""
        mutation = tx.mutation
        before, after = tx.ticks_before, self._ticks
        if tx._ticks_after is None:
            tx._ticks_after = after
        try:
            if self._on_change is not None and not mutation.check:
                self._tell_change(tx)
            changed = before is not after
            if tx.accepted and changed and self._config.autos and not mutation.auto:
                self._queue_autos(tx)
            tx.completed = True
            if self._tracers:
                for tracer in self._tracers:
                    tracer.transition_end(tx)
        finally:
            if self._waiters is not None and before is not after:
                self._waiters.changed(before, after)
            if not self._plain and self._bound is None:
                self._settle_plain()

    def _tell_change(self, tx: Transition) -> None:
        assert self._on_change is not None  # noqa: S101 - the caller has looked
        try:
            self._on_change(self._self, tx.time_before, tx.time_after)
        except Exception:  # noqa: BLE001 - a user's function
            _log.exception("[%s] on_change raised", self.id)

    def _queue_autos(self, tx: Transition) -> None:
        autos = self._config.autos
        move = tx.move
        if not (move.ticks and move.follow_up) or self._disposing:
            return
        names = tuple(self._compiled.names[at] for at in autos)
        mutation = Mutation(Kind.ADD, names, auto=True, cause=tx.mutation)
        mutation.failures = tx.mutation.failures
        if mutation.failures < _MOST_FAILURES and mutation.depth <= self._options.chain_limit:
            self._put_first(mutation, tx)
            return
        loop = loop_of(mutation, self.id, tx.handler)
        _log.error("[%s] gives up on %s: %s", self.id, ", ".join(names), loop.text)

    def _put_first(self, mutation: Mutation, tx: Transition) -> None:
        """What the machine itself adds goes before all that is queued."""
        mutation.source = tx.mutation.source
        if self._queue is None:
            self._queue = deque()
        self._queue.appendleft(mutation)
        for tracer in self._tracers:
            tracer.mutation_queued(self._self, mutation)

    # -- handlers ------------------------------------------------------------------------

    def _call(
        self, tx: Transition, calls: Sequence[Call], owners: Owners, final: bool = False
    ) -> Call | None:
        """Call handlers; look at the time each takes, and at what it raises.

        Args:
            owners: of the groups of handlers.
            final: whether what they return does not matter, but for a coroutine.

        Returns:
            The first negotiation handler that said no.
        """
        tracers = self._tracers
        limit = self._options.handler_timeout
        now = _monotonic()
        for call in calls:
            self._running = tx.handler = call.name
            self._since = began = now
            if tracers:
                answer = self._call_traced(tx, call, owners[call.group])
            else:
                try:
                    if call.bare is not None:
                        answer = call.bare(owners[call.group])
                    else:
                        answer = call.handler.invoke(owners[call.group], tx)
                except Exception as error:  # noqa: BLE001 - it is handed on
                    self._raised(tx, call, error)
            now = _monotonic()
            if now - began > limit:
                self._overran(tx, call, now - began, answer)
            if answer is None or answer is True:
                continue
            if final:
                self._start(tx, call, answer)
            elif self._refuses(tx, call, answer):
                return call
        return None

    def _call_traced(self, tx: Transition, call: Call, owner: object) -> Any:
        """Call one handler, with tracers before and after it."""
        for tracer in self._tracers:
            tracer.handler_start(tx, call.handler)
        answer: Any = False
        try:
            answer = call.handler.invoke(owner, tx)
        except Exception as error:  # noqa: BLE001 - it is handed on
            self._raised(tx, call, error)
        finally:
            for tracer in self._tracers:
                tracer.handler_end(tx, call.handler, answer is not False)
        return answer

    def _negotiate_auto(
        self, tx: Transition, move: Move, bound: Bound | None, plan: Plan | None
    ) -> tuple[Move, Plan | None]:
        """Ask the handlers of an auto mutation, which may reject single states.

        What only a rejected state implied is rejected with it.
        """
        struck: set[int] = set()
        if plan is not None and bound is not None and plan.negotiation:
            struck = self._strike(tx, plan, bound[1])
        target = move.target.order
        kept = tuple(at for at in move.called if at in target and at not in struck)
        rest = self._compiled.move(move.before, Kind.ADD, kept, True)
        tx.move = rest
        return rest, None if bound is None else bound[0].plan(rest)

    def _strike(self, tx: Transition, plan: Plan, owners: Owners) -> set[int]:
        """The Auto states that their handlers reject.

        Which pairs are asked is settled when the first pair is: those of states
        that were struck before, by their Enter handlers, are not.
        """
        struck: set[int] = set()
        moot: frozenset[int] | None = None
        skip = ""
        target = tx.move.target.order
        for call in plan.negotiation:
            role, state, other = call.handler.place
            if role is Role.BETWEEN:
                moot = frozenset(struck) if moot is None else moot
                if other in moot:
                    continue
            elif role is Role.ANY_ENTER and struck and struck.issuperset(target):
                break
            if struck and call.name == skip:
                continue
            if self._call(tx, (call,), owners) is not None:
                if not self._may_strike(call):
                    self._reject(tx, call)
                struck.add(other if role is Role.BETWEEN else state)
                skip = call.name
        if struck and struck.issuperset(target):
            raise _Stopped
        return struck

    def _reject(self, tx: Transition, call: Call) -> NoReturn:
        self._note("ops", f"[cancel] ({' '.join(tx.target)}) by {call.name}")
        raise _Stopped

    def _may_strike(self, call: Call) -> bool:
        """Whether a rejection concerns one Auto state, and not the whole auto mutation."""
        role, state, other = call.handler.place
        if role is Role.ENTER:
            return self._compiled.auto[state]
        return role is Role.BETWEEN and state != other and self._compiled.auto[other]

    def _refuses(self, tx: Transition, call: Call, answer: Any) -> bool:
        """True if a negotiation handler said no; what is neither yes nor no is an error."""
        if answer is not False:
            if hasattr(answer, "close"):
                answer.close()  # a coroutine that nobody will await
            text = f"{call.name} returned {answer!r}; it may return True, False or None"
            self._raised(tx, call, InvalidHandler(text, handler=call.name, machine=self.id))
        return True

    def _start(self, tx: Transition, call: Call, work: Any) -> None:
        """Begin the task of an `async def` handler; other results do not matter."""
        if not asyncio.iscoroutine(work):
            return
        place = call.handler.place
        try:
            self._context(place[1] if place[0] is Role.STATE else -1)._start(work, call.name)
        except Exception as error:  # noqa: BLE001 - it is handed on
            self._raised(tx, call, error)

    def _context(self, state: int) -> StateContext:
        """The context of a state's current tick; of the machine itself for -1."""
        with binding:
            if self._contexts is None:
                self._contexts = {}
            contexts = self._contexts
            context = contexts.get(state)
            if context is None:
                name = self._compiled.names[state] if state >= 0 else self.id
                tick = self._ticks[state] if state >= 0 else 0
                context = contexts[state] = StateContext(self, name, tick)
                if self._tracers:
                    self._note("ops", f"[ctx:new] {name}")
        self._plain = False
        if self._thread != threading.get_ident():
            self._expire_old()  # the state may have ticked meanwhile
        return context

    def _expire_old(self) -> None:
        """End the contexts whose states have ticked."""
        for state, context in tuple((self._contexts or {}).items()):
            if state >= 0 and self._ticks[state] != context.tick:
                if self._contexts is not None:
                    self._contexts.pop(state, None)
                context._expire()

    # -- failures ------------------------------------------------------------------------

    def _take_back(self, tx: Transition, move: Move, finals: Sequence[Call]) -> None:
        """Take back the states whose final handlers did not complete, one tick each."""
        position = next(call.position for call in finals if call.name == tx.handler)
        if self._waiters is not None:
            self._waiters.reached(move, position - len(move.exits), tx.mutation)
        before = move.before.order
        back = move.exits[position:]
        entered = move.enters[max(0, position - len(move.exits)) :]
        off = [state for state in entered if state not in before]
        if not (back or off):
            return
        stays = [state for state in move.target.order if state not in off]
        target = self._compiled.configuration((*stays, *back))
        self._commit(tx, target, tuple((state, 1) for state in (*back, *off)))
        self._note("ops", f"[recover] partial final states as ({' '.join(target.names)})")

    def _raised(self, tx: Transition, call: Call, error: Exception) -> NoReturn:
        """What a handler raised becomes the state Exception, and ends the transition.

        Called where it was caught, so that with `catch` off it goes on from there.
        """
        tx.error = error
        error.add_note(_story_of(self.id, tx, call.name))
        if not self._options.catch:
            raise error
        _log.error("[%s] %s raised in %s", self.id, call.name, tx.mutation, exc_info=error)
        self._note("ops", f"[cancel] ({' '.join(tx.target)}) by recover")
        self._fail(tx, call, error)
        raise _Stopped from None

    def _fail(self, tx: Transition, call: Call, error: BaseException) -> None:
        self._record(error)
        if EXCEPTION in tx.mutation.called:
            return
        args = {
            _EXCEPTION_ARG: error,
            "handler": call.name,
            "called": tx.mutation.called,
            "before": tx.before,
            "transition": tx.id,
        }
        mutation = Mutation(Kind.ADD, (EXCEPTION,), args, cause=tx.mutation)
        mutation.failures = tx.mutation.failures + 1
        self._put_first(mutation, tx)

    def _overran(self, tx: Transition, call: Call, took: float, answer: object) -> None:
        """A handler has come back too late: its transition is canceled."""
        options = self._options
        if hasattr(answer, "close"):
            answer.close()
        error = HandlerTimeout(
            call.name, options.handler_timeout, machine=self.id, source=tx.mutation.source
        )
        tx.error = error
        error.add_note(_story_of(self.id, tx, call.name))
        self._remember_late(error)
        self._note("ops", f"[cancel] ({' '.join(tx.target)}) by timeout")
        _log.warning("[%s] %s took %.3f s in %s", self.id, call.name, took, tx.mutation)
        if took > options.handler_timeout + options.handler_deadline:
            self._drop_queue()
            self._fail(tx, call, error)
            self._backoff_until = _monotonic() + options.handler_backoff
        raise _Stopped

    def _give_up_waiting(self) -> None:
        """A handler hangs on its thread: nobody shall wait for what is behind it.

        Called by the watchdog; the handler's own transition ends when it comes back.
        """
        self._backoff_until = _monotonic() + self._options.handler_backoff
        self._plain = False
        self._drop_queue()

    def _background_failed(self, error: BaseException, state: str, name: str) -> None:
        error.add_note(f"in {name}, a task of {state} of the machine {self.id!r}")
        _log.error("[%s] %s, a task of %s, raised", self.id, name, state, exc_info=error)
        self._add_error((EXCEPTION,), error, {"handler": name, "state": state}, None)

    def _add_error(
        self, states: tuple[str, ...], error: BaseException, args: Any, source: Any
    ) -> Any:
        raise NotImplementedError


def _story_of(machine: str, tx: Transition, handler: str) -> str:
    """Which handler of which mutation, and what led to it."""
    causes: list[str] = []
    one: Mutation | None = tx.mutation
    while one is not None and len(causes) < 8:
        source = "" if one.source is None else f" from {one.source.machine}"
        causes.append(f"{one}{source}")
        one = one.cause
    return f"in {handler} of the machine {machine!r}: {' <- '.join(causes)}"
