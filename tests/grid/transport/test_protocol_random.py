"""Two sessions that do at random all they can, over a line that delays, and one that damages.

Each exchange has exactly one outcome, whatever happens: told by an event, by
the call that gave it up, or by `close`. A run's seed is in its test's name.
"""

from __future__ import annotations

import math
import os
import random
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final

import pytest

from grid.transport import _outbox
from grid.transport.protocol import ProtocolViolation
from grid.transport.settings import SessionSettings
from grid.wire_pb2 import Failure, Frame
from tests.grid.transport.session_kit import Incoming, Side

RUNS: Final = int(os.environ.get("GRID_RANDOM_RUNS", "60"))
STEPS: Final = 3000
LARGE, CHUNK = 200, 64
FAULTS = ("drop", "repeat", "swap", "cut", "flip")
# A frame's number tells; what is changed inside of a frame may pass for another message.
ALWAYS_NOTICED = ("drop", "repeat", "swap")


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Messages are large, and go in chunks, from a few bytes on."""
    monkeypatch.setattr(_outbox, "LARGE_BYTES", LARGE)
    monkeypatch.setattr(_outbox, "CHUNK_BYTES", CHUNK)


class Stream:
    """One end of a stream."""

    def __init__(self, token: Any, number: int) -> None:
        self.token = token
        self.number = number
        self.sent = 0
        self.received = 0
        self.unread: deque[int] = deque()
        self.sending = True
        self.receiving = True


class Actor(Side):
    """A side that does things at random, and checks what it is told."""

    def __init__(self, name: str, rng: random.Random, settings: SessionSettings) -> None:
        super().__init__(dialled=name == "a", settings=settings)
        self.name = name
        self.rng = rng
        self.now = 0.0
        self.trusting = True  # False once the line has changed what it carries
        self.opened: dict[Any, int] = {}  # numbers by token
        self.outcomes: dict[Any, str] = {}
        self.attached: list[Incoming] = []
        self.streams: dict[Any, Stream] = {}
        self.serial = 0
        self.seen: dict[str, int] = {}  # the last small request of each receiver
        self.pings = 0

    # -- what it does -------------------------------------------------------------------

    def act(self) -> None:
        """Do one thing."""
        self.rng.choices(
            (self.ask, self.give_up, self.answer, self.send, self.read, self.end, self.look),
            (8, 1, 6, 12, 12, 1, 1),
        )[0]()

    def ask(self) -> None:
        rng = self.rng
        kind = rng.choice((Frame.REQUEST, Frame.REQUEST, Frame.TELL, Frame.OPEN))
        receiver = f"mailbox{rng.randrange(8)}"
        size = rng.choice((0, 5, 50, LARGE + rng.randrange(2000) if rng.random() < 0.2 else 1))
        data = self.payload(self.serial, size)
        at = rng.choice((math.inf, math.inf, math.inf, self.now + rng.random()))
        metadata = {"a": "b"} if rng.random() < 0.1 else None
        token = (self.name, self.serial, kind, data)
        self.serial += 1
        self.opened[token] = self.open(
            token, kind, data, receiver=receiver, at=at, now=self.now, metadata=metadata
        )

    def payload(self, serial: int, size: int) -> bytes:
        return b"%d|" % serial + b"%d" % (serial % 10) * size

    def give_up(self) -> None:
        waiting = [one for one in self.opened if one not in self.outcomes]
        if waiting:
            token = self.rng.choice(waiting)
            if self.session.cancel(self.opened[token]):
                self.end_of(token, "given up")

    def answer(self) -> None:
        if not self.attached:
            return
        one = self.attached.pop(self.rng.randrange(len(self.attached)))
        self.end_of(("incoming", id(one)), "answered")
        if self.rng.random() < 0.1:
            self.session.fail(one.exchange, Failure(code=5, text="no"))
        elif one.kind == Frame.OPEN:
            token = ("accepted", id(one))
            assert self.session.accept(one.exchange, token)
            self.streams[token] = Stream(token, one.exchange)
        else:
            self.session.reply(one.exchange, f"Answer{self.rng.randrange(5)}", one.data)

    def send(self) -> None:
        for stream in self.some_stream():
            while stream.sending and self.session.credit(stream.number) > 0:
                size = self.rng.choice((0, 1, 10, LARGE + self.rng.randrange(500)))
                stream.sent += 1
                self.session.send_item(stream.number, "Item", self.payload(stream.sent, size))
                if self.rng.random() < 0.5:
                    return

    def read(self) -> None:
        for stream in self.some_stream():
            if stream.unread:
                self.session.consumed(stream.number, stream.unread.popleft())

    def end(self) -> None:
        for stream in self.some_stream():
            if self.rng.random() < 0.7 and stream.sending:
                self.half_close(stream)
            else:
                self.finish(stream, "ended here")
                failure = Failure(code=9) if self.rng.random() < 0.5 else None
                self.session.end_stream(stream.number, failure)

    def half_close(self, stream: Stream) -> None:
        stream.sending = False
        self.session.end_sending(stream.number)
        if not stream.receiving:
            self.finish(stream, "both ended")

    def some_stream(self) -> list[Stream]:
        return [self.rng.choice([*self.streams.values()])] if self.streams else []

    def look(self) -> None:
        self.pings += 1
        self.session.ping(self.pings)
        self.tick(self.now + self.rng.random() * 0.2)

    def tick(self, now: float) -> None:
        self.now = now
        for token in self.session.expire(now):
            self.end_of(token, "overdue")
        assert self.session.next_expiry() > now

    def next_frame(self) -> bytes | None:
        self.now += 0.0004
        data = self.session.next_frame(self.now)
        if data is not None:
            for token in self.session.frame_written():
                self.end_of(token, "written")
        return data

    def close(self) -> None:
        """End the session; all that is open comes back, once."""
        lost = self.session.close()
        for token in lost.written:
            self.end_of(token, "unknown")
        for one in lost.unwritten:
            self.end_of(one.token, "unwritten")
        for token in lost.streams:
            self.finish(self.streams[token], "cut")
        for incoming in lost.attached:
            self.attached.remove(incoming)
            self.end_of(("incoming", id(incoming)), "cut")
        assert not self.attached
        assert not self.streams
        assert self.opened.keys() <= self.outcomes.keys()
        assert self.session.in_flight == 0
        assert self.session.close() == ([], [], [], [])

    # -- what it is told -------------------------------------------------------------------

    def end_of(self, token: Any, how: str) -> None:
        assert token not in self.outcomes, f"{token}: {self.outcomes[token]}, then {how}"
        self.outcomes[token] = how
        self.events.append(("end of", token))

    def finish(self, stream: Stream, how: str) -> None:
        del self.streams[stream.token]
        self.end_of(stream.token, how)

    def on_request(self, exchange: int, *rest: Any) -> None:
        super().on_request(exchange, *rest)
        one = self.incoming[-1]
        self.events.append(("request", one))
        if one.kind != Frame.TELL:
            self.attached.append(one)
        if self.trusting and len(one.data) < 100:
            serial = int(one.data.split(b"|")[0])
            assert serial > self.seen.get(one.receiver, -1)
            self.seen[one.receiver] = serial

    def on_cancel(self, token: Any) -> None:
        self.attached.remove(token)
        self.end_of(("incoming", id(token)), "cancelled")

    def on_reply(self, token: Any, type_name: str, data: bytes) -> None:
        self.end_of(token, "replied")
        if self.trusting:
            assert data == token[3]

    def on_failure(self, token: Any, failure: Failure) -> None:
        self.end_of(token, "failed")

    def on_accept(self, token: Any) -> None:
        self.events.append(("accept", token))
        self.streams[token] = Stream(token, self.opened[token])

    def on_item(self, token: Any, type_name: str, data: bytes) -> None:
        stream = self.streams[token]
        stream.received += 1
        stream.unread.append(len(data))
        self.events.append(("item", token))
        if self.trusting:
            assert int(data.split(b"|")[0]) == stream.received

    def on_end(self, token: Any, whole: bool, failure: Failure | None) -> None:
        stream = self.streams[token]
        assert whole or stream.receiving
        stream.receiving = False
        if whole or not stream.sending:
            self.finish(stream, "ended there" if whole else "both ended")

    def on_goodbye(self, reason: str) -> None:
        for one in self.session.take_unwritten():
            self.end_of(one.token, "unwritten")


class Line:
    """Two sides, and the frames between them."""

    def __init__(self, seed: int) -> None:
        self.rng = rng = random.Random(seed)
        compression = rng.choice((None, "zstd", "gzip"))
        checksum = rng.random() < 0.5
        limits = [
            SessionSettings(
                max_message_bytes=rng.choice((1500, 100_000)),
                stream_credit=rng.choice((1, 2, 5, 100)),
                max_routes=rng.choice((2, 3, 4096)),
                compression=compression,
                compress_from=30,
                checksum=checksum,
            )
            for _ in range(2)
        ]
        self.a, self.b = Actor("a", rng, limits[0]), Actor("b", rng, limits[1])
        self.way = {"a": deque[bytes](), "b": deque[bytes]()}  # frames to each side

    def write(self, side: Actor) -> bool:
        data = side.next_frame()
        if data is not None:
            self.way["b" if side is self.a else "a"].append(data)
        return data is not None

    def deliver(self, side: Actor) -> bool:
        way = self.way[side.name]
        if way:
            side.session.receive(way.popleft(), side.now)
            return True
        return False

    def step(self) -> None:
        """Either side does something, writes or reads."""
        side = self.rng.choice((self.a, self.b))
        what: Callable[[], object] = self.rng.choices(
            (side.act, lambda: self.write(side), lambda: self.deliver(side)), (4, 2, 2)
        )[0]
        what()

    def wind_up(self) -> None:
        """Answer all, read all, end all, until nothing moves and no deadline is left;
        a limit says that it hangs."""
        self.settle()
        for side in (self.a, self.b):
            # One clock may be ahead: then the reader forgets what the other still waits for.
            side.tick(side.now + 10.0)
        self.settle()

    def settle(self) -> None:
        for _ in range(20_000):
            moved = False
            for side in (self.a, self.b):
                side.tick(side.now + 0.002)
                while side.attached:
                    side.answer()
                for stream in [*side.streams.values()]:
                    while stream.unread:
                        side.session.consumed(stream.number, stream.unread.popleft())
                    if stream.sending:
                        side.half_close(stream)
                while self.write(side) or self.deliver(side):
                    moved = True
            open_still = self.a.streams or self.b.streams or self.a.attached or self.b.attached
            if not (moved or open_still or self.a.session.queued or self.b.session.queued):
                return
        raise AssertionError("the sessions do not come to rest")

    def damage(self, fault: str) -> Actor | None:
        """Damage what is on the way to one side; the side, or None if there is not enough."""
        side = self.rng.choice((self.a, self.b))
        way = self.way[side.name]
        at = self.rng.randrange(len(way)) if way else 0
        if len(way) < at + 2:
            return None
        if fault == "drop":
            del way[at]
        elif fault == "repeat":
            way.insert(at, way[at])
        elif fault == "swap":
            way[at], way[at + 1] = way[at + 1], way[at]
        elif fault == "cut":
            way[at] = way[at][: self.rng.randrange(len(way[at]))]
        else:
            changed = bytearray(way[at])
            for _ in range(self.rng.choice((1, 1, 3))):
                changed[self.rng.randrange(len(changed))] ^= 1 << self.rng.randrange(8)
            way[at] = bytes(changed)
        return side


def seeds(first: int) -> Sequence[int]:
    return range(first, first + RUNS)


@pytest.mark.parametrize("seed", seeds(0))
def test_a_clean_run_leaves_nothing(seed: int) -> None:
    line = Line(seed)
    for _ in range(STEPS):
        line.step()
    line.wind_up()
    for side in (line.a, line.b):
        assert side.opened.keys() <= side.outcomes.keys()
        assert side.session.in_flight == 0
        assert side.session._out.empty
        assert not side.session._in.assemblies.pending
        assert side.session._in.assemblies.reserved == 0
        assert not side.session._tells.queued
        assert not side.session._out._withdrawn
        side.close()
    assert {"replied", "written", "given up"} <= set(line.a.outcomes.values())
    assert line.a.session.sent == line.b.session.received
    assert line.b.session.sent == line.a.session.received


@pytest.mark.parametrize("seed", seeds(1_000))
def test_a_run_that_is_cut_off_accounts_for_all(seed: int) -> None:
    line = Line(seed)
    for _ in range(line.rng.randrange(STEPS)):
        line.step()
    if line.rng.random() < 0.5:
        line.a.session.say_goodbye("going")
        for _ in range(100):
            line.step()
    line.a.close()
    line.b.close()


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("seed", seeds(2_000))
def test_a_damaged_line_ends_the_session_and_nothing_worse(seed: int, fault: str) -> None:
    line = Line(seed)
    victim, noticed = None, None
    for _ in range(STEPS):
        if victim is None and line.rng.random() < 0.02:
            victim = line.damage(fault)
            if victim is not None and fault not in ALWAYS_NOTICED:
                line.a.trusting = line.b.trusting = False
        told = {side: len(side.events) for side in (line.a, line.b)}
        try:
            line.step()
        except ProtocolViolation as error:
            noticed = error
            break
    if victim is not None and fault in ALWAYS_NOTICED:
        while noticed is None:
            told[victim] = len(victim.events)
            try:
                assert line.deliver(victim), "the damage was not noticed"
            except ProtocolViolation as error:
                noticed = error
        assert "came after frame" in str(noticed)
        assert len(victim.events) == told[victim]
    line.a.close()
    line.b.close()
