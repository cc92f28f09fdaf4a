"""The queue of a machine, and its drain.

Theory of operation
-------------------

A machine has one queue and no thread or task of its own. A thread that mutates an
idle machine becomes the drainer: it carries out its own mutation and all that are
queued meanwhile, by handlers or by other threads, before its call returns. A
thread that comes while another one drains leaves its mutation in the queue and
gets the result `queued`. The lock that elects the drainer is only ever tried,
never waited for, so that nothing can deadlock on it.

Between the drainer's last look into the queue and its release of the lock,
another thread may have queued a mutation and left. So a thread that has held
the lock looks into the queue once more, in every case.
"""

from __future__ import annotations

import contextvars
import threading
from collections import deque
from typing import Any

from machine.core import bindings
from machine.core.base import Base
from machine.core.mutation import DropReason, Mutation, Source
from machine.core.reasons import REFUSED, by_transition
from machine.core.transition import Event, Transition, source_of
from machine.errors import MutationLoop
from machine.rules.kinds import Kind
from machine.rules.resolution import Move
from machine.schema.schema import EXCEPTION
from machine.waits.eager import begin_all
from machine.waits.result import CANCELED, EXECUTED, Result
from machine.waits.wait import Wait

__all__ = ["Queue", "loop_of"]

_new = object.__new__
_this_thread = threading.get_ident
# Over changes of queues, of any machine. It may be taken again by its thread, as signal
# handlers and finalizers run there at any moment, and may mutate machines.
_queueing = threading.RLock()


