"""Two sessions in one thread, without sockets and clocks: frames go when a test says so."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, cast

from grid.errors import GridError
from grid.transport._routes import InboundRoute
from grid.transport.failures import decode_failure
from grid.transport.protocol import Session
from grid.transport.settings import SessionSettings
from grid.wire_pb2 import Failure, Frame, Hello, Note, Route

__all__ = ["HELLO", "Incoming", "Pair", "Side", "columns", "frame", "parsed"]

HELLO = Hello(
    version=1,
    max_message=100 * 1024 * 1024,
    max_routes=4096,
    packings=["zstd", "gzip"],
    stream_credit=256,
)


class Incoming(NamedTuple):
    """A REQUEST, TELL or OPEN as it was told."""

    exchange: int
    kind: int
    receiver: str
    epoch: int
    type_name: str
    data: bytes
    milliseconds: int
    metadata: Mapping[str, str] | None


class Side:
    """One side of a session, and all that it was told.

    What comes in is attached under the token `Incoming`; `on_new` may do more.
    Events are kept as tuples of the event's name, the token, and the rest.
    """

    def __init__(self, *, dialled: bool = True, settings: SessionSettings | None = None) -> None:
        self.events: list[tuple[Any, ...]] = []
        self.incoming: list[Incoming] = []
        self.errors: list[GridError] = []  # of failures
        self.done: list[Any] = []  # tokens of tells that are written
        self.wakes = 0
        self.greeting: Hello | None = None
        self.on_new: Callable[[Incoming], None] = lambda incoming: None
        self.session = Session(
            self, self._wake, dialled=dialled, settings=settings or SessionSettings()
        )

    def _wake(self) -> None:
        self.wakes += 1

    # -- what a test does ----------------------------------------------------------------

    def open(
        self,
        token: Any,
        kind: int = Frame.REQUEST,
        data: bytes = b"question",
        *,
        receiver: str = "ns.mailbox.one",
        epoch: int = 7,
        type_name: str = "Question",
        metadata: Mapping[str, str] | None = None,
        at: float = math.inf,
        now: float = 0.0,
        again: Any = None,
    ) -> int:
        """`Session.open` with the usual arguments."""
        left = 0 if at == math.inf else max(1, int((at - now) * 1000))
        return self.session.open(
            token, kind, receiver, epoch, type_name, data, metadata, at, left, again
        )

    def told(self, name: str) -> list[Any]:
        """Arguments of the events of a name: the token alone, or a tuple with the rest."""
        found = [event[1:] for event in self.events if event[0] == name]
        return [rest[0] if len(rest) == 1 else rest for rest in found]

    def cut(self, now: float = 0.0) -> bytes | None:
        """The next frame, at once written."""
        data = self.session.next_frame(now)
        if data is not None:
            self.done += self.session.frame_written()
        return data

    def cut_all(self, now: float = 0.0) -> list[bytes]:
        """All frames that can be cut, time standing still but for what is held back."""
        frames = []
        while (data := self.cut(now)) is not None:
            frames.append(data)
            now += 0.0011
        return frames

    # -- what the session tells -------------------------------------------------------------

    def on_hello(self, hello: Hello) -> None:
        self.greeting = hello

    def on_goodbye(self, reason: str) -> None:
        self.events.append(("goodbye", reason))

    def on_pong(self, number: int) -> None:
        self.events.append(("pong", number))

    def on_request(
        self,
        exchange: int,
        kind: int,
        route: InboundRoute,
        data: bytes,
        milliseconds: int,
        metadata: Mapping[str, str] | None,
    ) -> None:
        name = (route.receiver, route.epoch, route.type_name)
        incoming = Incoming(exchange, kind, *name, data, milliseconds, metadata)
        self.incoming.append(incoming)
        if kind != Frame.TELL:
            self.session.attach(exchange, incoming)
        self.on_new(incoming)

    def on_cancel(self, token: Any) -> None:
        self.events.append(("cancel", token))

    def on_reply(self, token: Any, type_name: str, data: bytes) -> None:
        self.events.append(("reply", token, type_name, data))

    def on_failure(self, token: Any, failure: Failure) -> None:
        self.errors.append(decode_failure(failure))  # as every owner does
        self.events.append(("failure", token, failure.code, failure.text))

    def on_accept(self, token: Any) -> None:
        self.events.append(("accept", token))

    def on_item(self, token: Any, type_name: str, data: bytes) -> None:
        self.events.append(("item", token, type_name, data))

    def on_credit(self, token: Any) -> None:
        self.events.append(("credit", token))

    def on_end(self, token: Any, whole: bool, failure: Failure | None) -> None:
        if failure is not None:
            decode_failure(failure)
        code = None if failure is None else failure.code
        self.events.append(("end", token, whole, code))


class Pair:
    """The side that dialled, `a`, and the other, `b`; they have said hello."""

    def __init__(
        self, settings: SessionSettings | None = None, *, b: SessionSettings | None = None
    ) -> None:
        self.a = Side(dialled=True, settings=settings)
        self.b = Side(dialled=False, settings=b or settings)
        self.now = 0.0
        self.settle()

    def step(self, source: Side) -> bool:
        """Carry over the next frame of one side; False if there is none."""
        other = self.b if source is self.a else self.a
        data = source.cut(self.now)
        if data is not None:
            other.session.receive(data, self.now)
        return data is not None

    def settle(self) -> None:
        """Carry frames both ways, in turn, until neither side has anything to send."""
        while True:
            moved = self.step(self.a) | self.step(self.b)
            held = min(self.a.session.held_until, self.b.session.held_until)
            if not moved and held == math.inf:
                return
            if not moved:
                self.now = held

    def stream(self) -> int:
        """A stream under the tokens "left" at `a` and "right" at `b`; its number."""
        number = self.a.open("left", Frame.OPEN)
        self.settle()
        assert self.b.session.accept(number, "right")
        self.settle()
        return number

    def assert_nothing_is_left(self) -> None:
        """No exchange is open, no part of a message is kept, nothing waits to be sent."""
        for side in (self.a, self.b):
            session = side.session
            assert session.in_flight == 0
            assert session._out.empty
            assert not session.awaited
            assert session.close() == ([], [], [], [])
            assemblies = session._in.assemblies
            assert not assemblies.pending
            assert assemblies.reserved == 0


# -- frames by hand ---------------------------------------------------------------------

Row = tuple[int, int, int, int, bytes]  # exchange, kind, value, route, data


def frame(
    number: int,
    *rows: Row,
    notes: Iterable[Note] = (),
    routes: Iterable[Route] = (),
    hello: Hello | None = None,
    ping: int = 0,
) -> bytes:
    """A frame, encoded, that no session would have to cut."""
    made = Frame(number=number, notes=notes, routes=routes, hello=hello, ping=ping)
    for exchange, kind, value, route, data in rows:
        made.exchange.append(exchange)
        made.kind.append(cast("Frame.Kind", kind))
        made.value.append(value)
        made.route.append(route)
        made.data.append(data)
    return made.SerializeToString()


def parsed(data: bytes | None) -> Frame:
    """Content of a frame."""
    assert data is not None
    return Frame.FromString(data)


def columns(data: bytes | None) -> list[Row]:
    """The deliveries of a frame."""
    one = parsed(data)
    rows = zip(one.exchange, one.kind, one.value, one.route, one.data, strict=True)
    return [
        (exchange, int(kind), value, route, part) for exchange, kind, value, route, part in rows
    ]
