"""A session in use: the protocol, its wire, time, and the callers that wait.

The wire moves frames; the session says what they mean; the link ties them to futures, answers
and streams. One timer serves all deadlines of a session; another, once a second, looks after
the other side (see `_liveness`).

A link of a peer asks the peer's lease before anything leaves and before items of streams are
taken in (`RequestHandler.may_answer`); requests are asked for by the peer's own gate. When the
lease does not hold, all that the other side has open here ends with an error in its place.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Mapping
from typing import Any

from grid.deadline import now
from grid.errors import MessageTooLarge, OutcomeUnknown
from grid.transport._arrivals import Arrivals
from grid.transport._liveness import Liveness
from grid.transport._warnings import warnings
from grid.transport.answer import Overdue, Reply
from grid.transport.budget import Budget
from grid.transport.failures import encode_failure
from grid.transport.protocol import ProtocolViolation, Session, Unwritten
from grid.transport.request_handler import RequestHandler
from grid.transport.settings import SessionSettings
from grid.transport.statistics import SessionStatistics, counted_by
from grid.transport.wire import Wire
from grid.wire_pb2 import Frame, Hello

__all__ = ["Link", "Overdue"]

QUEUE = 1024  # deliveries that may wait before a session counts as busy at 3/4 of it
_BUSY = QUEUE * 3 // 4
# Bounds of the queue for a side that sends and does not read; above them it is not read from.
_CONGESTED = 64 * QUEUE
_CONGESTED_BYTES = 16 * 1024 * 1024
_TICK = 1.0
_SILENCE = 60.0  # seconds without a sign of the other side's event loop
_REQUEST = Frame.REQUEST


class Link(Arrivals):
    """One session and the stream it runs on.

    Args:
        wire: the stream.
        dialled: True for the side that opened it.
        settings: the limits of this side.
        handler: takes requests; None if this side takes none.
        budget: bounds the bytes that are kept for the other side, together with all
            sessions that share it.

    Attributes:
        session: the protocol.
        address: the other side's, for `statistics`.
        ready: done when the other side has said hello.
        parting: True once nothing new may be opened here.
        closing: True once it ends when all is written.
        given_up: done when the other side is held to be gone; its result is the reason.
        reason: once it is over, the reason.
        largest: bytes of the largest message that both sides take.
        on_unwritten: takes the messages that may go to another session.
        on_parting: called when nothing new may be opened here.
    """

    def __init__(
        self,
        wire: Wire,
        *,
        dialled: bool,
        settings: SessionSettings,
        handler: RequestHandler | None = None,
        budget: Budget | None = None,
    ) -> None:
        self._wire = wire
        self._handler = handler
        self._loop = asyncio.get_running_loop()
        self._expiry: asyncio.TimerHandle | None = None
        self._expiry_at = math.inf
        self._now = self._began = now()
        self.closing: bool = False
        self.given_up: asyncio.Future[str] = self._loop.create_future()
        self.address = ""
        self.parting: bool = False
        self.reason: str = ""
        self.largest: int = settings.max_message_bytes
        self.ready: asyncio.Future[Hello] = self._loop.create_future()
        self.on_unwritten: Callable[[list[Unwritten]], None] = _fail_unwritten
        self.on_parting: Callable[[], None] = lambda: None
        self.session: Session = Session(
            self,
            wire.wake,
            dialled=dialled,
            settings=settings,
            overlap=wire.overlap,
            budget=budget,
        )
        self._liveness = Liveness(self.session, self._began)

    # -- life ------------------------------------------------------------------------

    async def run(self) -> str:
        """Carry the session until it ends; returns the reason. Cancelling it ends it at once."""
        self._ticking = self._loop.call_later(_TICK, self._tick)
        try:
            self.end(await self._wire.carry(self))
        finally:
            self._ticking.cancel()
            self.end("it was closed")
        return self.reason

    def close(self) -> None:
        """Write all that is queued, then end."""
        self.closing = self.parting = True
        self.session.release()
        self._wire.wake()

    @property
    def busy(self) -> bool:
        """True while enough deliveries are queued for another session to help."""
        return self.session.queued >= _BUSY

    def say_goodbye(self, reason: str) -> None:
        """Tell the other side to open nothing more here."""
        self.session.say_goodbye(reason)

    def end(self, reason: str) -> None:
        """End all that is open; the wire is gone, or is to go. Idempotent."""
        if self.reason:
            return
        self.reason = reason
        self._wire.wake()
        self.parting = True
        self.on_parting()  # first, or unwritten messages would come back here
        lost = self.session.close()
        if self._expiry is not None:
            self._expiry.cancel()
        if not self.ready.done():
            self.ready.cancel()
        for token in (*lost.written, *lost.streams):
            if not token.done():
                cut = OutcomeUnknown(f"the session ended: {reason}")
                self._tell(token, token.set_exception, cut)
        for answer in lost.attached:
            answer.cancel()
        self.on_unwritten(lost.unwritten)

    # -- frames: see `wire.Frames` -----------------------------------------------------

    def feed(self, frame: bytes | memoryview) -> str | None:
        """Take a frame; the reason to end the session, if the frame breaks the rules."""
        self._now = now()
        handler = self._handler
        if handler is not None and self.session.flows and not handler.may_answer():
            self.session.fence(encode_failure(handler.late()))
        try:
            self.session.receive(frame, self._now)
        except ProtocolViolation as error:
            warnings.warn("a session ends: %s", error)
            return str(error)
        if self.parting and self.session.idle:
            self.close()
        return None

    def next_frame(self) -> bytes | None:
        """The next frame to write; None if there is none now (see `held_until`)."""
        handler = self._handler
        if handler is not None and not handler.may_answer():
            self.session.fence(encode_failure(handler.late()))
        return self.session.next_frame(now())

    def frame_written(self) -> None:
        """Note that the frame is written."""
        for token in self.session.frame_written():
            if not token.done():
                token.set_result(None)

    @property
    def held_until(self) -> float:
        """The time to ask again for a frame without being woken; infinite if never."""
        return self.session.held_until

    @property
    def congested(self) -> bool:
        """True while the other side takes so little that nothing more should be read.

        Bytes count at a peer only: two sides that both stopped reading, each full of messages
        for the other, would wait for ever. Large messages do not count: small ones pass them.
        """
        out = self.session._out
        return len(out) > _CONGESTED or (
            self._handler is not None and out.bytes - out.large_bytes > _CONGESTED_BYTES
        )

    # -- figures -----------------------------------------------------------------------------

    @property
    def heard_at(self) -> float:
        """The time the last frame came, on the clock of `deadline.now`; 0 if none has."""
        return self._now if self.session.received.frames else 0.0

    @property
    def round_trip(self) -> float:
        """Seconds that the last ping took; 0 before the first."""
        return self._liveness.round_trip

    @property
    def idle_limit(self) -> float:
        """Seconds without use after which it closes."""
        return self._liveness.idle_limit

    @idle_limit.setter
    def idle_limit(self, seconds: float) -> None:
        self._liveness.idle_limit = seconds

    def statistics(self) -> SessionStatistics:
        """A snapshot of the session's state and counters."""
        session, at, liveness = self.session, now(), self._liveness
        sent, received = session.sent, session.received
        return SessionStatistics(
            **counted_by(sent, received, late=session.late, tells_refused=session.tells_refused),
            address=self.address,
            in_flight=session.in_flight,
            queued=session.queued,
            streams=session.streams,
            busy=self.busy,
            round_trip=liveness.round_trip or None,
            age=at - self._began,
            idle=0.0 if liveness.in_use else at - liveness.last_used,
        )

    # -- time --------------------------------------------------------------------------

    def _schedule(self, at: float) -> None:
        if self._expiry is not None:
            self._expiry.cancel()
        self._expiry_at = at
        self._expiry = self._loop.call_later(max(0.0, at - now()), self._expire)

    def _expire(self) -> None:
        self._expiry, self._expiry_at = None, math.inf
        for token in self.session.expire(now()):
            if not token.done():
                self._tell(token, token.set_exception, Overdue("overdue"))
        at = self.session.next_expiry()
        if at < math.inf:
            self._schedule(at)

    def _tick(self) -> None:
        self._ticking = self._loop.call_later(_TICK, self._tick)
        at = now()
        if self.session.next_expiry() < self._expiry_at:
            # Large messages of the other side have deadlines, too.
            self._schedule(self.session.next_expiry())
        if self._liveness.is_idle(at):
            self.on_parting()
            self.close()
        lost = self._liveness.lost(at, _SILENCE, self._wire.peer_is_stopped)
        if lost is not None:
            self._give_up(lost)

    def _give_up(self, reason: str) -> None:
        if not self.given_up.done():
            warnings.warn("a session ends: %s", reason)
            self.given_up.set_result(reason)

    def ask_for_sign(self, silence: float) -> None:
        """Ping the other side after some seconds of silence; `heard_at` has its answer."""
        at = now()
        if self.heard_at and at - self._now > silence:
            self._liveness.ping(at)

    # -- exchanges opened here ------------------------------------------------------------

    def request(
        self,
        receiver: str,
        epoch: int,
        type_name: str,
        data: bytes,
        metadata: Mapping[str, str] | None,
        at: float,
        milliseconds: int,
        again: bool = False,
    ) -> tuple[asyncio.Future[Reply], int]:
        """Send a request; returns its answer, and its number for `cancel`.

        Args:
            receiver: the full name of the mailbox.
            epoch: the epoch of its registration, 0 if it is not known.
            type_name: the type of the message.
            data: the encoded message.
            metadata: for the receiver to read.
            at: the deadline on the clock of `deadline.now`.
            milliseconds: the time from now until then.
            again: it may be written to another session if this one is lost.

        Raises:
            MessageTooLarge: the other side takes no message of this size. Nothing was sent.
        """
        future: asyncio.Future[Reply] = self._loop.create_future()
        if again or at < self._expiry_at or len(data) > self.largest:
            return future, self.send(
                future, receiver, epoch, type_name, data, metadata, at, milliseconds, again
            )
        # The common case of `send`, inlined: a call less for each request.
        return future, self.session.open(
            future, _REQUEST, receiver, epoch, type_name, data, metadata, at, milliseconds
        )

    def send(
        self,
        token: asyncio.Future[Any],
        receiver: str,
        epoch: int,
        type_name: str,
        data: bytes,
        metadata: Mapping[str, str] | None,
        at: float,
        milliseconds: int,
        again: bool = False,
    ) -> int:
        """Send a request whose answer goes to a given future; see `request`."""
        if len(data) > self.largest:
            raise MessageTooLarge(len(data), self.largest)
        kept = None
        if again:
            kept = Unwritten(
                token, _REQUEST, receiver, epoch, type_name, data, metadata, at, again=True
            )
        number = self.session.open(
            token,
            _REQUEST,
            receiver,
            epoch,
            type_name,
            data,
            metadata,
            at,
            milliseconds,
            kept,
        )
        if at < self._expiry_at:
            self._schedule(at)
        return number

    def open(self, opening: Unwritten) -> int:
        """Open any kind of exchange; see `request`."""
        if len(opening.data) > self.largest:
            raise MessageTooLarge(len(opening.data), self.largest)
        token, kind, receiver, epoch, type_name, data, metadata, at, again, _ = opening
        left = 0 if at == math.inf else max(1, math.ceil((at - now()) * 1000))
        number = self.session.open(
            token,
            kind,
            receiver,
            epoch,
            type_name,
            data,
            metadata,
            at,
            left,
            opening if again else None,
        )
        if at < self._expiry_at:
            self._schedule(at)
        return number

    def cancel(self, number: int) -> bool:
        """Give up an exchange that is not waited for any more; False if it is not open here."""
        return self.session.cancel(number)

    # -- events of the whole session; the others are in `Arrivals` ------------------------

    def on_hello(self, hello: Hello) -> None:
        self.largest = self.session.largest
        if not self.ready.done():
            self.ready.set_result(hello)

    def on_goodbye(self, reason: str) -> None:
        self.parting = True
        self.on_parting()
        self.on_unwritten(self.session.take_unwritten())

    def on_pong(self, number: int) -> None:
        self._liveness.answered(now())


def _fail_unwritten(unwritten: list[Unwritten]) -> None:
    for one in unwritten:
        if not one.token.done():
            one.token.set_exception(OutcomeUnknown("the session ended"))
