"""A machine: many states that are active together, their relations, clocks and handlers."""

from __future__ import annotations

import itertools
import os
import typing
from asyncio import AbstractEventLoop, events
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar, overload
from weakref import WeakValueDictionary

from machine.core import bindings
from machine.core.failures import From
from machine.core.lifecycle import Lifecycle
from machine.core.mutation import DropReason, Mutation
from machine.core.options import Options, check_kinds
from machine.core.reasons import by_relations
from machine.core.snapshot import Snapshot
from machine.core.starting import begin
from machine.core.subclasses import begin_later_bases, check_names, guard_properties
from machine.core.tracer import Tracer
from machine.core.triggers import check_triggers
from machine.core.view import Names
from machine.core.when import setup_lock
from machine.errors import MachineError
from machine.rules.kinds import Kind, kind_of
from machine.rules.resolution import Move, relations_of
from machine.schema.arguments import Args
from machine.schema.drawable import Pictures
from machine.schema.schema import Schema, as_schema
from machine.schema.states import States, TypedState
from machine.times import Time
from machine.waits.result import EXECUTED, Result

__all__ = ["Machine", "schema_of"]

if TYPE_CHECKING:
    import typing_extensions

    # `Machine` without brackets is Machine[Any]: typing has defaults since Python 3.13.
    S = typing_extensions.TypeVar("S", default=Any)
else:
    S = TypeVar("S")
P = ParamSpec("P")

_DEFAULTS = Options()
_NO_HANDLERS: tuple[object, ...] = ()
_numbers = itertools.count()


