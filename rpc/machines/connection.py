"""The mirror's end of one stream to a source: sends calls, and applies what comes.

A connection lives as long as its stream. The mirror, the pending calls and the
subscriptions outlive it: they belong to the client.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

from google.protobuf.message import Message

from rpc.machine_pb2 import (
    Call,
    Fault,
    Outcome,
    Receipt,
    Resync,
    Snapshot,
    Step,
    ToMirror,
    ToSource,
    Value,
    Welcome,
)
from rpc.machine_pb2 import Payload as Piece
from rpc.machines.errors import NotConnected, ProtocolError
from rpc.machines.functions import OfferedFunctions
from rpc.machines.messages import VERSION, raised
from rpc.machines.mirror import Change, Decision, Mirror, Resynchronise
from rpc.machines.neighbour import Neighbour
from rpc.machines.payload_exchange import PayloadExchange
from rpc.machines.payloads import Assembler, Payload, Progress
from rpc.machines.streams import MirrorStream
from rpc.machines.work import Work

__all__ = ["Connection", "MirrorOwner"]

_log = logging.getLogger("rpc.client")
_RESYNC_AGAIN = 2.0  # seconds after which a snapshot that did not come is asked for again


class MirrorOwner(Protocol):
    """The client, as far as a connection needs it."""

    def welcomed(self, welcome: Welcome) -> Decision:
        """Take over names, schema and clock of a source."""

    def changed(self, change: Change) -> None:
        """The mirror has another clock."""

    def outcome(self, outcome: Outcome) -> None:
        """A call has its outcome; the clock in it has been applied."""

    def matched(self, token: int) -> None:
        """A state began with the arguments of a subscription."""

    def value(self, value: Value) -> None:
        """A function of the source has answered."""

    def stepped(self, step: Step) -> None:
        """The source has made a transition; the clock in it has been applied."""

    def faulted(self, fault: Fault) -> None:
        """The source has another error."""

    def payload(self, payload: Payload) -> object:
        """A payload has come whole; what is returned is awaited, if it can be."""

    def refused(self, refusal: Receipt) -> None:
        """A subscription cannot be made."""

    def progress(self, progress: Progress) -> None:
        """A piece of a payload has come."""

    def synchronised(self, answers: int) -> None:
        """The mirror has the clock that was asked for with this number; 0: a source's own."""

    def heard(self) -> None:
        """A message has come."""


