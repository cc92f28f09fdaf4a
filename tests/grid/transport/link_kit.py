"""The server's side of sessions without a peer around it, and transports to it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from typing import Any

from grid.deadline import Deadline
from grid.errors import GridError, OutcomeUnknown
from grid.testing import wait_until
from grid.transport.answer import Answer, FutureAnswer, Reply
from grid.transport.link import Link
from grid.transport.service import WireService
from grid.transport.settings import SessionSettings
from grid.transport.transport import Destination, Outgoing, Transport
from grid.wire_pb2 import Delivery

__all__ = ["Gatekeeper", "ask", "ask_many", "link_of", "outgoing", "serving", "transport"]


def outgoing(data: bytes = b"x", receiver: str = "m") -> Outgoing:
    """A message; its bytes are not looked at."""
    return Outgoing(receiver, 0, "grid.EchoMsg", data, None)


class Gatekeeper:
    """Takes requests: answers those to "m" with their own bytes, and keeps the others.

    Attributes:
        seen: the bytes of all that came, in order.
        held: the answers that are owed, by the bytes of their requests.
        valid: False when no answer may leave any more.
    """

    def __init__(self) -> None:
        self.seen: list[bytes] = []
        self.held: dict[bytes, Answer] = {}
        self.valid = True
        self.took: Callable[[], None] = lambda: None

    def accept(
        self,
        receiver: str,
        epoch: int,
        type_name: str,
        data: bytes,
        metadata: Mapping[str, str] | None,
        answer: Answer,
    ) -> None:
        self.seen.append(data)
        if receiver == "m":
            answer.resolve(type_name, data)
        else:
            self.held[data] = answer
        self.took()

    def may_answer(self) -> bool:
        return self.valid

    def late(self) -> GridError:
        return OutcomeUnknown("the lease is lost")

    async def deliver(
        self,
        delivery: Delivery,
        deadline: Deadline | None,
        kind: type[FutureAnswer] = FutureAnswer,
    ) -> Reply:
        future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self.accept(delivery.receiver, 0, delivery.typeName, delivery.data, None, kind(future))
        return await future


@contextlib.asynccontextmanager
async def serving(
    gate: Any, listen: str = "127.0.0.1:0", **settings: Any
) -> AsyncIterator[tuple[str, WireService]]:
    """A service that gives requests to a gate; its address, and itself."""
    service = WireService(listen, settings=SessionSettings(**settings), reflection=False)
    await service.start(gate)
    try:
        yield f"127.0.0.1:{service.port}", service
    finally:
        await service.stop(0.1)


@contextlib.asynccontextmanager
async def transport(
    sessions: int = 1, idle: float = 60.0, **settings: Any
) -> AsyncIterator[Transport]:
    """A transport that is closed at the end."""
    made = Transport(settings=SessionSettings(**settings), sessions=sessions, idle=idle)
    try:
        yield made
    finally:
        await made.close()


async def ask(
    way: Transport,
    address: str,
    data: bytes = b"x",
    *,
    receiver: str = "m",
    timeout: float = 10.0,
    again: bool = False,
) -> bytes:
    """The bytes of the answer."""
    to = Destination(address, "", True)
    reply = await way.ask(to, outgoing(data, receiver), Deadline.after(timeout), again=again)
    return reply[1]


async def ask_many(
    way: Transport, address: str, datas: Iterable[bytes], **options: Any
) -> list[bytes | BaseException]:
    """Outcomes of many requests at once."""
    asking = (ask(way, address, data, **options) for data in datas)
    return await asyncio.gather(*asking, return_exceptions=True)


async def hold(way: Transport, gate: Gatekeeper, address: str, timeout: float = 10) -> asyncio.Task:  # type: ignore[type-arg]
    """A request that has arrived and is not answered."""
    asking = asyncio.create_task(ask(way, address, b"hold", receiver="later", timeout=timeout))
    await wait_until(lambda: b"hold" in gate.held, "the request arrived")
    return asking


def link_of(way: Transport) -> Link:
    """The only session there is."""
    (pool,) = way.pools
    (link,) = pool.links
    return link