class Machine(Lifecycle, Pictures, Generic[S]):
    """A machine: states that are active together, bound by relations, each with a clock.

        class DoorStates(States):
            Opened = state(remove="Closed")
            Closed = state(auto=True, remove=Opened)

        class Door(Machine[DoorStates]):
            def OpenedState(self) -> None:
                print("come in")

        door = Door()
        door.add(DoorStates.Opened)

    Mutations may come from any thread, any task and from handlers. On an idle
    machine they are carried out before the call returns, with all mutations that
    follow from them; while another thread mutates it they are queued.

    Initial states, of `state(initial=True)`, are active from the start: no handler or
    tracer sees them begin, and `start_work` begins their async work.

    Args:
        schema: a `States` class, a `Schema`, its text or mapping. A subclass
            may name it in its brackets, or with `class Door(Machine, schema=...)`.
        id: a name that is unique among the machines that one observer sees; random by default.
        handlers: objects whose methods are handlers, or mappings of handler
            names to functions; see `machine.handlers`. The methods of a
            subclass of Machine come first.
        parent: a machine that this one belongs to, and ends with. Its tracers
            get the new one by `Tracer.submachine`, and are not bound to it.
        tags: labels, such as `key:value`.
        tracers: tracers to bind first.
        options: limits and timeouts.

    Raises:
        SchemaError, InvalidHandler, InvalidArgument: an argument is wrong.

    Attributes:
        machine_tick: how often its state was imported.
    """

    __slots__ = ()

    _m_schema: Any = None

    def __init_subclass__(cls, schema: object = None, **rest: Any) -> None:
        super().__init_subclass__(**rest)
        check_names(cls, Machine)
        if schema is not None:
            cls._m_schema = as_schema(schema)
        for base in getattr(cls, "__orig_bases__", ()) if schema is None else ():
            for argument in typing.get_args(base):
                if isinstance(argument, type) and issubclass(argument, States):
                    cls._m_schema = argument
        check_triggers(cls, Machine)

    @overload
    def __init__(
        self,
        schema: type[S],
        *,
        id: str | None = ...,
        handlers: object = ...,
        parent: Machine[Any] | None = ...,
        tags: Iterable[str] = ...,
        tracers: Sequence[Tracer] = ...,
        options: Options | None = ...,
    ) -> None: ...
    @overload
    def __init__(
        self: Machine[Any],
        schema: Schema | Mapping[str, Any] | Sequence[str] | None = ...,
        *,
        id: str | None = ...,
        handlers: object = ...,
        parent: Machine[Any] | None = ...,
        tags: Iterable[str] = ...,
        tracers: Sequence[Tracer] = ...,
        options: Options | None = ...,
    ) -> None: ...
    def __init__(
        self,
        schema: Any = None,
        *,
        id: str | None = None,  # noqa: A002 - the public name
        handlers: object = _NO_HANDLERS,
        parent: Machine[Any] | None = None,
        tags: Iterable[str] = (),
        tracers: Sequence[Tracer] = (),
        options: Options | None = None,
    ) -> None:
        if id is not None or parent is not None or options is not None:
            check_kinds(id=(id, str), parent=(parent, Machine), options=(options, Options))
        given = schema if schema is not None else self._m_schema
        relations = relations_of(given if isinstance(given, Schema) else as_schema(given))
        name = os.urandom(8).hex() if id is None else id
        super().__init__(relations, name, _DEFAULTS if options is None else options)
        self._m_loop = events._get_running_loop()
        if relations.initial:
            begin(self)
        if tags:
            self.tags = tags
        for tracer in tracers:
            self.bind_tracer(tracer)
        if type(self) is not Machine:
            bindings.bind_own(self)
        if handlers is not _NO_HANDLERS:
            for group in bindings.listeners(self, handlers):
                self.bind(group)
        if parent is not None:
            self._m_join(parent)
        if type(self) is not Machine:
            begin_later_bases(self, Machine.__mro__)

    def _m_join(self, parent: Machine[Any]) -> None:
        self._m_parent = parent
        with setup_lock:
            if parent._m_children is None:
                parent._m_children = WeakValueDictionary()
        parent._m_children[next(_numbers)] = self
        for tracer in parent._m_tracers:
            tracer.submachine(parent, self)
        if parent._m_disposed:  # it has not seen this one
            self.dispose()

    def __reduce__(self) -> tuple[Any, ...]:
        """State, without behaviour: bound handlers stay behind, attributes of a subclass do not."""
        made = (type(self), self.schema, self._m_options, self._m_tags, self.export())
        return _restored, made, self.__getstate__()

    @property
    def parent(self) -> Machine[Any] | None:
        """The machine that this one belongs to."""
        return typing.cast("Machine[Any] | None", self._m_parent)

    @property
    def children(self) -> tuple[Machine[Any], ...]:
        """The submachines that are alive and not disposed."""
        known = list((self._m_children or {}).values())  # a copy, as other threads make some
        return tuple(child for child in known if not child._m_disposed)

    @property
    def options(self) -> Options:
        """Limits and timeouts."""
        return self._m_options

    @property
    def on_change(self) -> Callable[[Machine[S], Time, Time], object] | None:
        """Called after each transition with the machine, its time before and its time after.

        A subclass may have a method instead, with the two times, or all three.
        """
        return self._m_on_change

    @on_change.setter
    def on_change(self, function: Callable[[Machine[S], Time, Time], object] | None) -> None:
        self._m_on_change = function
        self._m_unobserved = False

    @property
    def home_loop(self) -> AbstractEventLoop | None:
        """The event loop of the machine's async handlers, for mutations from threads without one.

        The loop in which the machine was made, or else the first in which an async
        handler ran. It stays while it runs; then the next one takes its place.
        None before there was one. It may be closed by now.
        """
        return self._m_loop

    @property
    def timeouts(self) -> tuple[MachineError, ...]:
        """The last ten handlers and evals that took too long, the latest last.

        Those that returned before their deadline have not become `err`.
        """
        return self._m_late

    @property
    def backoff(self) -> bool:
        """True for a while after a handler hung: nothing is added or removed."""
        return self._m_backoff_until > self._m_options.clock()

    # -- mutations -----------------------------------------------------------------------

    # A state that declares arguments brings their type as its parameters (P). A type variable for
    # the arguments would do as well, but its errors name the variable and not the types.
    @overload
    def add(self, state: TypedState[P], /, *args: P.args, **kwargs: P.kwargs) -> Result: ...
    @overload
    def add(
        self, state: Names, other: Names, /, *states: Names, args: Args = ..., source: From = ...
    ) -> Result: ...
    @overload
    def add(
        self, *states: Names, args: Mapping[str, Any] | None = ..., source: From = ...
    ) -> Result: ...
    def add(  # type: ignore[misc]  # P: args and source
        self, *states: Any, args: Any = None, source: From = None
    ) -> Result:
        """Activate states.

        Args:
            states: one by one, or in iterables. No states are a transition
                that changes nothing.
            args: for the handlers: a mapping, or an instance of the args class
                that the state declares.
            source: the event for which this is done, for observers.

        Returns:
            Executed: they are active. Canceled: relations or a handler rejected
            it, a handler failed, the queue is full, or the machine is disposed.
            Queued: another thread mutates the machine, or this is a handler; it
            runs later.

        Raises:
            UnknownState, InvalidArgument: nothing was done.
            MutationLoop: mutations of handlers cause each other without an end.
        """
        if self._m_unobserved and args is None and self._m_busy.acquire(False):
            return self._m_quick(Kind.ADD, self._m_config.adds, states)
        return self._m_mutate(Kind.ADD, self._m_config.adds, states, args, source)

    def remove(
        self, *states: Names, args: Mapping[str, Any] | None = None, source: From = None
    ) -> Result:
        """Deactivate states; as `add`. Executed: none of them is active."""
        if self._m_unobserved and args is None and self._m_busy.acquire(False):
            return self._m_quick(Kind.REMOVE, self._m_config.removes, states)
        return self._m_mutate(Kind.REMOVE, self._m_config.removes, states, args, source)

    def set(
        self, *states: Names, args: Mapping[str, Any] | None = None, source: From = None
    ) -> Result:
        """Activate these states and deactivate all others; as `add`. No states: deactivate all."""
        if self._m_unobserved and args is None and self._m_busy.acquire(False):
            return self._m_quick(Kind.SET, self._m_config.sets, states)
        return self._m_mutate(Kind.SET, self._m_config.sets, states, args, source)

    def toggle(
        self, *states: Names, args: Mapping[str, Any] | None = None, source: From = None
    ) -> Result:
        """Remove these states if all are active, else add them."""
        states = states if self._m_disposing else self._m_names(states)  # iterators are used up
        toggled = self.remove if self.is_(*states) else self.add
        return toggled(*states, args=args, source=source)

    def _m_quick(
        self, kind: Kind, memo: dict[tuple[str, ...], Move], states: tuple[Any, ...]
    ) -> Result:
        """Carry out a mutation that has no observers; the lock is held.

        It is inlined in one frame, because two frames are all that a mutation of a
        machine without observers costs. See `machine.core.base`.
        """
        before = self._m_ticks
        move: Move | None = None
        try:
            if self._m_unobserved and not self._m_queue:
                try:
                    move = memo[states]
                except (KeyError, TypeError):  # not in the memo, or a list among them
                    move = self._m_find(kind, states)
                    if kind is not Kind.REMOVE and not self._m_relations.needs_args.isdisjoint(
                        move.names
                    ):
                        self._m_check_args(Mutation(kind, move.names))
                self._m_queue_tick += 1
                if move.all_ticks:
                    ticks = before[:]
                    for at, more in move.all_ticks:
                        ticks[at] += more
                    self._m_ticks = ticks
                self._m_config = final = move.final
                self._m_active = final.active
        except BaseException:
            self._m_let_go()
            raise
        self._m_busy.release()
        if move is None:
            return self._m_mutate(kind, {}, states, None)
        if not self._m_unobserved:
            self._m_seen_late(before)
        if self._m_queue:
            self._m_drain()
        return EXECUTED if move.executed else by_relations(self._m_relations, move)

    def prepend(
        self,
        kind: Kind | str,
        *states: Names,
        args: Mapping[str, Any] | None = None,
        source: From = None,
    ) -> Result:
        """Put a mutation before all that are queued; from a handler it is the next one."""
        if self._m_disposing:
            return self._m_refuse(kind_of(kind), states, args, DropReason.DISPOSED)
        bindings.read_attributes(self)
        return self._m_prepend(self._m_mutation(kind_of(kind), states, args, source))

    @overload
    def can_add(self, state: TypedState[P], /, *args: P.args, **kwargs: P.kwargs) -> Result: ...
    @overload
    def can_add(
        self, state: Names, other: Names, /, *states: Names, args: Args = ..., source: From = ...
    ) -> Result: ...
    @overload
    def can_add(
        self, *states: Names, args: Mapping[str, Any] | None = ..., source: From = ...
    ) -> Result: ...
    def can_add(  # type: ignore[misc]  # P: args and source
        self, *states: Any, args: Any = None, source: From = None
    ) -> Result:
        """Ask relations and negotiation handlers whether `add` would be accepted.

        Nothing changes, unless a handler has side effects.
        """
        return self._m_ask(Kind.ADD, states, args, source)

    def can_remove(
        self, *states: Names, args: Mapping[str, Any] | None = None, source: From = None
    ) -> Result:
        """Ask whether `remove` would be accepted; as `can_add`."""
        return self._m_ask(Kind.REMOVE, states, args, source)


guard_properties(Machine)


def _restored(
    cls: type[Machine[Any]],
    schema: Schema,
    options: Options,
    tags: tuple[str, ...],
    snapshot: Snapshot,
) -> Machine[Any]:
    machine = cls.__new__(cls)
    Machine.__init__(machine, schema, id=snapshot.id, tags=tags, options=options)
    machine._m_import(snapshot)
    return machine


def schema_of(kind: type[Machine[Any]]) -> Schema:
    """The schema of a class of machines.

    Raises:
        InvalidArgument: it has none.
    """
    return as_schema(kind._m_schema)
