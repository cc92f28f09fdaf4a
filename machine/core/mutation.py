"""Mutations: requests to change active states, and their origins."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextvars import Context
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from machine.rules.kinds import Kind
from machine.rules.resolution import Move
from machine.schema.arguments import NO_ARGS, values_of
from machine.waits.result import Result

__all__ = ["NO_ARGS", "DropReason", "Mutation", "Source", "values_of"]

_MAX_CAUSES = 64  # that one mutation remembers


@dataclass(frozen=True, slots=True)
class Source:
    """The event for which a machine was mutated; it may be an event of another machine.

    Attributes:
        machine: the id of the event's machine.
        transition: the id of its transition there.
        time: the sum of that machine's ticks before it.
    """

    machine: str
    transition: str
    time: int


class DropReason(StrEnum):
    """Reasons why a mutation does not run."""

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
        args: the arguments of handlers: a mapping, or an instance of the state's args class.
        auto: it was made by the machine, of the states that are Auto.
        check: a dry run, which changes nothing.
        source: the event it was made for, if the caller named one.
        cause: the mutation whose handler made it, if one did.
        depth: the length of the chain of causes.
        failures: the length of its last part in which each cause was a handler's error.
        queue_tick: the tick of the queue at which it runs; 0 if it was put to the front.
        result: its result; queued until it ran.
    """

    # Class attributes, as most mutations have none of these.
    args: object = None
    source: Source | None = None
    auto: bool = False
    check: bool = False
    cause: Mutation | None = None
    depth: int = 0
    failures: int = 0
    queue_tick: int = 0
    result: Result | None = None
    _function: Callable[[], object] | None = None
    _move: Move | None = None  # its outcome in the configuration in which it was made
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
        """Note that a handler of that mutation made this one."""
        self.depth = cause.depth + 1
        self.cause = cause if self.depth % _MAX_CAUSES else cause.without_cause()

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
        """A copy without its cause."""
        copy = Mutation(self.kind, self.called, self.args, auto=self.auto, source=self.source)
        copy.depth = self.depth
        return copy
