"""The engine, which carries a transition out: negotiation, commit, final handlers, autos.

The phases:

1. The relations have spoken already: the move says whether they accept it.
2. Negotiation handlers are asked; the first False, raise or overrun rejects
   the transition, and nothing has changed. In a transition that the machine
   made of Auto states, a state that is rejected in its Enter handler, or on
   the way to it, is struck out alone, with what only it implied.
3. The commit: ticks, active states, and the end of contexts.
4. Final handlers are called, exits first. When one fails, its state and those
   after it go back to what they were before, one tick each; those before it
   stand. The transition is canceled, though a part of it remains.
5. If anything has changed, the Auto states that are not active are tried, in
   a mutation of their own that goes before all others.

A handler's error becomes the state Exception, by a mutation that goes before all
others. If it was raised while Exception itself was being added, it is only
logged and remembered: otherwise this would not end.

Speed: each Python frame costs about as much as all the relations of a move. So
`_perform` does the commit inline, plans say which handlers take no arguments, and
observers are asked for only where there are some.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Any, NoReturn, TypeAlias

from machine.core import watchdog
from machine.core.failures import Failures, Stopped
from machine.core.handlers import Role
from machine.core.mutation import Mutation
from machine.core.plans import Call, HandlerTable, Plan
from machine.core.queue import loop_of
from machine.core.transition import Transition
from machine.errors import InvalidHandler
from machine.rules.kinds import Kind
from machine.rules.resolution import Move

__all__ = ["Engine"]

_log = logging.getLogger("machine")
_watched = watchdog.busy
_NEVER = float("inf")
_MAX_FAILURES = 10  # of handlers of Auto states, one after another, before it gives up

Owners: TypeAlias = tuple[object, ...]
Bound: TypeAlias = tuple[HandlerTable, Owners]


class Engine(Failures):
    """Transitions."""

    __slots__ = ()

    def _perform(self, mutation: Mutation) -> bool:  # noqa: C901 - frames are what it costs
        move = mutation._move
        if move is None or move.before is not self._config:
            called = self._indexes(mutation.called)
            move = self._relations.move(self._config, mutation.kind, called, mutation.auto)
        self._transitions += 1
        before = self._ticks
        tx = self._transition = Transition(self, mutation, move, before, self._transitions)
        if mutation.check and not tx.accepted:
            tx.accepted = any(self._relations.multi[at] for at in move.called)
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
                _watched[self._busy] = self
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
            if self._open_waits is not None:
                self._open_waits.reached(move.enters, len(move.enters), mutation)
        except Stopped:
            tx.accepted = False
        except BaseException:
            tx.accepted = False
            raise
        finally:
            if bound is not None:
                _watched.pop(self._busy, None)
            if (
                plan is None
                or tracers
                or self._open_waits is not None
                or self._on_change is not None
                or self._config.autos
            ):
                self._conclude(tx)
            else:
                tx.completed = True
        return tx.accepted and move.goal_met

    def _conclude(self, tx: Transition) -> None:
        """End a transition, with any outcome of its handlers."""
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
            if self._open_waits is not None and before is not after:
                self._open_waits.changed(before, after)
            if not self._unobserved and self._bound is None:
                self._settle_unobserved()

    def _tell_change(self, tx: Transition) -> None:
        assert self._on_change is not None  # noqa: S101 - the caller has checked
        try:
            self._on_change(self, tx.time_before, tx.time_after)
        except Exception:  # noqa: BLE001 - a user's function must not break the machine
            _log.exception("[%s] on_change raised", self.id)

    def _queue_autos(self, tx: Transition) -> None:
        autos = self._config.autos
        move = tx.move
        if not (move.ticks and move.follow_up) or self._disposing:
            return
        names = tuple(self._relations.names[at] for at in autos)
        mutation = Mutation(Kind.ADD, names, auto=True, cause=tx.mutation)
        mutation.failures = tx.mutation.failures
        if mutation.failures < _MAX_FAILURES and mutation.depth <= self._options.chain_limit:
            self._put_first(mutation, tx)
            return
        loop = loop_of(mutation, self.id, tx.handler)
        _log.error("[%s] gives up on %s: %s", self.id, ", ".join(names), loop.text)

    # -- handlers ------------------------------------------------------------------------

    def _call(
        self, tx: Transition, calls: Sequence[Call], owners: Owners, final: bool = False
    ) -> Call | None:
        """Call handlers; each must return in time, and without an error.

        Args:
            owners: the owners of the groups of handlers.
            final: whether to ignore their return values, but for coroutines.

        Returns:
            The first negotiation handler that said no.
        """
        tracers = self._tracers
        limit, clock = self._options.handler_timeout, self._options.clock
        now = clock()
        for call in calls:
            tx.handler = call.name
            self._since = began = now
            if tracers:
                answer = self._call_traced(tx, call, owners[call.group])
            else:
                try:
                    if call.method:  # inlined, as most handlers declare no parameters
                        answer = getattr(owners[call.group], call.method)()
                    elif call.function is not None:
                        answer = call.function()
                    else:
                        answer = call.handler.invoke(owners[call.group], tx)
                except Exception as error:  # noqa: BLE001 - it is handed on
                    self._raised(tx, call, error)
            now = clock()
            if now - began > limit:
                self._overran(tx, call, now - began, answer)
            if answer is True or (answer is None and call.none_accepts):
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

        States that only a rejected one implied are rejected with it.
        """
        struck: set[int] = set()
        if plan is not None and bound is not None and plan.negotiation:
            struck = self._strike(tx, plan, bound[1])
        target = move.target.order
        kept = tuple(at for at in move.called if at in target and at not in struck)
        rest = self._relations.move(move.before, Kind.ADD, kept, True)
        tx.move = rest
        return rest, None if bound is None else bound[0].plan(rest)

    def _strike(self, tx: Transition, plan: Plan, owners: Owners) -> set[int]:
        """Return the Auto states that their handlers reject.

        The pairs to ask are settled when the first pair is asked: pairs of states
        that were struck before, by their Enter handlers, are left out.
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
            raise Stopped
        return struck

    def _reject(self, tx: Transition, call: Call) -> NoReturn:
        self._note("ops", f"[cancel] ({' '.join(tx.target)}) by {call.name}")
        raise Stopped

    def _may_strike(self, call: Call) -> bool:
        """True if a rejection concerns one Auto state, and not the whole auto mutation."""
        role, state, other = call.handler.place
        if role is Role.ENTER:
            return self._relations.auto[state]
        return role is Role.BETWEEN and state != other and self._relations.auto[other]

    def _refuses(self, tx: Transition, call: Call, answer: Any) -> bool:
        """True if a negotiation handler said no; other answers than yes and no are errors."""
        if answer is not False:
            if hasattr(answer, "close"):
                answer.close()  # a coroutine that will not be awaited
            text = f"{call.name} returned {answer!r}; it may return True, False or None"
            if answer is None:
                text = f"{call.name} returned None and is declared '-> bool'"
            hint = "Return True or False; bool(...) makes one of any value."
            error = InvalidHandler(text, handler=call.name, machine=self.id, hint=hint)
            self._raised(tx, call, error)
        return True

    def _start(self, tx: Transition, call: Call, work: Any) -> None:
        """Begin the task of an `async def` handler; other results are ignored."""
        if not asyncio.iscoroutine(work):
            return
        place = call.handler.place
        try:
            self._context(place[1] if place[0] is Role.STATE else -1)._start(work, call.name)
        except Exception as error:  # noqa: BLE001 - it is handed on
            self._raised(tx, call, error)
