"""Deliveries to mailboxes of this peer: the one way in, from the wire or from here.

A delivery is refused unless the peer serves and its lease is valid, the
mailbox is there, and the epoch that the sender resolved is the mailbox's. The
lease is looked at again before the answer goes out: an actor that outlived its
lease may not acknowledge anything (the promises G2 and G3).
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
import math
from collections.abc import AsyncIterator, Mapping
from threading import get_ident
from types import MappingProxyType
from typing import Protocol

from grid.codec import Codec
from grid.deadline import Deadline
from grid.errors import (
    GridError,
    OutcomeUnknown,
    PeerNotServing,
    ReceiverBusy,
    StaleEpoch,
    UnknownMailbox,
)
from grid.mailbox.interception import IncomingInterception
from grid.mailbox.mailbox import Mailbox
from grid.transport.answer import Answer, FutureAnswer, Reply
from grid.wire_pb2 import Delivery

__all__ = ["Dispatcher", "State", "local_dispatcher", "peer_of_this_loop"]


class State(enum.StrEnum):
    """The states of a peer; it takes requests only in SERVING."""

    STARTING = "starting"
    SERVING = "serving"
    DRAINING = "draining"
    FENCED = "fenced"
    STOPPED = "stopped"


class Validity(Protocol):
    """A lease, as far as it matters here."""

    @property
    def valid(self) -> bool:
        """True while the peer's names are surely its own."""
        ...


_NOTHING: Mapping[str, str] = MappingProxyType({})

_local: dict[str, Dispatcher] = {}  # by advertised address; a port has one owner


def local_dispatcher(address: str) -> Dispatcher | None:
    """The dispatcher of the peer at an address, if it lives on this event loop."""
    found = _local.get(address)
    # A thread runs one loop at a time; to ask for it costs a system call.
    if found is None or found.thread != get_ident() or not found.loop.is_running():
        return None
    return found


class _Opening:
    """A name that is being claimed here, by one mailbox or several, and what came for it.

    As many deliveries wait as the largest of these mailboxes holds: a claim may take as long as
    etcd is away, and senders go on meanwhile.
    """

    def __init__(self) -> None:
        self.claims = 0
        self.size = 0
        self.deliveries: list[tuple[int, str, bytes, Mapping[str, str] | None, Answer]] = []


def peer_of_this_loop() -> str:
    """The name of a peer that lives on the event loop running in this thread; empty for none."""
    # Not by the thread: a dispatcher that was never closed, or one of no peer, may share it.
    loop = asyncio._get_running_loop()
    return next((one.peer for one in tuple(_local.values()) if one.peer and one.loop is loop), "")


