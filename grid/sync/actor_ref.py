"""References to actors for code that blocks; see `grid.client.actor_ref`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from google.protobuf.message import Message

from grid.client.actor_ref import HandlerCalls
from grid.wire_pb2 import Ack

__all__ = ["BlockingActorRef"]


class BlockingActorRef(HandlerCalls):
    """An actor seen from a blocking client: each handler of its class as a method.

    A handler of requests returns its answer, one that yields an iterator of its items, and one
    with a stream a `BlockingStream`. Arguments and errors are those of the client's calls.
    """

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
