"""The inside of a machine: its state, its queue, and who works the queue off.

Theory of operation
-------------------

A machine has one queue and no thread or task of its own. Whoever mutates it
while nobody else does becomes the drainer: it carries out its own mutation and
everything that is queued meanwhile, by handlers or by other threads, before
its call returns. Whoever comes while somebody drains leaves a mutation in the
queue and is told `queued`. The lock that elects the drainer is only ever
tried, never waited for, so that nothing can deadlock on it.

Between looking into the queue for the last time and letting go of the lock,
another thread may have queued something and gone away. So the queue is looked
at once more after the lock was let go.

A transition replaces the list of ticks as a whole, so that other threads see
all of it or nothing. The configuration (which states are active, in which
order) is replaced in the same way.

A machine that nobody looks at (no handlers, tracers, waits or contexts) takes
a short way in `machine.Machine.add` and its sisters: a lookup of what the
mutation comes to, auto states included, and an addition.
"""

from __future__ import annotations

import contextvars
import logging
import threading
import time
from array import array
from asyncio import AbstractEventLoop
from collections import deque
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from machine._arguments import check_arguments
from machine._compile import Compiled, Configuration, Move
from machine.contexts import StateContext
from machine.errors import MutationLoop, UnknownState
from machine.kinds import Kind
from machine.mutation import Event, Mutation, Source, source_of
from machine.options import Options
from machine.result import CANCELED, EXECUTED, Result
from machine.schema import EXCEPTION
from machine.tracer import Tracer
from machine.transition import Transition
from machine.waits import Wait

if TYPE_CHECKING:
    from machine._plans import Shape
    from machine._waiters import Waiters
    from machine.binding import Binding

__all__ = ["Core", "binding", "loop_of", "zeros"]

_log = logging.getLogger("machine")
_queueing = threading.Lock()  # over what is added to a queue, of any machine
binding = threading.Lock()  # over who binds handlers and tracers, to any machine
_MOVES = {Kind.ADD: "adds", Kind.REMOVE: "removes", Kind.SET: "sets"}


