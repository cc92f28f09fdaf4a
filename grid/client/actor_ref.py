"""References to actors of a class with handlers: `client.actor(Greeter, "eve").greet(hello)`."""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, Protocol

from google.protobuf.message import Message

from grid.errors import InvalidArgument
from grid.handlers import Declaration, HandlerKind, HandlerTable, table_of
from grid.registry.names import check_name
from grid.wire_pb2 import Ack

__all__ = ["ActorRef", "Caller", "HandlerCalls", "ItemsMethod"]


class Caller(Protocol):
    """The two calls of a client that a reference makes."""

    @property
    def request(self) -> Callable[..., Any]:
        """`Client.request`."""

    @property
    def stream(self) -> Callable[..., Any]:
        """`Client.stream`."""


class HandlerCalls(ABC):
    """The handlers of an actor's class as attributes that send their messages.

    It holds a name and nothing else: making one asks nothing, and it stays good when the actor
    moves.

    Raises:
        InvalidArgument: the class has no handlers.
        InvalidName: the name breaks the rule.
    """

    def __init__(self, client: Caller, cls: type, name: str) -> None:
        table = table_of(cls) if isinstance(cls, type) else HandlerTable("")
        if not len(table):
            raise InvalidArgument("an actor's class", cls, "a class with a @grid.handler")
        check_name(name, "mailbox")
        self._client = client
        self._class = cls
        self._name = name
        self._table = table

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._class.__name__} {self._name!r}>"

    def __getattr__(self, name: str) -> Any:
        declared = None if name.startswith("_") else self._table.named(name)
        if declared is None:
            raise AttributeError(
                f"{self._class.__name__} has no handler {name!r}; "
                f"it has: {', '.join(one.name for one in self._table)}"
            )
        call = self._call(declared)
        setattr(self, name, call)
        return call

    def _call(self, declared: Declaration) -> Callable[..., Any]:
        if declared.kind is HandlerKind.ITEMS:
            return ItemsMethod(self._name, declared.reply or Message, self._items)
        if declared.kind is HandlerKind.STREAM:
            return functools.partial(self._client.stream, self._name)
        if declared.may_be_empty:
            return self._request_or_nothing
        reply = None if declared.reply is Message else declared.reply  # one of several, or any
        return functools.partial(self._client.request, self._name, reply=reply)

    @abstractmethod
    def _request_or_nothing(self, message: Message, **options: Any) -> Any: ...

    @abstractmethod
    def _items(self, message: Message) -> Any: ...


class ItemsMethod:
    """A handler that yields items, as a reference has it: to be called, or subscribed to.

    Attributes:
        actor: the name of the actor.
        item: the class of the items.
    """

    def __init__(self, actor: str, item: type[Any], call: Callable[..., Any]) -> None:
        self.actor = actor
        self.item = item
        self._call = call

    def __call__(self, message: Message, **options: Any) -> Any:
        """Open a stream and iterate over its items."""
        return self._call(message, **options)


class ActorRef(HandlerCalls):
    """An actor seen from a client: each handler of its class as a method."""

    async def _request_or_nothing(self, message: Message, **options: Any) -> Message | None:
        reply = await self._client.request(self._name, message, **options)
        return None if isinstance(reply, Ack) else reply

    async def _items(
        self,
        message: Message,
        *,
        timeout: float | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> AsyncIterator[Message]:
        opening = self._client.stream(self._name, message, timeout=timeout, metadata=metadata)
        async with opening as stream:
            async for item in stream:
                yield item
