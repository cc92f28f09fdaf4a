"""Attributes of a machine with an engine, and what its queue, failures and engine share.

A machine without observers (no handlers, tracers, waits or contexts) is `_m_unobserved`,
and its mutations take a short way in `machine.Machine.add` and its sisters: a lookup
of the outcome, auto states included, and an addition.

Private names of the classes of a machine begin with `_m_`, so that those of a user's
subclass are free: a subclass with a `_queue` or a `_reject` of its own works.

The methods that raise NotImplementedError are hooks: the queue, which is below
the engine and the lifecycle, calls them to carry out a mutation and to end the machine.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from typing import Any, TypeAlias
from weakref import WeakValueDictionary

from machine.core.handlers import Binding
from machine.core.mutation import Mutation
from machine.core.options import Options
from machine.core.plans import HandlerTable
from machine.core.subclasses import attributes_of
from machine.core.when import When
from machine.errors import MachineError
from machine.rules.kinds import Kind
from machine.rules.resolution import Move, Relations
from machine.schema.arguments import check_arguments, check_names

__all__ = ["UNREAD", "Attributes", "Base"]

UNREAD = -1
Attributes: TypeAlias = tuple[tuple[str, ...], dict[str, object]]

_log = logging.getLogger("machine")
_MAX_LATE = 10  # timeouts that a machine remembers
_MOVES = {Kind.ADD: "adds", Kind.REMOVE: "removes", Kind.SET: "sets"}


class Base(When):
    """Attributes of a machine with an engine; see `machine.Machine`."""

    __slots__ = (
        "_m_attributes_read",
        "_m_backoff_until",
        "_m_bindings",
        "_m_bound",
        "_m_busy",
        "_m_children",
        "_m_late",
        "_m_on_change",
        "_m_on_dispose",
        "_m_on_error",
        "_m_options",
        "_m_parent",
        "_m_pending",
        "_m_since",
        "_m_tags",
        "_m_transitions",
    )

    def __init__(self, relations: Relations, id: str, options: Options) -> None:  # noqa: A002
        super().__init__(relations, id)
        self._m_on_error: Callable[[BaseException], object] | None = None
        self._m_on_change: Callable[[Any, Any, Any], object] | None = None
        self._m_options = options
        if options.eager:
            self._m_starting = deque()
        self._m_busy = threading.Lock()
        self._m_pending = 0
        self._m_transitions = 0
        self._m_since = 0.0
        # One attribute, so that its reader has owners that fit the plans of the table.
        self._m_bound: tuple[HandlerTable, tuple[object, ...]] | None = None
        self._m_bindings: tuple[Binding, ...] = ()
        # What a subclass's attributes were when handlers were last looked for among them: their
        # number, which costs each mutation little to compare, while a `__setattr__` would cost
        # much; if there were handlers, their names and these; None if instances have no dict.
        self._m_attributes_read: int | Attributes | None = None
        self._m_late: tuple[MachineError, ...] = ()
        self._m_backoff_until = 0.0
        self._m_on_dispose: list[Callable[[], object]] | None = None
        self._m_parent: Base | None = None
        self._m_children: WeakValueDictionary[int, Any] | None = None
        self._m_tags: tuple[str, ...] = ()

    @property
    def on_error(self) -> Callable[[BaseException], object] | None:
        """Called with each error that the machine gets; a subclass may have a method instead."""
        return self._m_on_error

    @on_error.setter
    def on_error(self, function: Callable[[BaseException], object] | None) -> None:
        self._m_on_error = function

    def __getstate__(self) -> object:
        """The attributes of a subclass, for pickles and copies; the machine's own are apart."""
        return attributes_of(self)

    # -- hooks ---------------------------------------------------------------------------

    def _m_perform(self, mutation: Mutation) -> bool:
        """Carry out a mutation; True if it was executed. The engine does it."""
        raise NotImplementedError

    def _m_finish_dispose(self) -> None:
        """End the machine, whose lock is held. The lifecycle does it."""
        raise NotImplementedError

    def _m_close(self) -> None:
        """End the contexts and states of a machine that has ended. The lifecycle does it."""
        raise NotImplementedError

    def _m_is_draining(self) -> bool:
        return self._m_busy.locked()

    # -- moves ---------------------------------------------------------------------------

    def _m_find(self, kind: Kind, states: tuple[Any, ...]) -> Move:
        """Return the move of an unobserved mutation, and keep it by the caller's arguments."""
        config = self._m_config
        names = self._m_names(states)
        move = self._m_relations.move(config, kind, self._m_indexes(names))
        if kind is not Kind.REMOVE and not self._m_relations.needs_args.isdisjoint(names):
            return move  # not kept, so that its arguments are checked each time
        if all(isinstance(state, str) for state in states):
            getattr(config, _MOVES[kind])[states] = move
        return move

    def _m_settle_unobserved(self) -> None:
        """Work out whether the machine has observers; the lock is held.

        A new observer registers first and clears the flag afterwards, at any
        time. The flag is set here only, and the observers are looked for once
        more after that: so either the observer or this sees the other.
        """
        self._m_unobserved = False
        if not self._m_is_observed():
            self._m_unobserved = True
            if self._m_is_observed():
                self._m_unobserved = False

    def _m_is_observed(self) -> bool:
        return bool(
            self._m_bound
            or self._m_tracers
            or self._m_open_waits
            or self._m_contexts
            or self._m_disposing
            or self._m_backoff_until
            or self._m_on_change
            or self._m_attributes_read == UNREAD
        )

    # -- errors --------------------------------------------------------------------------

    def _m_record(self, error: BaseException) -> None:
        self._m_err = error
        function = self.on_error
        if function is not None:
            try:
                function(error)
            except Exception:  # noqa: BLE001 - a user's function must not break the machine
                _log.exception("[%s] on_error raised", self.id)

    def _m_remember_late(self, error: MachineError) -> None:
        self._m_late = (*self._m_late, error)[-_MAX_LATE:]

    def _m_backing_off(self) -> bool:
        if self._m_backoff_until > self._m_options.clock():
            return True
        self._m_backoff_until = 0.0
        return False

    def _m_check_args(self, mutation: Mutation) -> None:
        """Check the arguments against those that the called states declare, and complete them.

        Raises:
            InvalidArgument: they are others.
        """
        values = mutation.values
        if values:
            check_names(values, self.id)
        if mutation.kind is Kind.REMOVE:
            return
        schema = self._m_relations.schema
        for name in mutation.called:
            wanted = schema[name].args
            if wanted is not None:
                found = check_arguments(mutation.args, values, wanted, name, self.id)
                if found is not values:
                    mutation._values = {**found, **mutation.values}
