"""The session protocol: the meaning of the frames between two processes.

A session is one long-lived stream of frames each way. It carries any number of *exchanges*: a
request and its answer, a request without an answer (`tell`), or a stream of items in both
directions. Each side opens exchanges under numbers of its own, odd ones by the side that
dialled, so both may open at any time. The
first frame of each direction has a hello with the version and the limits of its sender; frames
are numbered, and one that is missing, repeated or out of order ends the session.

    opener                         other side
    REQUEST              ------->                      TELL needs no answer;
                         <-------  REPLY, ERROR        CANCEL takes back
    OPEN                 ------->
                         <-------  ACCEPT, ERROR
    ITEM, CREDIT, END    <------>  ITEM, CREDIT, END

What becomes of an exchange when the session ends depends on one question: can the other side
have acted on it? An opening delivery that was in no frame yet, or of which only some chunks
were, is *unwritten*: it may go to another session. All others are *written*, and their outcome
is unknown.

`Session` knows no sockets, no clock and no event loop. Frames go in with `receive` and come
out of `next_frame`; time comes in as an argument; events go to a `SessionEvents`. It calls
`wake` when there is something to send and was nothing before. All is called in one thread.

Parts: `_outbox` cuts frames and `_inbox` takes them apart, `_routes` numbers names, `_large`
cuts and joins large messages (`_bulk` spares them copies), `_streams` are the streams and
`_flow` is one of them, `_tells` follows messages without answers, `deadlines` finds overdue
exchanges, `_packing` compresses and checks, `_unsent` bounds unread answers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from grid.transport._control import Control
from grid.transport._events import ProtocolViolation, SessionEvents
from grid.transport._flow import Flow
from grid.transport._inbox import Inbox
from grid.transport._outbox import Outbound, Outbox
from grid.transport._packing import Packing
from grid.transport._routes import NO_ROUTE
from grid.transport._streams import Streams
from grid.transport._tells import Tells
from grid.transport._unsent import Unsent
from grid.transport.budget import Budget
from grid.transport.deadlines import Deadlines
from grid.transport.exchanges import Entry, Lost, Traffic, Unwritten
from grid.transport.settings import VERSION, SessionSettings
from grid.wire_pb2 import Failure, Frame, Goodbye, Hello, Note

__all__ = [
    "VERSION",
    "Lost",
    "ProtocolViolation",
    "Session",
    "SessionEvents",
    "Traffic",
    "Unwritten",
]

_REPLY, _ERROR, _TELL, _CANCEL = Frame.REPLY, Frame.ERROR, Frame.TELL, Frame.CANCEL


class Session(Streams):
    """One side of a session.

    Args:
        events: the owner, which takes the events.
        wake: called when there is something to send and nothing was before.
        dialled: True for the side that opened the connection.
        settings: the limits and wishes of this side.
        overlap: the least number of frames that what is in flight is spread over.
        budget: bounds the bytes kept for the other side: answers that it does not read,
            and messages that it began. None: only this session's own bounds hold.

    Attributes:
        flows: the open streams, by exchange.
        largest: bytes of the largest message that both sides take.
        tells_refused: tells of the other side that no mailbox took; its answers count them.
    """

    __slots__ = (
        "_deadlines",
        "_in",
        "_next",
        "_now",
        "_ours",
        "_out",
        "_packing",
        "_tells",
        "_theirs",
        "_unsent",
        "flows",
        "largest",
        "tells_refused",
    )

    def __init__(
        self,
        events: SessionEvents,
        wake: Callable[[], None],
        *,
        dialled: bool,
        settings: SessionSettings,
        overlap: int = 2,
        budget: Budget | None = None,
    ) -> None:
        self.largest: int = settings.max_message_bytes
        self.tells_refused: int = 0
        self._next = 1 if dialled else 2
        self._ours: dict[int, Entry] = {}
        self._deadlines = Deadlines(self._ours)
        self._packing = Packing(settings)
        self._now = 0.0
        self._out = Outbox(wake, overlap)
        self._tells = Tells(self._out)
        self._in = Inbox(
            events,
            self._out,
            parity=self._next & 1,
            settings=settings,
            packing=self._packing,
            ours=self._ours,
            agreed=self._agreed,
            budget=budget,
        )
        self._theirs = self._in.theirs
        self.flows: dict[int, Flow] = self._in.streams
        self._unsent = Unsent(self._out, 2 * settings.max_message_bytes, budget)
        self._out.say(Control(hello=settings.hello()))

    def _agreed(self, hello: Hello) -> None:
        self.largest = min(self.largest, hello.max_message)

    # -- state ---------------------------------------------------------

    @property
    def in_flight(self) -> int:
        """Open exchanges, of both sides; a stream counts until both ended it."""
        return len(self._ours) + len(self._theirs) + len(self.flows)

    @property
    def idle(self) -> bool:
        """True while no exchange is open and nothing waits."""
        return not (self.in_flight or self.queued)

    @property
    def streams(self) -> int:
        """Streams that are open in one direction at least."""
        return len(self.flows)

    @property
    def awaited(self) -> bool:
        """True if something is to come from the other side."""
        return bool(self._ours or self.flows)

    @property
    def queued(self) -> int:
        """Deliveries that wait for a frame."""
        return len(self._out)

    @property
    def held_until(self) -> float:
        """After `next_frame` gave nothing: when to ask again without being woken."""
        return self._out.held_until

    @property
    def sent(self) -> Traffic:
        """The traffic to the other side."""
        out = self._out
        return Traffic(out.frames_sent, out.deliveries_sent, out.bytes_sent)

    @property
    def received(self) -> Traffic:
        """The traffic from the other side."""
        return Traffic(self._in.frames, self._in.deliveries, self._in.bytes)

    @property
    def late(self) -> int:
        """The number of answers and items that came after their caller had left."""
        return self._in.late

    def next_expiry(self) -> float:
        """The time to call `expire`; infinite if there is no need."""
        self._deadlines.close_group()
        return min(self._deadlines.next(), self._in.assemblies.next_overdue())

    # -- exchanges opened here ---------------------------------------------------------

    def open(
        self,
        token: Any,
        kind: int,
        receiver: str,
        epoch: int,
        type_name: str,
        data: bytes,
        metadata: Mapping[str, str] | None,
        at: float,
        milliseconds: int,
        again: Unwritten | None = None,
    ) -> int:
        """Queue a REQUEST, TELL or OPEN; its number.

        Args:
            token: the events about the exchange carry it.
            kind: the kind of the delivery.
            receiver: the full name of the mailbox.
            epoch: its registration's, as resolved; 0 for not known.
            type_name: of the message.
            data: the encoded message, not larger than `largest`.
            metadata: for the receiver to read.
            at: the deadline, on the owner's clock; infinite for none.
            milliseconds: from now to the deadline, 0 for none.
            again: the exchange, if it may be written to a second session
                after this one was lost.
        """
        number = self._next
        self._next = number + 2
        self._ours[number] = (token, at, again)
        deadlines = self._deadlines  # Deadlines.add, inlined: each request comes through here
        deadlines.last = number
        if at < deadlines.earliest:
            deadlines.earliest = at
        note = None if metadata is None else Note(metadata=metadata)
        if self._packing.active:
            data, note = self._packing.pack(data, note)
        out = self._out
        out.last_opened = number
        if kind == _TELL:
            self._tells.queued.append(number)
        route = out.routes.by_name.get((receiver, type_name))
        if route is None or route.epoch != epoch:
            route = out.routes.find(receiver, type_name, epoch)
        out.put(number, kind, milliseconds, route, data, note)
        return number

    def cancel(self, number: int) -> bool:
        """Give an exchange up; False if it is over already. Its token gets no event."""
        if self._ours.pop(number, None) is None:
            return False
        if not self._out.withdraw(number):
            self._out.put(number, _CANCEL, 0, NO_ROUTE, b"", None)
        self._in.assemblies.abandon(number)  # the rest of its answer may be on the way
        return True

    def cancel_token(self, token: Any) -> bool:
        """Give up the exchange of a token; costs a search."""
        numbers = [number for number, entry in self._ours.items() if entry[0] is token]
        for number in numbers:
            self.cancel(number)
        return bool(numbers)

    def expire(self, now: float) -> list[Any]:
        """Give up overdue exchanges; returns their tokens."""
        self._in.assemblies.expire(now)
        overdue = self._deadlines.due(now)
        tokens = [self._ours[number][0] for number in overdue]
        for number in overdue:
            self.cancel(number)
        return tokens

    # -- exchanges opened by the other side ----------------------------------------------

    def attach(self, exchange: int, token: Any) -> None:
        """Keep a token for `on_cancel` and `close`, until the exchange is answered."""
        self._theirs[exchange] = token

    def reply(self, exchange: int, type_name: str, data: bytes) -> None:
        """Answer an attached exchange; ignored if the answer is not waited for any more.

        If too many bytes wait already for the other side to read them, an error goes instead.
        """
        if self._theirs.pop(exchange, None) is None:
            return
        if self._out.bytes + len(data) > self._unsent.allowed and not self._unsent.fits(len(data)):
            self.fail(exchange, self._unsent.refusal())
            return
        note = None
        if self._packing.active:
            data, note = self._packing.pack(data, note)
        out = self._out
        route = out.routes.by_name.get(("", type_name)) or out.routes.find("", type_name, 0)
        out.put(exchange, _REPLY, 0, route, data, note)

    def fail(self, exchange: int, failure: Failure) -> None:
        """Answer an exchange with an error."""
        self._theirs.pop(exchange, None)
        self._out.put(exchange, _ERROR, 0, NO_ROUTE, failure.SerializeToString(), None)

    def accept(self, exchange: int, token: Any) -> bool:
        """Accept an attached OPEN as a stream of that token; False if its opener has left."""
        if self._theirs.pop(exchange, None) is None:
            return False
        self.flows[exchange] = self._in.new_flow(token)
        self._out.put(exchange, Frame.ACCEPT, 0, NO_ROUTE, b"", None)
        return True

    # -- the session as a whole ---------------------------------------------------------

    def ping(self, number: int) -> None:
        """Ask the other side for a sign of life; `on_pong` brings the number, not 0, back."""
        self._out.say(Control(ping=number))

    def say_goodbye(self, reason: str) -> None:
        """Tell the other side to open nothing more here."""
        self._out.say(Control(goodbye=Goodbye(reason=reason)))

    def take_unwritten(self) -> list[Unwritten]:
        """Take back the messages that the other side cannot have acted on."""
        taken = [self._unwritten(delivery) for delivery in self._out.unwritten()]
        found = [one for one in taken if one is not None]
        for number, _ in found:
            self.cancel(number)
        return [one for _, one in found]

    def close(self) -> Lost:
        """The session is over, whatever the reason. Idempotent: the second time nothing is lost."""
        unwritten = self.take_unwritten()
        kept = [entry[2] for entry in self._ours.values() if entry[2] is not None]
        unwritten += [one._replace(written=True) for one in kept]
        written = [entry[0] for entry in self._ours.values() if entry[2] is None]
        lost = Lost(
            written,
            unwritten,
            list(self._theirs.values()),
            [flow.token for flow in self.flows.values()],
        )
        for table in (self._ours, self._theirs, self.flows):
            table.clear()
        self._tells = Tells(self._out)
        self._unsent.settle()
        self._in.assemblies.clear()
        return lost

    # -- frames out -------------------------------------------------------------------------------

    def next_frame(self, now: float) -> bytes | None:
        """The next frame to write; None if there is none now (see `held_until`)."""
        self._now = now
        frame = self._out.cut(now, len(self._ours), self._milliseconds)
        if self._tells.queued:
            self._tells.take()
        if self._unsent.taken and not self._out.bytes:
            self._unsent.settle()
        return frame

    def release(self) -> None:
        """Hold no small frame back, for nothing more will come in."""
        self._out.release()

    def frame_written(self) -> list[Any]:
        """The frame is written; the tokens of the tells in it, which are done."""
        numbers = self._tells.being_written
        if not numbers:
            return []
        self._tells.being_written = []
        # A tell that was given up while it was being written is gone from the table.
        written = [self._ours.pop(number, None) for number in numbers]
        if not self._ours:
            self._out.release()  # to be written is all the answer that tells have
        return [entry[0] for entry in written if entry is not None]

    def _milliseconds(self, exchange: int) -> int:
        entry = self._ours.get(exchange)
        if entry is None or entry[1] == math.inf:
            return 0
        return max(1, int((entry[1] - self._now) * 1000))

    def _unwritten(self, delivery: Outbound) -> tuple[int, Unwritten] | None:
        number, kind, _, route, data, note = delivery
        entry = self._ours.get(number)
        if entry is None:
            return None
        if entry[2] is not None:
            return number, entry[2]
        metadata = None
        if note is not None:
            data = self._packing.undo(data, note)
            metadata = dict(note.metadata) or None
        return number, Unwritten(
            entry[0], kind, route.receiver, route.epoch, route.type_name, data, metadata, entry[1]
        )

    # -- frames in --------------------------------------------------------------------------------

    def receive(self, data: bytes | memoryview, now: float) -> None:
        """Take a frame; its events are reported before this returns.

        Raises:
            ProtocolViolation: the other side breaks the rules; close the session.
        """
        self._in.receive(data, now)
