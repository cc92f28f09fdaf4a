"""The part of a client that depends on its bus."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from rpc.buses.bus import Subscription
from rpc.services.errors import ServiceError
from rpc.services.observers import CallWatch
from rpc.services.selection import SelectionOptions
from rpc.services.specification import MethodSpec
from rpc.services.streams import Pipe

__all__ = ["Calls", "Item", "Outgoing"]


@dataclass(slots=True)
class Outgoing:
    """A call that is about to be sent.

    Attributes:
        what: the service and the method, for errors.
        method: the method's name in the .proto.
        topic: the parameters of its topic.
        payload: the encoded request.
        metadata: what the server shall know about it.
        at: the deadline, on the clock of `grid.deadline.now`.
        timeout: the seconds that it was made from.
        idempotent: acting on it twice does no harm.
        reply_metadata: what the server says about its answer is put here.
        watch: tells the observers; None without any.
    """

    what: str
    method: str
    topic: tuple[str, ...]
    payload: bytes
    metadata: Mapping[str, str] | None
    at: float
    timeout: float
    idempotent: bool = False
    reply_metadata: dict[str, str] | None = None
    watch: CallWatch | None = None


@dataclass(frozen=True, slots=True)
class Item:
    """The outcome of one member of a call to all.

    Attributes:
        member: its id.
        payload: the encoded answer, or None.
        error: its error, or None.
        metadata: what it says about its answer.
    """

    member: str
    payload: bytes | None
    error: ServiceError | None
    metadata: Mapping[str, str] = field(default_factory=dict)


class Calls(Protocol):
    """Calls of one service over one bus."""

    async def call(self, call: Outgoing) -> bytes:
        """Ask one server; the next one if it surely did not get the request.

        Raises:
            NoServers, AllDeclined, AllUnreachable: no server has the request.
            CallTimedOut, OutcomeUnclear: a server may act on it.
            ServiceError: the server's own.
        """

    async def call_best(self, call: Outgoing, options: SelectionOptions) -> bytes:
        """Ask the server that scores the request highest; errors are those of `call`."""

    def call_all(self, call: Outgoing) -> AsyncIterator[Item]:
        """Ask all servers, and yield what each comes to, in the order of the answers."""

    async def open(self, call: Outgoing, options: SelectionOptions | None) -> tuple[Pipe, str]:
        """Open a stream to one server, the best one if there are options; with its id."""

    async def subscribe(
        self, method: MethodSpec[Any, Any], topic: tuple[str, ...], size: int
    ) -> Subscription:
        """Subscribe to the updates of a method; the items are encoded messages."""

    async def close(self) -> None:
        """End what is under way."""
