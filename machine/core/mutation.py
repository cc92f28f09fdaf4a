"""A mutation, where it came from, and the event that a handler is given."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from contextvars import Context
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from machine.errors import InvalidArgument
from machine.rules.kinds import Kind
from machine.waits.result import Result

if TYPE_CHECKING:
    from machine.core.machine import Machine
    from machine.core.transition import Transition
    from machine.rules.resolution import Move

__all__ = ["NO_ARGS", "DropReason", "Event", "Mutation", "Source", "source_of", "values_of"]

NO_ARGS: Mapping[str, Any] = MappingProxyType({})
_DEEPEST = 64  # causes that one mutation remembers


@dataclass(frozen=True, slots=True)
class Source:
    """The event that made somebody mutate a machine, maybe another machine than that of the event.

    Attributes:
        machine: the id of the event's machine.
        transition: the id of its transition there.
        time: the sum of that machine's ticks before it.
    """

    machine: str
    transition: str
    time: int


class DropReason(StrEnum):
    """Why a mutation does not run."""

    DUPLICATE = "duplicate"
    """The last one in the queue asks for the same; the caller gets its result."""
    NO_EFFECT = "no effect"
    """A handler removes states that are inactive; the caller is told `executed`."""
    QUEUE_FULL = "queue full"
    """`Options.queue_limit` mutations wait already."""
    BACKOFF = "backoff"
    """A handler hung a short while ago: see `Options.handler_backoff`."""
    DISPOSED = "disposed"
    """The machine is being disposed."""
    CLEARED = "cleared"
    """It waited behind a handler that hung, or in a machine that was ended at once."""


class Mutation:
    """A request to change which states are active.

    Attributes:
        kind: add, remove or set.
        called: the states it names, once each.
        args: what handlers get: a mapping, or an instance of the state's args class.
        auto: it was made by the machine, of the states that are Auto.
        check: a dry run, which changes nothing.
        source: the event it was made for, if the caller named one.
        cause: the mutation whose handler made it, if one did.
        depth: how many causes there are.
        failures: how many of them were errors of handlers, the last ones.
        queue_tick: at which tick of the queue it runs; 0 if it was put to the front.
        result: what it came to; queued until it ran.
    """

    # Class attributes, as most mutations have none of these.
    auto = False
    check = False
    cause: Mutation | None = None
    depth = 0
    failures = 0
    queue_tick = 0
    result: Result | None = None
    _function: Callable[[], object] | None = None
    _move: Move | None = None  # what it comes to where it was made
    _context: Context | None = None
    _values: Mapping[str, Any] | None = None

    def __init__(
        self,
        kind: Kind,
        called: tuple[str, ...],
        args: object = None,
        *,
        auto: bool = False,
        check: bool = False,
        source: Source | None = None,
        cause: Mutation | None = None,
    ) -> None:
        self.kind = kind
        self.called = called
        self.args = args
        self.source = source
        if auto:
            self.auto = True
        if check:
            self.check = True
        if cause is not None:
            self.set_cause(cause)

    def set_cause(self, cause: Mutation) -> None:
        """It was made by a handler of that mutation."""
        self.depth = cause.depth + 1
        self.cause = cause if self.depth % _DEEPEST else cause.without_cause()

    def __repr__(self) -> str:
        return f"<Mutation {self}>"

    def __str__(self) -> str:
        auto = ":auto" if self.auto else ""
        return f"[{self.kind}{auto}] {', '.join(self.called)}"

    @property
    def values(self) -> Mapping[str, Any]:
        """The args by name; empty if there are none."""
        if self._values is None:
            self._values = values_of(self.args)
        return self._values

    def without_cause(self) -> Mutation:
        """The same without what led to it."""
        copy = Mutation(self.kind, self.called, self.args, auto=self.auto, source=self.source)
        copy.depth = self.depth
        return copy


class Event:
    """What a handler may ask about the transition that calls it.

    Attributes:
        name: the handler's name, as `FooState`.
        transition: that calls it.
    """

    __slots__ = ("name", "transition")

    def __init__(self, name: str, transition: Transition) -> None:
        self.name = name
        self.transition = transition

    def __repr__(self) -> str:
        return f"<Event {self.name} of {self.transition.mutation}>"

    @property
    def machine(self) -> Machine[Any]:
        """The machine whose handler it is."""
        return self.transition.machine

    @property
    def mutation(self) -> Mutation:
        """What is being done."""
        return self.transition.mutation

    @property
    def args(self) -> Mapping[str, Any]:
        """The mutation's arguments by name; empty if there are none."""
        return self.transition.mutation.values

    @property
    def source(self) -> Source | None:
        """The event that the mutation was made for, if its caller named one."""
        return self.transition.mutation.source

    def is_valid(self) -> bool:
        """True while its transition is the one that runs, and nothing has rejected it."""
        transition = self.transition
        running = transition.machine.transition is transition
        return running and transition.accepted and not transition.completed

    def as_source(self) -> Source:
        """What a mutation that names this event as its `source` remembers of it."""
        transition = self.transition
        return Source(transition.machine.id, transition.id, sum(transition.time_before))


def values_of(args: object) -> Mapping[str, Any]:
    """Arguments by name.

    Args:
        args: None, a mapping with names as keys, or an instance of a dataclass.

    Raises:
        InvalidArgument: it is something else.
    """
    if args is None:
        return NO_ARGS
    if isinstance(args, Mapping):
        return args
    if dataclasses.is_dataclass(args) and not isinstance(args, type):
        return {field.name: getattr(args, field.name) for field in dataclasses.fields(args)}
    raise InvalidArgument(
        f"args are a mapping or an instance of a dataclass, not {type(args).__name__}",
        argument="args",
    )


def source_of(given: Event | Source | None) -> Source | None:
    """Where a mutation comes from, of what its caller named.

    Raises:
        InvalidArgument: it is neither an event nor a source.
    """
    if given is None or isinstance(given, Source):
        return given
    if isinstance(given, Event):
        return given.as_source()
    raise InvalidArgument(
        f"source is the Event of a handler, or a Source, not {type(given).__name__}",
        argument="source",
    )