class Connection:
    """One stream to a source.

    Args:
        stream: to the source.
        mirror: kept by what comes.
        owner: told of what comes.
        functions: those that the source may call.
        limit: bytes of a payload.

    Attributes:
        in_process: the source may be asked without messages; see `neighbour`.
        welcomes: how many welcomes have followed the first; the number of the agreed names.
        start: runs work until the connection ends at the latest.
    """

    def __init__(
        self,
        stream: MirrorStream,
        mirror: Mirror,
        owner: MirrorOwner,
        functions: OfferedFunctions,
        limit: int,
    ) -> None:
        self.welcomes = 0
        self.in_process = stream.in_process
        self._stream = stream
        self._mirror = mirror
        self._owner = owner
        self._functions = functions
        self._payloads = PayloadExchange(
            "the source", Assembler(limit), owner.payload, owner.progress
        )
        self._sending = asyncio.Lock()
        self._held_up = 0  # messages that wait for their turn
        self._asked = 0  # snapshots
        self._loop = asyncio.get_running_loop()
        self._again: asyncio.TimerHandle | None = None
        self._work = Work("mirror", _failed)
        self.start = self._work.start

    async def welcome(self) -> Welcome:
        """The source's first message.

        Raises:
            ProtocolError: it is another, or of another version.
            NotConnected: the source closed the stream.
        """
        message = await self._stream.receive()
        if message is None:
            raise NotConnected("the source closed the connection before it sent anything")
        if not isinstance(message, ToMirror) or message.WhichOneof("kind") != "welcome":
            raise ProtocolError("the source did not begin with a welcome")
        welcome = message.welcome
        if welcome.version != VERSION:
            raise ProtocolError(f"the source speaks version {welcome.version}, not {VERSION}")
        self._decide(self._owner.welcomed(welcome))
        return welcome

    async def run(self) -> None:
        """Apply what comes until the stream ends.

        Raises:
            GridError: the stream broke.
            MachineError: the source has ended it for good, or breaks the protocol.
        """
        self._stream.hand_to(self._take)
        try:
            while (message := await self._stream.receive()) is not None:
                self._take(message)
        finally:
            await self._close()

    def send_nowait(self, message: ToSource) -> bool:
        """Send a message if nothing waits before it; False if `send` has to. Raises as `send`."""
        return not self._held_up and self._stream.send_nowait(message)

    def neighbour(self) -> Neighbour | None:
        """The source, if it is in this process and nothing is under way to it or from it."""
        if self._held_up:
            return None
        shared = self._stream.shared()
        return shared if isinstance(shared, Neighbour) else None

    async def send(self, message: ToSource) -> None:
        """Send a message in its turn. Raises as `grid.Stream.send` does."""
        self._held_up += 1
        try:
            async with self._sending:
                await self._stream.send(message)
        finally:
            self._held_up -= 1

    def resync(self, reason: str) -> Resync:
        """The message that asks for a snapshot; later ones have larger numbers."""
        self._asked += 1
        return Resync(reason=reason, sequence=self._mirror.sequence, number=self._asked)

    async def close(self) -> None:
        """End the stream; `run` returns."""
        await self._close()
        await self._stream.close()

    async def send_payload(
        self, payload: Payload, on_progress: Callable[[Progress], object] | None
    ) -> None:
        """Send a payload; see `PayloadExchange.send`."""
        await self._payloads.send(
            lambda one: self.send(ToSource(payload=one)), payload, on_progress
        )

    async def _close(self) -> None:
        if self._again is not None:
            self._again.cancel()
        self._payloads.end(NotConnected("the connection ended before the payload had arrived"))
        await self._work.end()

    def start_soon(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Start work from any thread; nothing happens once the loop is closed."""
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(lambda: self.start(work()))

    # -- what comes ------------------------------------------------------------------------

    def _take(self, message: Message) -> bool:
        if not isinstance(message, ToMirror):
            raise ProtocolError(f"the source sent a {type(message).__name__}")
        self._owner.heard()
        kind = message.WhichOneof("kind") or ""
        taker = _TAKERS.get(kind)
        if taker is None:
            raise ProtocolError("the source sent a message of an unknown kind")
        taker(self, getattr(message, kind))
        return True

    def _decide(self, decision: Decision) -> None:
        match decision:
            case Change():
                self._owner.changed(decision)
            case Resynchronise():
                self._resynchronise(decision)

    def _resynchronise(self, why: Resynchronise) -> None:
        _log.warning("the mirror asks for a snapshot: %s", why.reason)
        self.start(self.send(ToSource(resync=self.resync(why.reason))))
        if self._again is not None:
            self._again.cancel()
        self._again = self._loop.call_later(_RESYNC_AGAIN, self._ask_again, why)

    def _ask_again(self, why: Resynchronise) -> None:
        if not self._mirror.synchronised:
            self._resynchronise(why)

    def _take_clock(self, message: Any) -> None:
        self._decide(self._mirror.update(message))

    def _take_snapshot(self, message: Snapshot) -> None:
        decision = self._mirror.snapshot(message)
        self._decide(decision)
        if isinstance(decision, Change):
            self._owner.synchronised(message.answers)

    def _take_welcome(self, message: Welcome) -> None:
        self.welcomes += 1
        self._decide(self._owner.welcomed(message))

    def _take_outcome(self, message: Outcome) -> None:
        if message.HasField("clock"):
            decision = self._mirror.update(message.clock)
            if decision is not None:
                self._decide(decision)
        self._owner.outcome(message)

    def _take_step(self, message: Step) -> None:
        if message.HasField("clock"):
            self._decide(self._mirror.update(message.clock))
        self._owner.stepped(message)

    def _take_farewell(self, message: Fault) -> None:
        raise raised(message)

    def _take_matched(self, token: int) -> None:
        self._owner.matched(token)

    def _take_value(self, message: Value) -> None:
        self._owner.value(message)

    def _take_fault(self, message: Fault) -> None:
        self._owner.faulted(message)

    def _take_call(self, message: Call) -> None:
        self.start(self._answer(message))

    def _take_payload(self, piece: Piece) -> None:
        whole, receipt = self._payloads.take(piece)
        if receipt is not None:
            self.start(self.send(ToSource(receipt=receipt)))
        elif whole is not None:
            self.start(self._deliver(piece.id, whole))

    async def _deliver(self, number: int, payload: Payload) -> None:
        await self.send(ToSource(receipt=await self._payloads.deliver(number, payload)))

    def _take_receipt(self, receipt: Receipt) -> None:
        self._payloads.taken(receipt)

    def _take_refused(self, refusal: Receipt) -> None:
        self._owner.refused(refusal)

    async def _answer(self, call: Call) -> None:
        await self._functions.respond(call, lambda value: self.send(ToSource(value=value)))


def _failed(error: BaseException) -> None:
    _log.error("work of a mirror failed", exc_info=error)


_TAKERS: dict[str, Callable[[Connection, Any], None]] = {
    "clock": Connection._take_clock,
    "outcome": Connection._take_outcome,
    "snapshot": Connection._take_snapshot,
    "welcome": Connection._take_welcome,
    "matched": Connection._take_matched,
    "value": Connection._take_value,
    "call": Connection._take_call,
    "payload": Connection._take_payload,
    "fault": Connection._take_fault,
    "step": Connection._take_step,
    "farewell": Connection._take_farewell,
    "receipt": Connection._take_receipt,
    "refused": Connection._take_refused,
}
