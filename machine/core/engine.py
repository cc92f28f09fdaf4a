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
`_m_perform` does the commit inline, plans say which handlers take no arguments, and
observers are asked for only where there are some.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Any, NoReturn, TypeAlias

from machine.core import watchdog
from machine.core.attempts import limited
from machine.core.failures import Failures, Stopped
from machine.core.handlers import Role
from machine.core.mutation import Mutation
from machine.core.plans import Call, HandlerTable, Plan
from machine.core.queue import loop_of
from machine.core.transition import Transition
from machine.errors import InvalidHandler
from machine.rules.kinds import Kind
from machine.rules.resolution import Move
from machine.texts import repr_of

__all__ = ["Engine"]

_log = logging.getLogger("machine")
_watched = watchdog.busy
_unwatch = watchdog.busy.pop
_new = object.__new__
_NEVER = float("inf")
_MAX_FAILURES = 10  # of handlers of Auto states, one after another, before it gives up

Owners: TypeAlias = tuple[object, ...]
Bound: TypeAlias = tuple[HandlerTable, Owners]


class Engine(Failures):
    """Transitions."""

    __slots__ = ()

    def _m_perform(self, mutation: Mutation) -> bool:  # noqa: C901 - frames are what it costs
        move = mutation._move
        if move is None or move.before is not self._m_config:
            called = self._m_indexes(mutation.called)
            move = self._m_relations.move(self._m_config, mutation.kind, called, mutation.auto)
        self._m_transitions += 1
        before = self._m_ticks
        tx = _new(Transition)  # inlined: its __init__ costs as much as a handler's call
        tx.machine, tx.mutation, tx.move = self, mutation, move
        tx.accepted, tx.number, tx.ticks_before = move.accepted, self._m_transitions, before
        self._m_transition = tx
        if mutation.check and not tx.accepted:
            tx.accepted = any(self._m_relations.multi[at] for at in move.called)
        tracers, bound, plan = self._m_tracers, self._m_bound, None
        if tracers:
            for tracer in tracers:
                tracer.transition_init(tx)
                tracer.transition_start(tx)
        try:
            if not tx.accepted:
                return False
            if bound is not None:
                plan = bound[0].plans.get(move) or bound[0].plan(move)  # known is the usual case
                self._m_since = _NEVER  # until the first handler begins
                _watched[self._m_busy] = self
                if watchdog.asleep:
                    watchdog.wake()
                if plan.negotiation and not mutation.auto:
                    refused = self._m_call(tx, plan.negotiation, bound[1])
                    if refused is not None:
                        self._m_reject(tx, refused)
            if mutation.check:
                return True
            if mutation.auto:
                move, plan = self._m_negotiate_auto(tx, move, bound, plan)
            ticks = before[:]
            for at, more in move.ticks:
                ticks[at] += more
            self._m_ticks = tx._ticks_after = ticks
            self._m_config = target = move.target
            self._m_active = target.active
            tx.committed = True
            if self._m_contexts:
                self._m_expire(move.ticks)
            if tracers:
                for tracer in tracers:
                    tracer.transition_finals(tx)
            if plan is not None and plan.finals and bound is not None:
                try:
                    self._m_call(tx, plan.finals, bound[1], final=True)
                except BaseException:
                    self._m_take_back(tx, move, plan.finals)
                    raise
            if self._m_open_waits is not None:
                self._m_open_waits.reached(move.enters, len(move.enters), mutation)
        except Stopped:
            tx.accepted = False
        except BaseException:
            tx.accepted = False
            raise
        finally:
            if bound is not None:
                _unwatch(self._m_busy, None)
            if (
                plan is None
                or tracers
                or self._m_open_waits is not None
                or self._m_on_change is not None
                or self._m_config.autos
            ):
                self._m_conclude(tx)
            else:
                tx.completed = True
        return tx.accepted and move.goal_met

    def _m_conclude(self, tx: Transition) -> None:
        """End a transition, with any outcome of its handlers."""
        mutation = tx.mutation
        before, after = tx.ticks_before, self._m_ticks
        if tx._ticks_after is None:
            tx._ticks_after = after
        try:
            try:
                if self._m_on_change is not None and not mutation.check:
                    self._m_tell_change(tx)
            finally:  # also after an interrupt
                changed = before is not after
                if tx.accepted and changed and self._m_config.autos and not mutation.auto:
                    self._m_queue_autos(tx)
                tx.completed = True
                for tracer in self._m_tracers:
                    tracer.transition_end(tx)
        finally:
            if self._m_open_waits is not None and before is not after:
                self._m_open_waits.changed(before, after)
            if not self._m_unobserved and self._m_bound is None:
                self._m_settle_unobserved()

    def _m_tell_change(self, tx: Transition) -> None:
        assert self._m_on_change is not None  # noqa: S101 - the caller has checked
        try:
            self._m_on_change(self, tx.time_before, tx.time_after)
        except Exception:  # noqa: BLE001 - a user's function must not break the machine
            _log.exception("[%s] on_change raised", self.id)

    def _m_queue_autos(self, tx: Transition) -> None:
        autos = self._m_config.autos
        move = tx.move
        if not (move.ticks and move.follow_up) or self._m_disposing:
            return
        names = tuple(self._m_relations.names[at] for at in autos)
        mutation = Mutation(Kind.ADD, names, auto=True, cause=tx.mutation)
        mutation.failures = tx.mutation.failures
        if mutation.failures < _MAX_FAILURES and mutation.depth <= self._m_options.chain_limit:
            self._m_put_first(mutation, tx)
            return
        loop = loop_of(mutation, self.id, tx.handler)
        _log.error("[%s] gives up on %s: %s", self.id, ", ".join(names), loop.text)

    # -- handlers ------------------------------------------------------------------------

    def _m_call(
        self, tx: Transition, calls: Sequence[Call], owners: Owners, final: bool = False
    ) -> Call | None:
        """Call handlers; each must return in time, and without an error.

        Args:
            owners: the owners of the groups of handlers.
            final: whether to ignore their return values, but for coroutines.

        Returns:
            The first negotiation handler that said no.
        """
        tracers = self._m_tracers
        limit, clock = self._m_options.handler_timeout, self._m_options.clock
        now = clock()
        for call in calls:
            tx.handler = call.name
            self._m_since = began = now
            if tracers:
                answer = self._m_call_traced(tx, call, owners[call.group])
            else:
                try:
                    if call.method:  # inlined, as most handlers declare no parameters
                        answer = getattr(owners[call.group], call.method)()
                    elif call.function is not None:
                        answer = call.function()
                    else:
                        answer = call.handler.invoke(owners[call.group], tx)
                except Exception as error:  # noqa: BLE001 - it is handed on
                    self._m_raised(tx, call, error)
            now = clock()
            if now - began > limit:
                self._m_overran(tx, call, now - began, answer)
            if (answer is None and call.none_accepts) or answer is True:
                continue
            if final:
                self._m_start(tx, call, answer, owners[call.group])
            elif self._m_refuses(tx, call, answer):
                return call
        return None

    def _m_call_traced(self, tx: Transition, call: Call, owner: object) -> Any:
        """Call one handler, with tracers before and after it."""
        for tracer in self._m_tracers:
            tracer.handler_start(tx, call.handler)
        answer: Any = False
        try:
            answer = call.handler.invoke(owner, tx)
        except Exception as error:  # noqa: BLE001 - it is handed on
            self._m_raised(tx, call, error)
        finally:
            for tracer in self._m_tracers:
                tracer.handler_end(tx, call.handler, answer is not False)
        return answer

    def _m_negotiate_auto(
        self, tx: Transition, move: Move, bound: Bound | None, plan: Plan | None
    ) -> tuple[Move, Plan | None]:
        """Ask the handlers of an auto mutation, which may reject single states.

        States that only a rejected one implied are rejected with it.
        """
        struck: set[int] = set()
        if plan is not None and bound is not None and plan.negotiation:
            struck = self._m_strike(tx, plan, bound[1])
        target = move.target.order
        kept = tuple(at for at in move.called if at in target and at not in struck)
        rest = self._m_relations.move(move.before, Kind.ADD, kept, True)
        tx.move = rest
        return rest, None if bound is None else bound[0].plan(rest)

    def _m_strike(self, tx: Transition, plan: Plan, owners: Owners) -> set[int]:
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
            if self._m_call(tx, (call,), owners) is not None:
                if not self._m_may_strike(call):
                    self._m_reject(tx, call)
                struck.add(other if role is Role.BETWEEN else state)
                skip = call.name
        if struck and struck.issuperset(target):
            raise Stopped
        return struck

    def _m_reject(self, tx: Transition, call: Call) -> NoReturn:
        self._m_note("ops", f"[cancel] ({' '.join(tx.target)}) by {call.name}")
        raise Stopped

    def _m_may_strike(self, call: Call) -> bool:
        """True if a rejection concerns one Auto state, and not the whole auto mutation."""
        role, state, other = call.handler.place
        if role is Role.ENTER:
            return self._m_relations.auto[state]
        return role is Role.BETWEEN and state != other and self._m_relations.auto[other]

    def _m_refuses(self, tx: Transition, call: Call, answer: Any) -> bool:
        """True if a negotiation handler said no; other answers than yes and no are errors."""
        if answer is not False:
            if asyncio.iscoroutine(answer):
                answer.close()  # it will not be awaited
            text = f"{call.name} returned {repr_of(answer)}; it may return True, False or None"
            if answer is None:
                text = f"{call.name} returned None and is declared '-> bool'"
            hint = "Return True or False; bool(...) makes one of any value."
            error = InvalidHandler(text, handler=call.name, machine=self.id, hint=hint)
            self._m_raised(tx, call, error)
        return True

    def _m_seen_late(self, before: Sequence[int]) -> None:
        """Serve an observer that was attached during an unobserved mutation."""
        if self._m_open_waits is not None:
            self._m_open_waits.changed(before, self._m_ticks)
            self._m_tell_ended()
        self._m_expire_old()
        self._m_dispose_if_due()

    def _m_start(self, tx: Transition, call: Call, work: Any, owner: object) -> None:
        """Begin the task of an `async def` handler; other results are ignored."""
        if not asyncio.iscoroutine(work):
            return
        place = call.handler.place
        try:
            context = self._m_context(place[1] if place[0] is Role.STATE else -1)
            limits = self._m_relations.limits
            if limits and place[1] in limits and call.handler.is_async:
                work = limited(self, call.handler, owner, tx, work, context)
            context._start(work, call.name)
        except Exception as error:  # noqa: BLE001 - it is handed on
            self._m_raised(tx, call, error)
