"""Definitions of a server's actors: decorators for classes and functions, and factories."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from grid.errors import InvalidArgument
from grid.handlers import HandlerTable, declaration_of
from grid.registry.keeping import check_keep
from grid.registry.registration import Amount
from grid.server.definitions import (
    DEFAULT_MAILBOX,
    Definition,
    all_needs,
    check_activation,
    check_definition,
    factory_of,
    is_made_of_handlers,
)
from grid.server.handling import check_handlers
from grid.server.resources import Resources
from grid.server.restarts import Restart, RestartWhen, restart_policy

__all__ = ["Definitions"]

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])


class Definitions:
    """The part of a server that defines actors; see `Server`."""

    def __init__(self) -> None:
        self._definitions: dict[str, Definition] = {}
        self._resources = Resources()
        self._needs: list[tuple[str, Any]] = []  # parameters, and the classes of resources

    def actor(
        self,
        type: str,  # noqa: A002
        *,
        mailbox: int | None = None,
        concurrency: int = 1,
        restart: Restart | RestartWhen | None = None,
        keep: Amount | None = None,
        activate: bool = False,
        idle: float | None = None,
        move: bool = False,
    ) -> Callable[[T], T]:
        """Decorator: actors of this type are made by this class or function.

        Args:
            type: the name that starts ask for.
            mailbox: give each actor a mailbox of its own name that holds at most
                this number of requests, claimed together with the name; by default
                of 64 for a class with handlers.
            concurrency: how many requests an actor made of handlers serves at once;
                with 1 it serves them in their order of arrival.
            restart: when an actor that ended is started again: a `Restart` or its `when`.
            keep: how many of its actors there shall always be: N in the namespace, named
                `<type>-0` and on, or `"each-peer"`, one on each peer that defines the type,
                named `<type>-<peer>`. A keeper, elected as the leader is, starts them.
            activate: a request to a name that begins with `<type>-`, or is the type, starts an
                actor of that name if there is none, at most one in the namespace.
            idle: seconds without requests and streams after which an actor ends; see
                `ctx.state` for what it shall find again.
            move: start an actor on another peer that defines the type, with its start bytes, when
                this peer is drained. Kept actors are moved in any case, activated ones by
                the next request.

        Raises:
            InvalidActorType: the type breaks the rule of names.
            InvalidArgument: the type is defined already (`define` replaces one), a
                mailbox cannot be of that size, or a handler's signature is wrong.
        """
        check_definition(type, mailbox, concurrency)
        policy = restart_policy(restart)
        check_keep(keep)
        if type in self._definitions:
            raise InvalidArgument("the type of an actor", type, "one that is not defined yet")

        def decorate(target: T) -> T:
            size = mailbox
            if is_made_of_handlers(target):
                size = mailbox or DEFAULT_MAILBOX
            elif concurrency != 1:
                raise InvalidArgument("concurrency", concurrency, "1 for an actor without handlers")
            self.define(
                type,
                factory_of(target, self._resources),
                mailbox=size,
                concurrency=concurrency,
                restart=policy,
                keep=keep,
                activate=activate,
                idle=idle,
                move=move,
            )
            self._needs += all_needs(target)
            return target

        return decorate

    def handlers(
        self,
        type: str,  # noqa: A002
        *,
        mailbox: int = DEFAULT_MAILBOX,
        concurrency: int = 1,
        restart: Restart | RestartWhen | None = None,
        keep: Amount | None = None,
        activate: bool = False,
        idle: float | None = None,
        move: bool = False,
    ) -> Callable[[F], F]:
        """Define an actor of functions; the result is the decorator that adds one.

            greeter = server.handlers("greeter")

            @greeter
            async def greet(hello: Hello) -> Greeting: ...

        See `grid.handler` for their signature, and `actor` for arguments and errors.
        """
        table = HandlerTable(type)
        self.actor(
            type,
            mailbox=mailbox,
            concurrency=concurrency,
            restart=restart,
            keep=keep,
            activate=activate,
            idle=idle,
            move=move,
        )(table)

        def add(function: F) -> F:
            declared = declaration_of(function, owner=type)
            check_handlers((declared,))
            table.add(declared)
            return function

        return add

    def define(
        self,
        type: str,  # noqa: A002
        factory: Callable[[bytes], Any],
        *,
        mailbox: int | None = None,
        concurrency: int = 1,
        restart: Restart | RestartWhen | None = None,
        keep: Amount | None = None,
        activate: bool = False,
        idle: float | None = None,
        move: bool = False,
    ) -> None:
        """Define a type by a factory, from the start's bytes to an actor.

        It can be done while the server runs, and again to replace it.

        Args:
            type: the name that starts ask for.
            factory: returns an actor, a function of the context, or an object with handlers.
            mailbox: see `actor`; what the factory makes is not known before.
            concurrency: see `actor`.
            restart: see `actor`; the factory makes the actor again.
            keep: see `actor`; declared before the server starts.
            activate: see `actor`; declared before the server starts.
            idle: see `actor`.
            move: see `actor`.

        Raises:
            InvalidActorType: the type breaks the rule of names.
            InvalidArgument: a mailbox cannot be of that size.
        """
        check_definition(type, mailbox, concurrency)
        check_activation(activate, idle, mailbox, move)
        if not callable(factory):
            raise InvalidArgument("factory", factory, "a function of the start's bytes")
        definition = Definition(
            type,
            factory,
            mailbox,
            concurrency,
            restart_policy(restart),
            check_keep(keep),
            activate,
            idle,
            move,
            self._resources,
        )
        self._define(definition)

    def provide(self, value: T, *, as_type: type | None = None, enter: bool = False) -> T:
        """Give the server's actors a resource, such as a database; returns it.

        It is filled in where a constructor, a handler, `on_start`, `on_stop` or a function of an
        actor has a parameter annotated with its class, and found by `ctx.provided(Database)`.

        Args:
            value: the resource.
            as_type: the class to find it by, if that is not its own.
            enter: it is a context manager, async or not, and the resource is what entering it
                brings. Contexts are entered in their order before the server joins, and left in
                the opposite order after its actors have ended.

        Raises:
            InvalidArgument: the class has a resource already, the value is no context, or the
                server has started.
        """
        self._resources.add(value, as_type, enter=enter)
        return value

    def _check_needs(self) -> None:
        for what, annotation in self._needs:
            self._resources.check(annotation, what)

    def _define(self, definition: Definition) -> None:
        self._definitions[definition.type] = definition
