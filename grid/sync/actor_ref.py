"""References to actors for code that blocks; see `grid.client.actor_ref`."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

from google.protobuf.message import Message

from grid.client.actor_ref import HandlerCalls
from grid.handlers import Declaration, HandlerKind
from grid.wire_pb2 import Ack

__all__ = ["BlockingActorRef", "Caller"]


class Caller(Protocol):
    """The two calls of a blocking client that a reference makes."""

    @property
    def request(self) -> Callable[..., Any]:
        """`grid.sync.Client.request`."""

    @property
    def stream(self) -> Callable[..., Any]:
        """`grid.sync.Client.stream`."""


class BlockingActorRef(HandlerCalls):
    """An actor seen from a blocking client: each handler of its class as a method.

    A handler of requests returns its answer, one that yields an iterator of its items, and one
    with a stream a `BlockingStream`. Arguments and errors are those of the client's calls.
    """

    def __init__(self, client: Caller, cls: type, name: str) -> None:
        super().__init__(cls, name)
        self._client = client

    def _call(self, declared: Declaration) -> Callable[..., Any]:
        if declared.kind is HandlerKind.ITEMS:
            return self._items
        if declared.kind is HandlerKind.STREAM:
            return functools.partial(self._client.stream, self._name)
        if declared.may_be_empty:
            return self._request_or_nothing
        return functools.partial(self._client.request, self._name, reply=declared.reply)

    def _request_or_nothing(self, message: Message, **options: Any) -> Message | None:
        reply = self._client.request(self._name, message, **options)
        return None if isinstance(reply, Ack) else reply

    def _items(
        self,
        message: Message,
        *,
        timeout: float | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> Iterator[Message]:
        opened = self._client.stream(self._name, message, timeout=timeout, metadata=metadata)
        with opened as stream:
            yield from stream
