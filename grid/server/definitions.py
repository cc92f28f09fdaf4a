"""Definitions of actors: factories, and the values that a definition accepts."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from grid.actor import Actor, ActorContext
from grid.errors import InvalidActorType, NilActor
from grid.mailbox.mailbox import check_size
from grid.registry.names import check_actor_type
from grid.sync.actors import BlockingContext

__all__ = ["Act", "BlockingAct", "Definition", "check_definition", "factory_of", "is_blocking"]

Act = Callable[[ActorContext], Awaitable[None]]
BlockingAct = Callable[[BlockingContext], None]


@dataclass(frozen=True, slots=True)
class Definition:
    """Definition of the actors of one type.

    Attributes:
        type: its name.
        factory: from the start's bytes to an actor or a function of the context.
        mailbox: the size of the mailbox that each of its actors gets under its
            own name; None for no mailbox.
    """

    type: str
    factory: Callable[[bytes], Any]
    mailbox: int | None = None

    def make(self, data: bytes) -> Act | BlockingAct:
        """A new actor's function.

        Raises:
            NilActor: the factory returned nothing.
            TypeError: it returned what is not an actor.
        """
        made = self.factory(data)
        if made is None:
            raise NilActor(self.type)
        act: Act | BlockingAct = made.act if isinstance(made, Actor) else made
        if not callable(act):
            raise TypeError(
                f"the factory of {self.type!r} returned {made!r}, which has no act(ctx)"
            )
        return act


def check_definition(type: str, mailbox: int | None) -> None:  # noqa: A002
    """Raise for a type or the size of a mailbox that no actor could have."""
    if not isinstance(type, str):
        error = InvalidActorType(repr(type))
        error.add_note('the type is missing, as in @server.actor("echo")')
        raise error
    check_actor_type(type)
    if mailbox is not None:
        check_size(mailbox)


def is_blocking(act: Act | BlockingAct) -> bool:
    """True if calling it runs the actor instead of making a coroutine."""
    made_by = (act, getattr(act, "__call__", None))  # noqa: B004 - of objects, the method
    return not any(map(inspect.iscoroutinefunction, made_by))


def factory_of(target: Any) -> Callable[[bytes], Any]:
    """The factory that a decorated class or function stands for.

    A class is called with the start's bytes if its constructor takes an
    argument; a function is itself what acts.
    """
    if not inspect.isclass(target):
        return lambda _: target
    if not callable(getattr(target, "act", None)):
        raise TypeError(f"{target.__name__} has no act(self, ctx)")
    takes_data = bool(inspect.signature(target).parameters)
    return target if takes_data else lambda _: target()
