"""The events that a session tells its owner, and the breach that ends it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from grid.transport._routes import InboundRoute
from grid.wire_pb2 import Failure, Hello

__all__ = ["ProtocolViolation", "SessionEvents"]


class ProtocolViolation(Exception):
    """The other side broke the protocol; the session cannot go on."""


class SessionEvents(Protocol):
    """The events of a session. None of the methods may raise."""

    def on_hello(self, hello: Hello) -> None:
        """The other side is there; its hello has its limits."""

    def on_goodbye(self, reason: str) -> None:
        """The other side takes nothing new; see `Session.take_unwritten`."""

    def on_pong(self, number: int) -> None:
        """A ping came back."""

    def on_request(
        self,
        exchange: int,
        kind: int,
        route: InboundRoute,
        data: bytes,
        milliseconds: int,
        metadata: Mapping[str, str] | None,
    ) -> None:
        """A REQUEST, TELL or OPEN came in; `milliseconds` remain for it, 0 for no end."""

    def on_cancel(self, token: Any) -> None:
        """The opener of the exchange with that token waits no more."""

    def on_reply(self, token: Any, type_name: str, data: bytes) -> None:
        """The answer to the request of that token."""

    def on_failure(self, token: Any, failure: Failure) -> None:
        """The request failed, or the stream was refused."""

    def on_accept(self, token: Any) -> None:
        """The stream of that token is open."""

    def on_item(self, token: Any, type_name: str, data: bytes) -> None:
        """The next item of a stream."""

    def on_credit(self, token: Any) -> None:
        """A stream whose credit was used up may send again."""

    def on_end(self, token: Any, whole: bool, failure: Failure | None) -> None:
        """The other side ended its direction of a stream, or the whole of it."""