class Queue(Base):
    """The part of a machine that takes mutations and runs them one by one."""

    __slots__ = ()

    # -- mutating ------------------------------------------------------------------------

    def _m_mutate(  # noqa: C901 - frames are what it costs
        self,
        kind: Kind,
        memo: dict[tuple[str, ...], Move],
        states: tuple[Any, ...],
        args: object,
        source: Event | Source | None = None,
    ) -> Result:
        """Check a mutation, then run or queue it: the long way, with observers."""
        if self._m_disposing:
            return self._m_refuse(kind, states, args, DropReason.DISPOSED)
        read = self._m_attributes_read
        if read is not None and len(self.__dict__) != read:  # inlined: it is seldom true
            bindings.read_attributes(self)
        if self._m_backoff_until and kind is not Kind.SET and self._m_backing_off():
            return self._m_refuse(kind, states, args, DropReason.BACKOFF)
        move: Move | None = None
        try:
            move = memo[states]
            names = move.names
        except (KeyError, TypeError):  # not seen yet, or a list among them
            names = self._m_names(states)
            if self._m_transition is None:
                self._m_find(kind, states)
        nested = self._m_transition is not None
        if nested and kind is Kind.REMOVE and not self._m_queue and self.not_(*names):
            return self._m_without_effect(kind, names, args)
        mutation = _new(Mutation)  # inlined: its __init__ costs as much as a handler's call
        mutation.kind, mutation.called, mutation._move = kind, names, move
        if source is not None:
            mutation.source = source_of(source)
        if args is not None:
            mutation.args = args
            self._m_check_args(mutation)
        elif move is None and not self._m_relations.needs_args.isdisjoint(names):
            self._m_check_args(mutation)
        if self._m_busy.acquire(False):
            if not self._m_queue:
                self._m_queue_tick += 1
                return self._m_drain_with(mutation)
            self._m_busy.release()
        return self._m_enqueue(mutation)

    def _m_enqueue(self, mutation: Mutation, *, limited: bool = True) -> Result:
        if limited and self._m_is_refused(mutation):
            self._m_dropped(mutation, DropReason.QUEUE_FULL)
            self._m_drain()  # others may have queued while this thread held the lock
            return REFUSED[DropReason.QUEUE_FULL]
        same = self._m_collapses(mutation)
        if same is not None:
            self._m_note("ops", f"[queue:skipped] Duplicate detected for {mutation}")
            self._m_dropped(mutation, DropReason.DUPLICATE)
            self._m_drain()
            return same.final
        self._m_trace_cause(mutation)
        result = _queued(mutation)
        with _queueing:
            if self._m_queue is None:
                self._m_queue = deque()
            # No call between the tick and the place in the queue, where a signal could come.
            self._m_pending += 1
            mutation.queue_tick = result.tick = self._m_queue_tick + self._m_pending
            self._m_queue.append(mutation)
        for tracer in self._m_tracers:
            tracer.mutation_queued(self, mutation)
        self._m_drain()
        return result.final

    def _m_refuse(
        self, kind: Kind, states: tuple[Any, ...], args: object, reason: DropReason
    ) -> Result:
        """Cancel a mutation before its states and arguments were looked at."""
        if self._m_tracers and not self._m_disposed:
            groups = ((one,) if isinstance(one, str) else one for one in states)
            called = {name: None for group in groups for name in group if isinstance(name, str)}
            self._m_dropped(Mutation(kind, tuple(called), args), reason)
        return REFUSED[reason]

    def _m_without_effect(self, kind: Kind, names: tuple[str, ...], args: object) -> Result:
        if self._m_tracers:
            self._m_dropped(Mutation(kind, names, args), DropReason.NO_EFFECT)
        return EXECUTED

    def _m_dropped(self, mutation: Mutation, reason: DropReason) -> None:
        for tracer in self._m_tracers:
            tracer.mutation_dropped(self, mutation, reason)

    def _m_is_refused(self, mutation: Mutation) -> bool:
        """True if the queue is full, and this mutation does not change Exception."""
        queue = self._m_queue
        if queue is None or len(queue) < self._m_options.queue_limit:
            return False
        if EXCEPTION not in mutation.called or mutation.kind is Kind.SET:
            return True
        return (EXCEPTION in self._m_config.active) is (mutation.kind is Kind.ADD)

    def _m_prepend(self, mutation: Mutation) -> Result:
        """Put a mutation before all others, and run it if no thread drains."""
        self._m_trace_cause(mutation)
        result = _queued(mutation)
        with _queueing:
            if self._m_queue is None:
                self._m_queue = deque()
            self._m_queue.appendleft(mutation)
        if mutation._function is None:
            for tracer in self._m_tracers:
                tracer.mutation_queued(self, mutation)
        self._m_drain()
        return result.final

    def _m_collapses(self, mutation: Mutation) -> Result | None:
        """Return the result of the last one in the queue, if this one asks for the same again."""
        if not self._m_queue or mutation.args:
            return None
        try:
            last = self._m_queue[-1]
        except IndexError:  # another thread has just taken it
            return None
        same = (
            last.kind is mutation.kind
            and not last.args
            and not (last.auto or last.check or last._function)
            and last.queue_tick
            and set(last.called) == set(mutation.called)
        )
        multi = self._m_relations.multi
        if not same or any(multi[at] for at in self._m_indexes(mutation.called)):
            return None
        return last.result

    def _m_trace_cause(self, mutation: Mutation) -> None:
        """Set the cause: the running transition, if this thread carries it out."""
        running = self._m_transition
        if running is None:
            return
        if self._m_thread != _this_thread():
            mutation._context = contextvars.copy_context()
            return
        if mutation.cause is None:
            mutation.set_cause(running.mutation)
        if mutation.depth > self._m_options.chain_limit:
            raise loop_of(mutation, self.id, running.handler)

    @property
    def in_handler(self) -> bool:
        """True on the thread that carries out a transition of this machine, as in its handlers."""
        return self._m_thread == _this_thread() and self._m_transition is not None

    # -- draining ------------------------------------------------------------------------

    def _m_drain_with(self, mutation: Mutation) -> Result:
        """Run a mutation, then the queue; the lock is held, and released."""
        interrupt: BaseException | None = None
        executed = False
        rejected: Result = CANCELED
        self._m_thread = _this_thread()
        try:
            try:
                executed = self._m_perform(mutation)
                if not executed:  # now, as the queue leads to other transitions
                    rejected = by_transition(self._m_transition)
            except BaseException as error:  # noqa: BLE001 - raised below, after the queue
                interrupt = error
            while self._m_queue:
                interrupt = self._m_next(interrupt)
        finally:
            if self._m_tracers or self._m_open_waits is not None or self._m_disposing:
                self._m_end_drain()
            else:
                self._m_transition = None
                self._m_thread = 0
                self._m_busy.release()
                if self._m_open_waits is not None:  # since the look above
                    self._m_tell_ended()
        if self._m_queue:
            self._m_drain()
        if self._m_disposing:
            self._m_dispose_if_due()
        if self._m_starting:
            begin_all(self._m_starting)
        if interrupt is not None:
            raise interrupt
        return EXECUTED if executed else rejected

    def _m_drain(self) -> None:
        """Work the queue off, unless another thread does."""
        interrupt: BaseException | None = None
        while self._m_queue and self._m_busy.acquire(False):
            self._m_thread = _this_thread()
            try:
                while self._m_queue:
                    interrupt = self._m_next(interrupt)
            finally:
                self._m_end_drain()
        if self._m_disposing:
            self._m_dispose_if_due()
        if self._m_starting:
            begin_all(self._m_starting)
        if interrupt is not None:
            raise interrupt

    def _m_next(self, interrupt: BaseException | None) -> BaseException | None:
        queue = self._m_queue
        assert queue is not None  # noqa: S101 - the caller has looked
        with _queueing:
            if not queue:  # the watchdog has just emptied it
                return interrupt
            mutation = queue.popleft()
            if mutation.queue_tick:
                self._m_pending -= 1
                self._m_queue_tick += 1
        executed = False
        try:
            if mutation._context is None:
                executed = self._m_run_one(mutation)
            else:
                executed = mutation._context.run(self._m_run_one, mutation)
        except BaseException as error:
            if interrupt is not None:
                raise  # the second one: the user insists
            interrupt = error
        finally:
            if mutation.result is not None:
                mutation.result._settle(EXECUTED if executed else by_transition(self._m_transition))
            if self._m_open_waits is not None:
                self._m_open_waits.queue_moved(self._m_queue_tick)
        return interrupt

    def _m_run_one(self, mutation: Mutation) -> bool:
        if mutation._function is not None:
            self._m_transition = None
            mutation._function()
            return True
        return self._m_perform(mutation)

    def _m_end_drain(self) -> None:
        """End the drain: release the lock, also if an observer fails."""
        self._m_transition = None
        self._m_thread = 0
        try:
            self._m_after_drain()
        finally:
            self._m_busy.release()
        waits = self._m_open_waits  # `_m_tell_ended`, without its frame on each mutation
        if waits is not None and not self._m_busy.locked():
            waits.queue_ended(self._m_queue_tick)

    def _m_tell_ended(self) -> None:
        """End waits for the queue that were made while this thread held the lock."""
        waits = self._m_open_waits
        if waits is not None and not self._m_busy.locked():
            waits.queue_ended(self._m_queue_tick)

    def _m_let_go(self) -> None:
        """Release the lock outside of a drain, and serve those that came while it was held."""
        self._m_busy.release()
        try:
            self._m_drain()
        finally:
            self._m_tell_ended()

    def _m_dispose_if_due(self) -> None:
        """End the machine, if `dispose` was called while another thread held the lock."""
        if self._m_disposing and not self._m_disposed and self._m_busy.acquire(False):
            try:
                self._m_finish_dispose()
            finally:
                self._m_busy.release()

    def _m_after_drain(self) -> None:
        for tracer in self._m_tracers:
            tracer.queue_end(self)
        if self._m_open_waits is not None:
            self._m_open_waits.queue_ended(self._m_queue_tick)
        if self._m_disposed:  # by `dispose_now`, while the transition ran
            self._m_close()
        elif self._m_disposing:
            self._m_finish_dispose()

    def _m_drop_queue(self) -> None:
        """Cancel all mutations that wait; the queue's ticks pass."""
        queue = self._m_queue
        while queue:
            with _queueing:
                if not queue:
                    break
                mutation = queue.popleft()
                if mutation.queue_tick:
                    self._m_pending -= 1
                    self._m_queue_tick += 1
            if mutation.result is not None:
                mutation.result._settle(REFUSED[DropReason.CLEARED])
            if mutation._function is None:
                self._m_dropped(mutation, DropReason.CLEARED)
        if self._m_open_waits is not None:
            self._m_open_waits.queue_moved(self._m_queue_tick)

    def _m_put_first(self, mutation: Mutation, tx: Transition) -> None:
        """Put a mutation of the machine itself before all others; the lock is held."""
        mutation.source = tx.mutation.source
        with _queueing:
            if self._m_queue is None:
                self._m_queue = deque()
            self._m_queue.appendleft(mutation)
        for tracer in self._m_tracers:
            tracer.mutation_queued(self, mutation)

    def _m_mutation(
        self, kind: Kind, states: tuple[Any, ...], args: Any, source: Event | Source | None
    ) -> Mutation:
        mutation = Mutation(kind, self._m_names(states), args, source=source_of(source))
        self._m_check_args(mutation)
        return mutation


def _queued(mutation: Mutation) -> Result:
    result = mutation.result = Result(2, Wait(f"{mutation} to run"))
    return result


def loop_of(mutation: Mutation, machine: str, handler: str) -> MutationLoop:
    """Return the error of a mutation with too many causes."""
    causes: list[str] = []
    one: Mutation | None = mutation
    while one is not None and len(causes) < 6:
        causes.append(str(one))
        one = one.cause
    return MutationLoop(
        f"{mutation.depth} mutations caused each other",
        cycle=causes[::-1],
        machine=machine,
        handler=handler or None,
        source=mutation.source,
    )
