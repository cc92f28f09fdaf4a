"""From an envelope to its answer: who has the name, how to get there, and again if safe.

An attempt uses the client's view of the names, which costs nothing; after one
that failed the name is read from etcd, for it may have moved. A peer on this
event loop is asked without the network; it gets its own copy all the same,
because the message travels as bytes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from google.protobuf.message import Message

from grid._directory import Directory
from grid._dispatch import local_dispatcher
from grid._retry import Retry, may_resend, resend
from grid.codec import Codec
from grid.deadline import Deadline
from grid.errors import DeadlineExceeded, GridError, UnregisteredMailbox
from grid.registration import Registration
from grid.transport.unary import UnaryTransport
from grid.wire_pb2 import Delivery

__all__ = ["Router", "read_registration", "within"]

T = TypeVar("T")


class Router:
    """Asks mailboxes by name, within a deadline and a policy of resending."""

    def __init__(
        self, mailboxes: Directory, transport: UnaryTransport, codec: Codec, retry: Retry
    ) -> None:
        self._mailboxes = mailboxes
        self._transport = transport
        self._codec = codec
        self._retry = retry

    async def ask(
        self, delivery: Delivery, deadline: Deadline, *, idempotent: bool, wait: bool
    ) -> Message:
        """The answer to an envelope; errors and arguments are those of `Client.request`."""
        try:
            return await self._ask(delivery, deadline)
        except GridError as error:
            if not may_resend(error, self._retry, idempotent=idempotent, wait=wait):
                raise
        return await resend(
            lambda: self._ask_anew(delivery, deadline),
            self._retry,
            deadline,
            idempotent=idempotent,
            wait=wait,
        )

    async def _ask(self, delivery: Delivery, deadline: Deadline) -> Message:
        route = self._mailboxes.find(delivery.receiver)
        if route is None:
            route = await self._read(delivery.receiver, deadline)
        delivery.epoch = route.epoch
        here = local_dispatcher(route.address)
        if here is not None:
            answering = here.deliver(delivery, deadline)
            name, data = await within(deadline, delivery.receiver, answering)
            return self._codec.decode(name, data)
        answer = await self._transport.ask(route.address, delivery, deadline)
        return self._codec.decode(answer.typeName, answer.data)

    async def _ask_anew(self, delivery: Delivery, deadline: Deadline) -> Message:
        await self._read(delivery.receiver, deadline)
        return await self._ask(delivery, deadline)

    async def _read(self, key: str, deadline: Deadline) -> Registration:
        return await read_registration(self._mailboxes, key, deadline)


async def read_registration(directory: Directory, key: str, deadline: Deadline) -> Registration:
    """What etcd has for a key now.

    Raises:
        UnregisteredMailbox: nobody holds it.
        EtcdError, DeadlineExceeded: it cannot be read, or not in time.
    """
    name = key.rpartition(".")[2]
    found = await within(deadline, name, directory.read(key))
    if found is None:
        raise UnregisteredMailbox(name)
    return found


async def within(deadline: Deadline, what: str, doing: Awaitable[T]) -> T:
    """The result of `doing`, or `DeadlineExceeded` for `what` when time is over."""
    try:
        async with asyncio.timeout(deadline.remaining()):
            return await doing
    except TimeoutError as error:
        if isinstance(error, GridError):
            raise
        raise DeadlineExceeded(what, deadline.timeout) from None
