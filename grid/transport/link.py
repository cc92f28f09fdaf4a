"""A session in use: the protocol, the wire that carries it, time, and who is told.

The wire moves frames; the session says what they mean; this ties them to
futures, answers and streams. One timer serves all deadlines, one looks after
the other side.

Liveness has two layers. A process that is dead or stopped is noticed by its
wire in seconds: gRPC's own pings, which it sends and answers from threads of
its own, or the kernel. A handler that merely keeps its event loop busy is not.
Above that, while answers are awaited and nothing comes, the session pings;
only if the other side's event loop stays silent for a minute is the session
given up.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import grpc

from grid.deadline import now
from grid.errors import GridError, MessageTooLarge, OutcomeUnknown
from grid.transport._answers import SessionAnswer, StreamAnswer, TellAnswer
from grid.transport._routes import InboundRoute
from grid.transport.answer import Answer, Reply
from grid.transport.failures import decode_failure, encode_failure
from grid.transport.protocol import ProtocolViolation, Session, Unwritten
from grid.transport.settings import SessionSettings
from grid.transport.statistics import SessionStatistics, counted_by
from grid.transport.stream_end import StreamEnd
from grid.wire_pb2 import Failure, Frame, Hello

__all__ = ["Gate", "Link", "Overdue", "Wire"]

_log = logging.getLogger("grid.transport")

QUEUE = 1024  # deliveries that may wait before a session counts as busy at 3/4 of it
_BUSY = QUEUE * 3 // 4
_CONGESTED = 64 * QUEUE  # a side that sends and does not read shall not fill the memory
_TICK = 1.0
_STOPPED = 3.0  # seconds of silence after which a stopped process is given up
_SILENCE = 60.0  # seconds without a sign of the other side's event loop


class Gate(Protocol):
    """Who takes requests here, and whether answers may still leave."""

    def accept(
        self,
        receiver: str,
        epoch: int,
        type_name: str,
        data: bytes,
        metadata: Mapping[str, str] | None,
        answer: Answer,
    ) -> None:
        """Take a request; its outcome goes to `answer`."""

    def may_answer(self) -> bool:
        """True if answers may leave now."""

    def late(self) -> GridError:
        """What is told instead of an answer that may not leave."""


class Wire(Protocol):
    """Moves frames between two processes.

    Attributes:
        status: the gRPC status it ended with, if any.
        overlap: into how many frames what is in flight is best divided; more,
            where a frame costs less.
    """

    overlap: int
    status: grpc.StatusCode | None

    def wake(self) -> None:
        """Ask the link for frames."""

    async def carry(self, link: Link) -> str:
        """Move frames until the end; returns why. Cancelling it ends it at once."""

    def peer_is_stopped(self) -> bool:
        """True if the other side's process is known to stand still."""


class Overdue(GridError):
    """No answer within the time of the exchange; the caller makes a better error of it."""


