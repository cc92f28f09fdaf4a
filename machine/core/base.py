"""Attributes of a machine with an engine, and what its queue, failures and engine share.

A machine without observers (no handlers, tracers, waits or contexts) is `_unobserved`,
and its mutations take a short way in `machine.Machine.add` and its sisters: a lookup
of the outcome, auto states included, and an addition.

The two methods that raise NotImplementedError are hooks: the queue, which is below
the engine and the lifecycle, calls them to carry out a mutation and to end the machine.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any
from weakref import WeakValueDictionary

from machine.core.handlers import Binding
from machine.core.mutation import Mutation
from machine.core.options import Options
from machine.core.plans import HandlerTable
from machine.core.when import When
from machine.errors import MachineError
from machine.rules.kinds import Kind
from machine.rules.resolution import Move, Relations
from machine.schema.arguments import check_arguments, check_names

__all__ = ["Base"]

_log = logging.getLogger("machine")
_MAX_LATE = 10  # timeouts that a machine remembers
_MOVES = {Kind.ADD: "adds", Kind.REMOVE: "removes", Kind.SET: "sets"}


class Base(When):
    """Attributes of a machine with an engine; see `machine.Machine`."""

    __slots__ = (
        "_backoff_until",
        "_bindings",
        "_bound",
        "_busy",
        "_children",
        "_late",
        "_on_change",
        "_on_dispose",
        "_on_error",
        "_options",
        "_parent",
        "_pending",
        "_since",
        "_tags",
        "_transitions",
    )

    def __init__(self, relations: Relations, id: str, options: Options) -> None:  # noqa: A002
        super().__init__(relations, id)
        self._on_error: Callable[[BaseException], object] | None = None
        self._on_change: Callable[[Any, Any, Any], object] | None = None
        self._options = options
        self._busy = threading.Lock()
        self._pending = 0
        self._transitions = 0
        self._since = 0.0
        # One attribute, so that its reader has owners that fit the plans of the table.
        self._bound: tuple[HandlerTable, tuple[object, ...]] | None = None
        self._bindings: tuple[Binding, ...] = ()
        self._late: tuple[MachineError, ...] = ()
        self._backoff_until = 0.0
        self._on_dispose: list[Callable[[], object]] | None = None
        self._parent: Base | None = None
        self._children: WeakValueDictionary[int, Any] | None = None
        self._tags: tuple[str, ...] = ()

    @property
    def on_error(self) -> Callable[[BaseException], object] | None:
        """Called with each error that the machine gets; a subclass may have a method instead."""
        return self._on_error

    @on_error.setter
    def on_error(self, function: Callable[[BaseException], object] | None) -> None:
        self._on_error = function

    # -- hooks ---------------------------------------------------------------------------

    def _perform(self, mutation: Mutation) -> bool:
        """Carry out a mutation; True if it was executed. The engine does it."""
        raise NotImplementedError

    def _finish_dispose(self) -> None:
        """End the machine, whose lock is held. The lifecycle does it."""
        raise NotImplementedError

    def _is_draining(self) -> bool:
        return self._busy.locked()

    # -- moves ---------------------------------------------------------------------------

    def _find(self, kind: Kind, states: tuple[Any, ...]) -> Move:
        """Return the move of an unobserved mutation, and keep it by the caller's arguments."""
        config = self._config
        names = self._names(states)
        move = self._relations.move(config, kind, self._indexes(names))
        if kind is not Kind.REMOVE and not self._relations.needs_args.isdisjoint(names):
            return move  # not kept, so that its arguments are checked each time
        if all(isinstance(state, str) for state in states):
            getattr(config, _MOVES[kind])[states] = move
        return move

    def _settle_unobserved(self) -> None:
        """Work out whether the machine has observers; the lock is held.

        A new observer registers first and clears the flag afterwards, at any
        time. The flag is set here only, and the observers are looked for once
        more after that: so either the observer or this sees the other.
        """
        self._unobserved = False
        if not self._is_observed():
            self._unobserved = True
            if self._is_observed():
                self._unobserved = False

    def _is_observed(self) -> bool:
        return bool(
            self._bound
            or self._tracers
            or self._open_waits
            or self._contexts
            or self._disposing
            or self._backoff_until
            or self._on_change
        )

    # -- errors --------------------------------------------------------------------------

    def _record(self, error: BaseException) -> None:
        self._err = error
        function = self.on_error
        if function is not None:
            try:
                function(error)
            except Exception:  # noqa: BLE001 - a user's function must not break the machine
                _log.exception("[%s] on_error raised", self.id)

    def _remember_late(self, error: MachineError) -> None:
        self._late = (*self._late, error)[-_MAX_LATE:]

    def _backing_off(self) -> bool:
        if self._backoff_until > self._options.clock():
            return True
        self._backoff_until = 0.0
        return False

    def _check_args(self, mutation: Mutation) -> None:
        """Check the arguments against those that the called states declare, and complete them.

        Raises:
            InvalidArgument: they are others.
        """
        values = mutation.values
        if values:
            check_names(values, self.id)
        if mutation.kind is Kind.REMOVE:
            return
        schema = self._relations.schema
        for name in mutation.called:
            wanted = schema[name].args
            if wanted is not None:
                found = check_arguments(mutation.args, values, wanted, name, self.id)
                if found is not values:
                    mutation._values = {**found, **mutation.values}
