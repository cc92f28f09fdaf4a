"""Definitions of actors: factories, and the values that a definition accepts."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from grid.actor import Actor, ActorContext
from grid.errors import InvalidActorType, InvalidArgument, NilActor
from grid.handlers import HandlerTable, table_of
from grid.mailbox.mailbox import check_size
from grid.numbers import check_count, check_seconds
from grid.registry.names import check_actor_type
from grid.registry.registration import Amount
from grid.server.handling import HandlerActor, check_handlers, resource_parameters
from grid.server.resources import Resources, needs_of, takes_data
from grid.server.restarts import NEVER, Restart
from grid.sync.actors import BlockingContext

__all__ = [
    "DEFAULT_MAILBOX",
    "Act",
    "BlockingAct",
    "Definition",
    "all_needs",
    "check_activation",
    "check_definition",
    "factory_of",
    "is_blocking",
    "is_made_of_handlers",
]

Act = Callable[[ActorContext], Awaitable[None]]
BlockingAct = Callable[[BlockingContext], None]

DEFAULT_MAILBOX = 64  # requests that the mailbox of an actor made of handlers holds


@dataclass(frozen=True, slots=True)
class Definition:
    """Definition of the actors of one type.

    Attributes:
        type: its name.
        factory: from the start's bytes to an actor or a function of the context.
        mailbox: the size of the mailbox that each of its actors gets under its
            own name; None for no mailbox.
        concurrency: how many requests an actor made of handlers serves at once.
        restart: when an actor that ended is started again.
        keep: how many of its actors there shall always be; None for as many as are started.
        activate: True if a request to a name of the type starts an actor of that name.
        idle: seconds without work after which its actors end; None for never.
        move: True if its actors are started on another peer when this one is drained.
        resources: what its actors may ask for by the annotations of parameters.
        internal: True for a definition of the grid's own, which is not offered to others.
    """

    type: str
    factory: Callable[[bytes], Any]
    mailbox: int | None = None
    concurrency: int = 1
    restart: Restart = NEVER
    keep: Amount | None = None
    activate: bool = False
    idle: float | None = None
    move: bool = False
    resources: Resources = field(default_factory=Resources)
    internal: bool = False
    _tables: dict[Any, HandlerTable] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    @property
    def moves(self) -> bool:
        """True if its actors are handed over to another peer when this one is drained.

        Activated ones are not: the next request starts them. Nor are those that each peer has.
        """
        return self.move or isinstance(self.keep, int)

    def make(self, data: bytes) -> Act | BlockingAct:
        """A new actor's function.

        Raises:
            NilActor: the factory returned nothing.
            TypeError: it returned what is not an actor.
        """
        made = self.factory(data)
        if made is None:
            raise NilActor(self.type)
        if isinstance(made, Actor):
            self._check_one_by_one()
            return made.act
        table = made if isinstance(made, HandlerTable) else self._tables.get(type(made))
        if table is None:
            # Reading signatures takes longer than all else of a start.
            table = self._tables[type(made)] = table_of(type(made))
            check_handlers(table, made)
        if len(table):
            instance = None if made is table else made
            if instance is None:
                check_handlers(table)
            return HandlerActor(table, instance, self.concurrency, self.resources).act
        if not callable(made):
            raise TypeError(
                f"the factory of {self.type!r} returned {made!r}, "
                "which has no act(ctx) and no @grid.handler"
            )
        self._check_one_by_one()
        act: Act | BlockingAct = made
        return act

    def _check_one_by_one(self) -> None:
        if self.concurrency != 1:
            raise InvalidArgument(
                "concurrency", self.concurrency, "1 for an actor without handlers"
            )


def check_definition(type: str, mailbox: int | None, concurrency: int = 1) -> None:  # noqa: A002
    """Raise for a type or the size of a mailbox that no actor could have."""
    if not isinstance(type, str):
        error = InvalidActorType(repr(type))
        error.add_note('the type is missing, as in @server.actor("echo")')
        raise error
    check_actor_type(type)
    if mailbox is not None:
        check_size(mailbox)
    check_count("concurrency", concurrency)


def check_activation(
    activate: bool, idle: float | None, mailbox: int | None, move: bool = False
) -> None:
    """Raise for an activation that cannot be: without a mailbox no request comes."""
    if not isinstance(activate, bool):
        raise InvalidArgument("activate", activate, "True or False")
    if idle is not None:
        check_seconds("idle", idle, zero=False)
    if not isinstance(move, bool):
        raise InvalidArgument("move", move, "True or False")
    if mailbox is None and (activate or idle is not None):
        what = "activate" if activate else "idle"
        raise InvalidArgument(what, True if activate else idle, "given together with a mailbox")


def is_made_of_handlers(target: Any) -> bool:
    """True for a class with handlers and no `act`, and for a table of functions."""
    if isinstance(target, HandlerTable):
        return True
    return inspect.isclass(target) and not hasattr(target, "act") and len(table_of(target)) > 0


def is_blocking(act: Act | BlockingAct) -> bool:
    """True if calling it runs the actor instead of making a coroutine."""
    made_by = (act, getattr(act, "__call__", None))  # noqa: B004 - of objects, the method
    return not any(map(inspect.iscoroutinefunction, made_by))


def factory_of(target: Any, resources: Resources) -> Callable[[bytes], Any]:
    """The factory that a decorated class or function stands for.

    A class is called with the start's bytes if its constructor's first parameter is for them,
    and with resources for the others; a function is itself what acts.
    """
    if isinstance(target, HandlerTable):
        return lambda _: target
    if not inspect.isclass(target):
        _check_takes_context(target)
        asked = dict(needs_of(target, skip=1)) if inspect.isroutine(target) else {}
        if not asked:
            return lambda _: target
        return lambda _: functools.partial(target, **_found(target, asked, resources))
    if not callable(getattr(target, "act", None)):
        if not is_made_of_handlers(target):
            raise TypeError(f"{target.__name__} has no act(self, ctx) and no @grid.handler")
        check_handlers(table_of(target), target)
    else:
        if table_of(target):
            raise InvalidArgument(
                f"actor {target.__name__}",
                "both",
                "a class with act(self, ctx) or one with @grid.handler",
            )
        method = inspect.isfunction(inspect.getattr_static(target, "act"))
        _check_takes_context(getattr(target, "act", None), after=1 if method else 0)
    of_data = takes_data(target)
    wanted = dict(needs_of(target, skip=1 if of_data else 0))

    def make(data: bytes) -> Any:
        return target(*([data] if of_data else []), **_found(target, wanted, resources))

    return make


def _check_takes_context(function: Any, after: int = 0) -> None:
    if inspect.isasyncgenfunction(function) or inspect.isgeneratorfunction(function):
        # A call of it runs nothing, and the actor would end at once as if it were done.
        name = getattr(function, "__qualname__", repr(function))
        raise InvalidArgument("an actor", f"{name}(), which has a yield", "a function without one")
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # of a built-in function, or no function at all
        return
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    if any(one.kind is inspect.Parameter.VAR_POSITIONAL for one in parameters):
        return
    if sum(one.kind in positional for one in parameters) <= after:
        name = getattr(function, "__qualname__", repr(function))
        raise InvalidArgument(
            "an actor", f"{name}()", "a function of its context: async def f(ctx)"
        )


def _found(target: Any, wanted: dict[str, Any], resources: Resources) -> dict[str, Any]:
    what = getattr(target, "__name__", repr(target))
    return {name: resources.find(kind, f"{name!r} of {what}") for name, kind in wanted.items()}


def all_needs(target: Any) -> Iterator[tuple[str, Any]]:
    """The resources that a decorated class or function asks for: what for, and the annotation."""
    own = getattr(target, "__name__", "")
    if inspect.isroutine(target):
        for name, kind in needs_of(target, skip=1):
            yield f"{name!r} of {own}", kind
    if not inspect.isclass(target):
        return
    for name, kind in needs_of(target, skip=1 if takes_data(target) else 0):
        yield f"{name!r} of {own}", kind
    for declared in table_of(target):
        for name, kind in resource_parameters(declared).items():
            yield f"{name!r} of handler {own}.{declared.name}", kind
