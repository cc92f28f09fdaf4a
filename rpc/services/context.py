"""The call that a handler serves: its caller, deadline and metadata."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from grid.deadline import Deadline
from rpc.services.specification import MethodSpec, ServiceSpec

__all__ = ["CallContext"]


class Timed(Protocol):
    """A request that knows its deadline."""

    @property
    def deadline(self) -> Deadline | None:
        """The deadline, None for none."""


class CallContext:
    """A call as its handler sees it.

    Attributes:
        service: the service's full name.
        method: the method's name in the .proto.
        topic: the parameters of the topic it came for; empty for none.
        client: the id of the caller.
        member: the id of this server.
        metadata: what the caller says about the call.
    """

    __slots__ = (
        "_reply_metadata",
        "_timed",
        "client",
        "member",
        "metadata",
        "spec",
        "specification",
        "topic",
    )

    def __init__(
        self,
        specification: ServiceSpec,
        spec: MethodSpec[Any, Any],
        topic: tuple[str, ...],
        client: str,
        member: str,
        metadata: Mapping[str, str],
        timed: Timed | Deadline | None,
    ) -> None:
        self.specification = specification
        self.spec = spec
        self.topic: tuple[str, ...] = topic
        self.client: str = client
        self.member: str = member
        self.metadata = metadata
        self._timed = timed
        self._reply_metadata: dict[str, str] | None = None

    def __repr__(self) -> str:
        return f"<CallContext {self.service}.{self.method} of {self.client}>"

    @property
    def service(self) -> str:
        """The service's full name."""
        return self.specification.name

    @property
    def method(self) -> str:
        """The method's name in the .proto."""
        return self.spec.name

    @property
    def multi(self) -> bool:
        """True if every server gets the request."""
        return self.spec.routing == "multi"

    @property
    def reply_metadata(self) -> dict[str, str]:
        """Metadata of the answer; put strings into it before the handler ends.

        Interceptors of the client find it in `ClientCall.reply_metadata`, and callers of all
        servers in `MemberResult.metadata`. The protocol of Redis and NATS does not carry it.
        """
        if self._reply_metadata is None:
            self._reply_metadata = {}
        return self._reply_metadata

    @property
    def deadline(self) -> Deadline | None:
        """The time by which the caller wants the answer; None if it did not say."""
        timed = self._timed  # made when it is asked for: few handlers do
        return timed if timed is None or isinstance(timed, Deadline) else timed.deadline

    def remaining(self) -> float | None:
        """Seconds until the caller's deadline, never below 0; None for no deadline."""
        deadline = self.deadline
        return None if deadline is None else deadline.remaining()