class Link:
    """One session and the stream it runs on.

    Args:
        wire: the stream.
        dialled: True for the side that opened it.
        settings: what this side takes.
        gate: who takes requests; None if nobody does.

    Attributes:
        session: the protocol.
        address: the other side's, for `statistics`.
        ready: done when the other side has said hello.
        parting: True once nothing new may be opened here.
        closing: True once it ends when all is written.
        given_up: done when the other side is held to be gone; its result is why.
        idle_limit: seconds without a delivery after which it closes.
        reason: once it is over, why.
        round_trip: seconds that the last ping took.
        tells_refused: one-way messages of the other side that no mailbox took.
        largest: bytes of the largest message that both sides take.
        on_unwritten: is given what may go to another session.
        on_parting: called when nothing new may be opened here.
    """

    def __init__(
        self, wire: Wire, *, dialled: bool, settings: SessionSettings, gate: Gate | None = None
    ) -> None:
        self._wire = wire
        self._gate = gate
        self._loop = asyncio.get_running_loop()
        self._expiry: asyncio.TimerHandle | None = None
        self._expiry_at = math.inf
        self._now = self._began = now()
        self._heard = 0
        self._silent_since = math.inf
        self._pinged_at = 0.0
        self.closing = False
        self.given_up: asyncio.Future[str] = self._loop.create_future()
        self._used = 0
        self._last_used = self._now
        self.idle_limit = math.inf
        self.address = ""
        self.parting = False
        self.reason = ""
        self.round_trip = 0.0
        self.tells_refused = 0
        self.largest = settings.max_message_bytes
        self.ready: asyncio.Future[Hello] = self._loop.create_future()
        self.on_unwritten: Callable[[list[Unwritten]], None] = _fail_unwritten
        self.on_parting: Callable[[], None] = _nothing
        self.session = Session(
            self, wire.wake, dialled=dialled, settings=settings, overlap=wire.overlap
        )

    # -- life ------------------------------------------------------------------------

    async def run(self) -> str:
        """Carry the session until it ends; returns why. Cancelling it ends it at once."""
        self._ticking = self._loop.call_later(_TICK, self._tick)
        try:
            self.end(await self._wire.carry(self))
        finally:
            self._ticking.cancel()
            self.end("it was closed")
        return self.reason

    def close(self) -> None:
        """Write what is queued, then end."""
        self.closing = self.parting = True
        self.session.release()
        self._wire.wake()

    @property
    def busy(self) -> bool:
        """True while so much is queued that another session would help."""
        return self.session.queued >= _BUSY

    @property
    def idle(self) -> bool:
        """True while no exchange is open and nothing waits."""
        return not (self.session.in_flight or self.session.queued)

    def say_goodbye(self, reason: str) -> None:
        """Tell the other side to open nothing more here."""
        self.session.say_goodbye(reason)

    # -- what the wire asks and tells ----------------------------------------------------

    def feed(self, frame: bytes | memoryview) -> str | None:
        """Take a frame; why the session must end, if it breaks the rules."""
        self._now = now()
        try:
            self.session.receive(frame, self._now)
        except ProtocolViolation as error:
            _log.warning("a session ends: %s", error)
            return str(error)
        if self.parting and self.idle:
            self.close()
        return None

    def next_frame(self) -> bytes | None:
        """The next frame to write; None if there is none now (see `held_until`)."""
        gate = self._gate
        if gate is not None and not gate.may_answer():
            self.session.revoke_replies(encode_failure(gate.late()))
        return self.session.next_frame(now())

    def frame_written(self) -> None:
        """The frame is written."""
        for token in self.session.frame_written():
            if not token.done():
                token.set_result(None)

    @property
    def held_until(self) -> float:
        """When to ask again for a frame, without being woken; infinite if never."""
        return self.session.held_until

    def end(self, reason: str) -> None:
        """The wire is gone, or is to go; what is open ends now. Idempotent."""
        if self.reason:
            return
        self.reason = reason
        self._wire.wake()
        self.parting = True
        self.on_parting()  # first, or what was not written would come back here
        lost = self.session.close()
        if self._expiry is not None:
            self._expiry.cancel()
        if not self.ready.done():
            self.ready.cancel()
        for token in (*lost.written, *lost.streams):
            if not token.done():
                token.set_exception(OutcomeUnknown(f"the session ended: {reason}"))
        for answer in lost.attached:
            answer.cancel()
        self.on_unwritten(lost.unwritten)

    # -- how it does ------------------------------------------------------------------------

    @property
    def congested(self) -> bool:
        """True while the other side takes so little that nothing more should be read."""
        return self.session.queued > _CONGESTED

    @property
    def heard_at(self) -> float:
        """When the last frame came, on the clock of `deadline.now`; 0 if none has."""
        return self._now if self.session.received.frames else 0.0

    def statistics(self) -> SessionStatistics:
        """What it has carried, and what it does now."""
        session, at = self.session, now()
        sent, received = session.sent, session.received
        used = session.in_flight or sent.deliveries + received.deliveries != self._used
        return SessionStatistics(
            **counted_by(sent, received, late=session.late, tells_refused=self.tells_refused),
            address=self.address,
            in_flight=session.in_flight,
            queued=session.queued,
            streams=session.streams,
            busy=self.busy,
            round_trip=self.round_trip or None,
            age=at - self._began,
            idle=0.0 if used else at - self._last_used,
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
                token.set_exception(Overdue("overdue"))
        at = self.session.next_expiry()
        if at < math.inf:
            self._schedule(at)

    def _tick(self) -> None:
        self._ticking = self._loop.call_later(_TICK, self._tick)
        at = now()
        self._look_for_idleness(at)
        heard = self.session.received.frames
        if heard != self._heard or not self.session.awaited:
            self._heard, self._silent_since = heard, at
            return
        silence = at - self._silent_since
        if silence > _SILENCE:
            self._give_up(f"nothing came for {_SILENCE:g} s")
        elif silence > _STOPPED and self._wire.peer_is_stopped():
            self._give_up("the other side's process is stopped")
        elif not self._pinged_at:
            self._pinged_at = at
            self.session.ping(1)

    def _give_up(self, reason: str) -> None:
        if not self.given_up.done():
            _log.warning("a session ends: %s", reason)
            self.given_up.set_result(reason)

    def ask_for_sign(self, silence: float) -> None:
        """Ping the other side after so many seconds of silence; `heard_at` has its answer."""
        at = now()
        if not self._pinged_at and self.heard_at and at - self._now > silence:
            self._pinged_at = at
            self.session.ping(1)

    def _look_for_idleness(self, at: float) -> None:
        # Pings and frames without deliveries do not count as use.
        used = self.session.sent.deliveries + self.session.received.deliveries
        if used != self._used or self.session.in_flight:
            self._used, self._last_used = used, at
        elif at - self._last_used > self.idle_limit:
            self.on_parting()
            self.close()

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
        """Send a request; its answer, and its number for `cancel`.

        Args:
            receiver: the mailbox's full name.
            epoch: its registration's, 0 for not known.
            type_name: of the message.
            data: the encoded message.
            metadata: for the receiver to read.
            at: the deadline on the clock of `deadline.now`.
            milliseconds: from now until then.
            again: it may be written to another session if this one is lost.

        Raises:
            MessageTooLarge: the other side takes no message of this size.
        """
        future: asyncio.Future[Reply] = self._loop.create_future()
        if again or at < self._expiry_at or len(data) > self.largest:
            return future, self.send(
                future, receiver, epoch, type_name, data, metadata, at, milliseconds, again
            )
        # What nearly every request comes to, without the call in between.
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
        """Nobody waits for an exchange any more; False if it is not open here."""
        return self.session.cancel(number)

    # -- what the session tells ---------------------------------------------------------------

    def on_hello(self, hello: Hello) -> None:
        self.largest = self.session.largest
        if not self.ready.done():
            self.ready.set_result(hello)

    def on_goodbye(self, reason: str) -> None:
        self.parting = True
        self.on_parting()
        self.on_unwritten(self.session.take_unwritten())

    def on_pong(self, number: int) -> None:
        self.round_trip, self._pinged_at = now() - self._pinged_at, 0.0

    def on_request(
        self,
        exchange: int,
        kind: int,
        route: InboundRoute,
        data: bytes,
        milliseconds: int,
        metadata: Mapping[str, str] | None,
    ) -> None:
        at = self._now + milliseconds / 1000 if milliseconds else math.inf
        answer: Answer
        if kind == _REQUEST:
            answer = SessionAnswer(self, exchange, at)
        elif kind == Frame.OPEN:
            answer = StreamAnswer(self, exchange, at)
        else:
            answer = TellAnswer(self, at)
        if self._gate is None:
            answer.reject(OutcomeUnknown("nobody takes requests here"))
            return
        if kind != Frame.TELL:
            self.session.attach(exchange, answer)
        self._gate.accept(route.receiver, route.epoch, route.type_name, data, metadata, answer)

    def on_cancel(self, token: Any) -> None:
        token.cancel()

    def on_reply(self, token: Any, type_name: str, data: bytes) -> None:
        # A stream's token takes a reply as a refusal; see StreamEnd.set_result.
        if not token.done():  # the caller may just have left
            token.set_result((type_name, data))

    def on_failure(self, token: Any, failure: Failure) -> None:
        if not token.done():
            token.set_exception(decode_failure(failure))

    def on_accept(self, token: Any) -> None:
        if isinstance(token, StreamEnd):
            token.accepted()
        elif not token.done():
            token.set_exception(OutcomeUnknown("a request was answered with a stream"))
            self._give_up("a stream was opened that was not asked for")

    def on_item(self, token: Any, type_name: str, data: bytes) -> None:
        token.put(type_name, data)

    def on_credit(self, token: Any) -> None:
        token.credited()

    def on_end(self, token: Any, whole: bool, failure: Failure | None) -> None:
        token.ended(whole, None if failure is None else decode_failure(failure))


_REQUEST = Frame.REQUEST


def _fail_unwritten(unwritten: list[Unwritten]) -> None:
    for one in unwritten:
        if not one.token.done():
            one.token.set_exception(OutcomeUnknown("the session ended"))


def _nothing() -> None:
    pass
