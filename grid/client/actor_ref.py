"""References to actors of a class with handlers: `client.actor(Greeter, "eve").greet(hello)`."""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Callable, Mapping
from typing import TYPE_CHECKING, Any

from google.protobuf.message import Message

from grid.errors import InvalidArgument
from grid.handlers import Declaration, HandlerKind, HandlerTable, table_of
from grid.wire_pb2 import Ack

if TYPE_CHECKING:
    from grid.client.sender import Messaging

__all__ = ["ActorRef"]


class ActorRef:
    """An actor seen from a client: each handler of its class as a method.

    It holds a name and nothing else: making one asks nothing, and it stays good when the actor
    moves.

    Args:
        client: sends the messages.
        cls: the class of the actor, with handlers.
        name: the actor's name.

    Raises:
        InvalidArgument: the class has no handlers.
    """

    def __init__(self, client: Messaging, cls: type, name: str) -> None:
        table = table_of(cls) if isinstance(cls, type) else HandlerTable("")
        if not len(table):
            raise InvalidArgument("an actor's class", cls, "a class with a @grid.handler")
        self._client = client
        self._class = cls
        self._name = name
        self._table = table

    def __repr__(self) -> str:
        return f"<ActorRef {self._class.__name__} {self._name!r}>"

    def __getattr__(self, name: str) -> Any:
        declared = None if name.startswith("__") else self._table.named(name)
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
            return functools.partial(self._items, declared)
        if declared.kind is HandlerKind.STREAM:
            return functools.partial(self._client.stream, self._name)
        if declared.may_be_empty:
            return self._request_or_nothing
        return functools.partial(self._client.request, self._name, reply=declared.reply)

    async def _request_or_nothing(self, message: Message, **options: Any) -> Message | None:
        reply = await self._client.request(self._name, message, **options)
        return None if isinstance(reply, Ack) else reply

    async def _items(
        self,
        declared: Declaration,
        message: Message,
        *,
        timeout: float | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> AsyncIterator[Message]:
        opening = self._client.stream(self._name, message, timeout=timeout, metadata=metadata)
        async with opening as stream:
            async for item in stream:
                yield item