class Core:
    """What all parts of a machine share; see `machine.Machine`."""

    __slots__ = (
        "__weakref__",
        "_backoff_until",
        "_bindings",
        "_bound",
        "_busy",
        "_children",
        "_compiled",
        "_config",
        "_contexts",
        "_disposed",
        "_disposing",
        "_err",
        "_gone",
        "_loop",
        "_on_change",
        "_on_dispose",
        "_options",
        "_parent",
        "_pending",
        "_plain",
        "_queue",
        "_queue_tick",
        "_running",
        "_since",
        "_tags",
        "_thread",
        "_ticks",
        "_tracers",
        "_transition",
        "_transitions",
        "_waiters",
        "id",
        "machine_tick",
        "on_error",
    )

    id: str
    on_error: Callable[[BaseException], object] | None

    def __init__(self, compiled: Compiled, id: str, options: Options) -> None:  # noqa: A002
        self.id = id
        self.machine_tick = 0
        self.on_error = None
        self._on_change: Callable[[Any, Any, Any], object] | None = None
        self._compiled = compiled
        self._config: Configuration = compiled.empty
        self._ticks = zeros(len(compiled.names))
        self._options = options
        self._busy = threading.Lock()
        self._plain = True
        self._queue: deque[Mutation] | None = None
        self._queue_tick = 1
        self._pending = 0
        self._transition: Transition | None = None
        self._transitions = 0
        self._thread = 0
        self._running = ""
        self._since = 0.0
        # In one, so that who reads it has owners that fit the plans of the shape.
        self._bound: tuple[Shape, tuple[object, ...]] | None = None
        self._bindings: tuple[Binding, ...] = ()
        self._tracers: tuple[Tracer, ...] = ()
        self._contexts: dict[int, StateContext] | None = None
        self._waiters: Waiters | None = None
        self._err: BaseException | None = None
        self._loop: AbstractEventLoop | None = None
        self._backoff_until = 0.0
        self._disposing = False
        self._disposed = False
        self._on_dispose: list[Callable[[], object]] | None = None
        self._gone: tuple[Wait, ...] = ()
        self._parent: Core | None = None
        self._children: WeakValueDictionary[int, Core] | None = None
        self._tags: tuple[str, ...] = ()

    # -- what the parts provide ----------------------------------------------------------

    def _perform(self, mutation: Mutation) -> bool:
        raise NotImplementedError

    def _finish_dispose(self) -> None:
        raise NotImplementedError

    def not_(self, *states: Any) -> bool:
        raise NotImplementedError

    def _context(self, state: int) -> StateContext:
        raise NotImplementedError

    # -- states by name ------------------------------------------------------------------

    def _names(self, states: Iterable[object]) -> tuple[str, ...]:
        """State names, once each, of what a caller gave."""
        names: dict[str, None] = {}
        index = self._compiled.index
        for given in states:
            if isinstance(given, str):
                one: Iterable[object] = (given,)
            elif isinstance(given, Iterable):
                one = given
            else:
                one = (given,)
            for name in one:
                if not isinstance(name, str) or name not in index:
                    raise UnknownState(str(name), self.id, known=self._compiled.names)
                names[name] = None
        return tuple(names)

    def _indexes(self, names: Iterable[str]) -> tuple[int, ...]:
        index = self._compiled.index
        return tuple(index[name] for name in names)

    def _find(self, kind: Kind, states: tuple[Any, ...]) -> Move:
        """The move of a plain mutation, and remember it by what the caller wrote."""
        config = self._config
        move = self._compiled.move(config, kind, self._indexes(self._names(states)))
        if all(isinstance(state, str) for state in states):
            getattr(config, _MOVES[kind])[states] = move
        return move

    def _settle_plain(self) -> None:
        """Work out whether anybody looks on.

        Who begins to look registers first and clears the flag afterwards, so
        it is looked at once more after it was set.
        """
        self._plain = False
        if not self._is_watched():
            self._plain = True
            if self._is_watched():
                self._plain = False

    def _is_watched(self) -> bool:
        return bool(
            self._bound
            or self._tracers
            or self._waiters
            or self._contexts
            or self._disposing
            or self._backoff_until
            or self._on_change
        )

    # -- mutating ------------------------------------------------------------------------

    def _mutate(
        self,
        kind: Kind,
        memo: dict[tuple[str, ...], Move],
        states: tuple[Any, ...],
        args: object,
        source: Event | Source | None = None,
    ) -> Result:
        """The long way of a mutation: look at everything, then run or queue it."""
        if self._disposing:
            return CANCELED
        if self._backoff_until and kind is not Kind.SET and self._backing_off():
            return CANCELED
        move: Move | None = None
        try:
            move = memo[states]
            names = move.names
        except (KeyError, TypeError):  # not seen yet, or a list among them
            names = self._names(states)
            if self._transition is None:
                self._find(kind, states)
        nested = self._transition is not None
        if nested and kind is Kind.REMOVE and not self._queue and self.not_(*names):
            return EXECUTED
        mutation = Mutation(kind, names, args)
        mutation._move = move
        if source is not None:
            mutation.source = source_of(source)
        if args is not None:
            self._check_args(mutation)
        if self._busy.acquire(False):
            if not self._queue:
                self._queue_tick += 1
                return self._drain_with(mutation)
            self._busy.release()
        return self._enqueue(mutation)

    def _enqueue(self, mutation: Mutation, *, limited: bool = True) -> Result:
        if limited and self._is_refused(mutation):
            self._drain()  # we may have held the lock when others wanted to
            return CANCELED
        same = self._collapses(mutation)
        if same is not None:
            self._note("ops", f"[queue:skipped] Duplicate detected for {mutation}")
            self._drain()
            return same.final
        self._trace_cause(mutation)
        with _queueing:
            if self._queue is None:
                self._queue = deque()
            self._pending += 1
            mutation.queue_tick = self._queue_tick + self._pending
            result = _queued(mutation, mutation.queue_tick)
            self._queue.append(mutation)
        for tracer in self._tracers:
            tracer.mutation_queued(self._self, mutation)
        self._drain()
        return result.final

    def _is_refused(self, mutation: Mutation) -> bool:
        """True if the queue is full, and this mutation does not change Exception."""
        queue = self._queue
        if queue is None or len(queue) < self._options.queue_limit:
            return False
        if EXCEPTION not in mutation.called or mutation.kind is Kind.SET:
            return True
        return (EXCEPTION in self._config.active) is (mutation.kind is Kind.ADD)

    def _prepend(self, mutation: Mutation) -> Result:
        """Put a mutation before all others, and run it if nobody drains."""
        self._trace_cause(mutation)
        result = _queued(mutation, 2)
        with _queueing:
            if self._queue is None:
                self._queue = deque()
            self._queue.appendleft(mutation)
        for tracer in self._tracers:
            tracer.mutation_queued(self._self, mutation)
        self._drain()
        return result.final

    def _collapses(self, mutation: Mutation) -> Result | None:
        """The result of the last in the queue, if this one asks for the same again."""
        if not self._queue or mutation.args:
            return None
        try:
            last = self._queue[-1]
        except IndexError:  # another thread has just taken it
            return None
        same = (
            last.kind is mutation.kind
            and not last.args
            and not (last.auto or last.check or last._function)
            and last.queue_tick
            and set(last.called) == set(mutation.called)
        )
        multi = self._compiled.multi
        if not same or any(multi[at] for at in self._indexes(mutation.called)):
            return None
        return last.result

    def _trace_cause(self, mutation: Mutation) -> None:
        """Who made it: a handler of the running transition, or somebody else."""
        running = self._transition
        if running is None:
            return
        if self._thread != threading.get_ident():
            mutation._context = contextvars.copy_context()
            return
        if mutation.cause is None:
            mutation.set_cause(running.mutation)
        if mutation.depth > self._options.chain_limit:
            raise loop_of(mutation, self.id, self._running)

    # -- draining ------------------------------------------------------------------------

    def _drain_with(self, mutation: Mutation) -> Result:
        """Run a mutation, then the queue; the lock is held, and let go of."""
        interrupt: BaseException | None = None
        executed = False
        self._thread = threading.get_ident()
        try:
            try:
                executed = self._perform(mutation)
            except BaseException as error:  # noqa: BLE001 - raised below, after the queue
                interrupt = error
            while self._queue:
                interrupt = self._next(interrupt)
        finally:
            self._end_drain()
        if self._queue:
            self._drain()
        if interrupt is not None:
            raise interrupt
        return EXECUTED if executed else CANCELED

    def _drain(self) -> None:
        """Work the queue off, unless somebody does."""
        interrupt: BaseException | None = None
        while self._queue and self._busy.acquire(False):
            self._thread = threading.get_ident()
            try:
                while self._queue:
                    interrupt = self._next(interrupt)
            finally:
                self._end_drain()
        if interrupt is not None:
            raise interrupt

    def _next(self, interrupt: BaseException | None) -> BaseException | None:
        queue = self._queue
        assert queue is not None  # noqa: S101 - the caller has looked
        with _queueing:
            mutation = queue.popleft()
            if mutation.queue_tick:
                self._pending -= 1
                self._queue_tick += 1
        executed = False
        try:
            if mutation._context is None:
                executed = self._run_one(mutation)
            else:
                executed = mutation._context.run(self._run_one, mutation)
        except BaseException as error:
            if interrupt is not None:
                raise  # the second one: somebody really wants to get out
            interrupt = error
        finally:
            if mutation.result is not None:
                mutation.result._settle(EXECUTED if executed else CANCELED)
            if self._waiters is not None:
                self._waiters.queue_moved(self._queue_tick)
        return interrupt

    def _run_one(self, mutation: Mutation) -> bool:
        if mutation._function is not None:
            mutation._function()
            return True
        return self._perform(mutation)

    def _end_drain(self) -> None:
        """Nobody drains any more: let go of the lock, whatever else happens."""
        self._transition = None
        self._thread = 0
        try:
            self._after_drain()
        finally:
            self._busy.release()
        waiters = self._waiters
        if waiters is not None and not self._busy.locked():
            waiters.queue_ended(self._queue_tick)  # who came after we had looked

    def _after_drain(self) -> None:
        for tracer in self._tracers:
            tracer.queue_end(self._self)
        if self._waiters is not None:
            self._waiters.queue_ended(self._queue_tick)
        if self._disposing and not self._disposed:
            self._finish_dispose()

    def _drop_queue(self) -> None:
        """Cancel all that waits; the queue's ticks pass."""
        queue = self._queue
        while queue:
            with _queueing:
                mutation = queue.popleft()
                if mutation.queue_tick:
                    self._pending -= 1
                    self._queue_tick += 1
            if mutation.result is not None:
                mutation.result._settle(CANCELED)
        if self._waiters is not None:
            self._waiters.queue_moved(self._queue_tick)

    # -- errors --------------------------------------------------------------------------

    def _record(self, error: BaseException) -> None:
        self._err = error
        if self.on_error is not None:
            try:
                self.on_error(error)
            except Exception:  # noqa: BLE001 - a user's function
                _log.exception("[%s] on_error raised", self.id)

    def _background_failed(self, error: BaseException, state: str, name: str) -> None:
        """A task of a state has raised: it becomes the machine's error."""
        raise NotImplementedError

    def _backing_off(self) -> bool:
        if self._backoff_until > time.monotonic():
            return True
        self._backoff_until = 0.0
        self._settle_plain()
        return False

    def _check_args(self, mutation: Mutation) -> None:
        values = mutation.values
        schema = self._compiled.schema
        for name in mutation.called:
            wanted = schema[name].args
            if wanted is not None:
                check_arguments(mutation.args, values, wanted, name, self.id)

    def _note(self, level: str, text: str) -> None:
        for tracer in self._tracers:
            tracer.note(self._self, level, text)

    @property
    def _self(self) -> Any:
        return self  # as a Machine, for those who are given one


def _queued(mutation: Mutation, tick: int) -> Result:
    result = mutation.result = Result(tick, Wait(f"{mutation} to run"))
    return result


def zeros(count: int) -> array[int]:
    """So many clocks that have not ticked. An array, because it is copied at each commit."""
    return array("Q", bytes(8 * count))


def loop_of(mutation: Mutation, machine: str, handler: str) -> MutationLoop:
    """The error of a mutation with too many causes."""
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
