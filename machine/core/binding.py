"""A group of handlers that is bound to a machine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from machine.core.handlers import Handler
    from machine.core.machine import Machine

__all__ = ["Binding"]


class Binding:
    """Handlers that a machine calls, until they are detached.

    Attributes:
        id: unique among the bindings of its machine.
        owner: the object whose methods they are; None for functions.
        handlers: the handlers.
    """

    __slots__ = ("_key", "_machine", "handlers", "id", "owner")

    def __init__(
        self,
        machine: Machine[Any],
        id: str,  # noqa: A002 - the word of the design
        owner: object,
        handlers: Sequence[Handler],
        key: object,
    ) -> None:
        self.id = id
        self.owner = owner
        self.handlers = tuple(handlers)
        self._machine = machine
        self._key = key

    def __repr__(self) -> str:
        return f"<Binding {self.id} {len(self.handlers)} handlers>"

    @property
    def names(self) -> tuple[str, ...]:
        """The names of its handlers, as `FooState`."""
        return tuple(handler.name for handler in self.handlers)

    def detach(self) -> None:
        """Call these handlers no more. A handler that runs goes on to its end."""
        self._machine.detach(self)