class Dispatcher:
    """The mailboxes of a peer, by full name, and the gate before them."""

    def __init__(self, codec: Codec) -> None:
        self.codec = codec
        self.interception: IncomingInterception | None = None
        self.loop: asyncio.AbstractEventLoop = asyncio.get_running_loop()
        self.thread: int = get_ident()
        self.state: State = State.STARTING
        self.peer: str = ""
        self._lease: Validity | None = None
        self._mailboxes: dict[str, Mailbox] = {}
        self._openings: dict[str, _Opening] = {}
        self._address = ""

    def open(self, address: str, peer: str, lease: Validity) -> None:
        """Take deliveries, also local ones for the address, while the lease is valid."""
        if _local.get(self._address) is self:
            del _local[self._address]  # a peer that moved has another one
        self._address, self.peer, self._lease = address, peer, lease
        self.state = State.SERVING
        _local[address] = self

    def close(self) -> None:
        """Take no local deliveries any more."""
        self.state = State.STOPPED
        if _local.get(self._address) is self:
            del _local[self._address]

    @contextlib.asynccontextmanager
    async def opening(self, mailbox: Mailbox) -> AsyncIterator[None]:
        """Let a mailbox in that gets its name, and its epoch, inside the block.

        The name is in etcd before the claimant hears of it, so that a fast sender can be here
        first. Deliveries that come meanwhile wait, as many as the mailbox holds; they are refused
        if the name was not got.
        """
        key = mailbox.key
        opening = self._openings.setdefault(key, _Opening())
        opening.claims += 1
        opening.size = max(opening.size, mailbox.size)
        try:
            yield
        finally:
            opening.claims -= 1
            if mailbox.epoch:
                self._mailboxes[key] = mailbox
            if mailbox.epoch or not opening.claims:
                early, opening.deliveries = opening.deliveries, []
                if not opening.claims:
                    del self._openings[key]
                for delivery in early:
                    self.accept(key, *delivery)

    def remove(self, mailbox: Mailbox) -> None:
        """Forget a mailbox."""
        if self._mailboxes.get(mailbox.key) is mailbox:
            del self._mailboxes[mailbox.key]

    def find(self, key: str) -> Mailbox | None:
        """The mailbox of a full name, or None."""
        return self._mailboxes.get(key)

    def mailboxes(self) -> list[Mailbox]:
        """All mailboxes, the oldest first."""
        return list(self._mailboxes.values())

    def accept(
        self,
        receiver: str,
        epoch: int,
        type_name: str,
        data: bytes,
        metadata: Mapping[str, str] | None,
        answer: Answer,
    ) -> None:
        """Give a message to its mailbox; the outcome goes to `answer`, later or at once.

        Args:
            receiver: the mailbox's full name.
            epoch: the registration that the sender resolved, 0 for not known.
            type_name: of the message.
            data: the encoded message.
            metadata: what the sender says about it.
            answer: where the outcome goes.
        """
        try:
            mailbox = self._gate(receiver, epoch)
            message = self.codec.decode(type_name, data)
            if self.interception is not None:
                self.interception.begin(mailbox, message, type_name, metadata, answer, self._gate)
                return
            mailbox._put(message, type_name, metadata or _NOTHING, answer)
        except UnknownMailbox as error:
            opening = self._openings.get(receiver)
            if opening is None:
                answer.reject(error)
            elif len(opening.deliveries) >= opening.size:
                answer.reject(ReceiverBusy(receiver.rpartition(".")[2], opening.size))
            else:
                opening.deliveries.append((epoch, type_name, data, metadata, answer))
        except GridError as error:
            answer.reject(error)

    async def deliver(
        self,
        delivery: Delivery,
        deadline: Deadline | None,
        kind: type[FutureAnswer] = FutureAnswer,
    ) -> Reply:
        """Give an envelope to its mailbox and wait for the answer, which is of a given kind.

        Cancelling it tells the request that its caller has left.

        Raises:
            GridError: what the sender shall read.
        """
        future: asyncio.Future[Reply] = self.loop.create_future()
        answer = kind(future, math.inf if deadline is None else deadline.at)
        metadata = dict(delivery.metadata) if delivery.metadata else None
        self.accept(
            delivery.receiver,
            delivery.epoch,
            delivery.typeName,
            delivery.data,
            metadata,
            answer,
        )
        try:
            reply = await future
        finally:
            answer.cancel()
        if not self.may_answer():
            raise self.late()
        return reply

    def may_answer(self) -> bool:
        """True while the lease is certainly valid, so that an answer may go out."""
        return self._lease is not None and self._lease.valid

    def late(self) -> OutcomeUnknown:
        """The error for a caller whose answer came after the lease."""
        return OutcomeUnknown(f"peer {self.peer!r} lost its lease before the answer")

    def _gate(self, receiver: str, epoch: int) -> Mailbox:
        if self.state is not State.SERVING or not self.may_answer():
            raise PeerNotServing(self.peer, self._refusal())
        mailbox = self._mailboxes.get(receiver)
        if mailbox is None:
            raise UnknownMailbox(receiver)
        if epoch and epoch != mailbox.epoch:
            raise StaleEpoch(receiver, epoch, mailbox.epoch)
        return mailbox

    def _refusal(self) -> str:
        return str(State.FENCED if self.state is State.SERVING else self.state)
