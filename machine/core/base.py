"""The inside of a machine: what all its parts share.

A transition replaces the list of ticks as a whole, so that other threads see
all of it or nothing. The configuration (which states are active, in which
order) is replaced in the same way.

A machine that nobody looks at (no handlers, tracers, waits or contexts) is
`_plain`, and takes a short way in `machine.Machine.add` and its sisters: a
lookup of what the mutation comes to, auto states included, and an addition.
"""

from __future__ import annotations

import logging
import threading
import time
from array import array
from asyncio import AbstractEventLoop, Task
from collections import deque
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from machine.core.mutation import Mutation
from machine.core.options import Options
from machine.core.tracer import GuardedTracer
from machine.core.transition import Transition
from machine.errors import InvalidArgument, MachineError, UnknownState
from machine.rules.kinds import Kind
from machine.rules.resolution import Compiled, Configuration, Move
from machine.schema.arguments import check_arguments
from machine.waits.contexts import StateContext
from machine.waits.wait import Wait

if TYPE_CHECKING:
    from machine.core.binding import Binding
    from machine.core.plans import Shape
    from machine.waits.open_waits import Waiters

__all__ = ["Core", "binding", "check_callable", "zeros"]

_log = logging.getLogger("machine")
_MOST_LATE = 10  # timeouts that a machine remembers
binding = threading.Lock()  # over who binds handlers and tracers, or makes
# what is made when it is first needed, of any machine
_MOVES = {Kind.ADD: "adds", Kind.REMOVE: "removes", Kind.SET: "sets"}


class Core:
    """What all parts of a machine share; see `machine.Machine`."""

    __slots__ = (
        "__weakref__",
        "_active",
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
        "_late",
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
        "_tasks",
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
        self._active = compiled.empty.active  # of the configuration, for `is_`
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
        self._tracers: tuple[GuardedTracer, ...] = ()
        self._contexts: dict[int, StateContext] | None = None
        self._waiters: Waiters | None = None
        self._err: BaseException | None = None
        self._loop: AbstractEventLoop | None = None
        self._tasks: set[Task[Any]] | None = None
        self._late: tuple[MachineError, ...] = ()
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
        names = self._names(states)
        move = self._compiled.move(config, kind, self._indexes(names))
        if kind is not Kind.REMOVE and not self._compiled.needy.isdisjoint(names):
            return move  # not remembered, so that its arguments are looked at each time
        if all(isinstance(state, str) for state in states):
            getattr(config, _MOVES[kind])[states] = move
        return move

    def _settle_plain(self) -> None:
        """Work out whether anybody looks on; the lock is held.

        Who begins to look registers first and clears the flag afterwards, at
        any time; it is set here only, and looked at once more after that.
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

    def _remember_late(self, error: MachineError) -> None:
        self._late = (*self._late, error)[-_MOST_LATE:]

    def _backing_off(self) -> bool:
        if self._backoff_until > time.monotonic():
            return True
        self._backoff_until = 0.0
        return False

    def _check_args(self, mutation: Mutation) -> None:
        """Compare the arguments with those that the called states declare."""
        values = mutation.values
        if mutation.kind is Kind.REMOVE:
            return
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


def zeros(count: int) -> array[int]:
    """So many clocks that have not ticked. An array, because it is copied at each commit."""
    return array("Q", bytes(8 * count))


def check_callable(function: object, argument: str) -> None:
    """Refuse what cannot be called.

    Raises:
        InvalidArgument: it cannot.
    """
    if not callable(function):
        raise InvalidArgument(
            f"{argument} is something to call, not {type(function).__name__}", argument=argument
        )
