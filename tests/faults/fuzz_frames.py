"""Frames that no session would cut, for a session to survive.

`python -m tests.faults.fuzz_frames [seconds]` runs them under atheris, guided
by coverage, if atheris is installed.
"""

from __future__ import annotations

import random
import sys
from typing import Protocol, cast

from google.protobuf.message import DecodeError

from grid.transport.compression import compress
from grid.transport.protocol import ProtocolViolation
from grid.transport.settings import SessionSettings
from grid.wire_pb2 import Failure, Frame, Goodbye, Hello, Note, Route
from tests.grid.transport.session_kit import HELLO, Incoming, Side

__all__ = ["BytesSource", "RandomSource", "Source", "attack"]

SETTINGS = SessionSettings(max_message_bytes=100_000, stream_credit=4, max_routes=5, checksum=True)
UNFINISHED = 64 + 10_000
_SPECIAL = (0, 1, 2, 3, 2**31, 2**32 - 1, 2**63, 2**64 - 1)


class Source(Protocol):
    """Where decisions come from."""

    def pick(self, count: int) -> int:
        """A number from 0 to below `count`."""

    def blob(self, most: int) -> bytes:
        """So many bytes at most."""


class RandomSource:
    """Decisions of a seed."""

    def __init__(self, seed: int) -> None:
        self._rng = random.Random(seed)

    def pick(self, count: int) -> int:
        return self._rng.randrange(count)

    def blob(self, most: int) -> bytes:
        return self._rng.randbytes(self._rng.randrange(most + 1))


class BytesSource:
    """Decisions read from bytes, so that similar bytes are similar decisions; 0 at their end."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def pick(self, count: int) -> int:
        size = 1 if count <= 256 else 4
        taken = self._data[self._at : self._at + size]
        self._at += size
        return int.from_bytes(taken, "big") % count

    def blob(self, most: int) -> bytes:
        size = self.pick(most + 1)
        self._at += size
        return self._data[self._at - size : self._at]


def attack(source: Source) -> bool:
    """Open things on a session and feed it frames until it gives up or they end.

    Returns:
        True if it gave up.

    Raises:
        Exception: anything but `ProtocolViolation` came out of it.
    """
    side = Side(dialled=source.pick(2) == 0, settings=SETTINGS)
    side.on_new = lambda one: _handle(side, one, source)
    violated = not _feed(side, _first(source))
    opened = 0
    for number in range(2, 2 + source.pick(8)):
        if violated:
            break
        for _ in range(source.pick(4)):
            kind = (Frame.REQUEST, Frame.TELL, Frame.OPEN)[source.pick(3)]
            side.open(opened, kind, bytes(source.pick(300)))
            opened += 1
        side.cut(number * 0.01)
        violated = not _feed(side, _mutated(source, _frame(source, number)))
        _check(side)
    _account(side, opened)
    return violated


def _feed(side: Side, data: bytes) -> bool:
    try:
        side.session.receive(data, 0.0)
    except ProtocolViolation:
        return False
    return True


def _handle(side: Side, one: Incoming, source: Source) -> None:
    what = source.pick(4)
    if what == 1:
        side.session.reply(one.exchange, "Answer", one.data)
    elif what == 2:
        side.session.fail(one.exchange, Failure(code=5))
    elif what == 3 and side.session.accept(one.exchange, one):
        side.session.send_item(one.exchange, "Item", bytes(source.pick(3) * 1000))


def _check(side: Side) -> None:
    inbox = side.session._in
    assert len(inbox.assemblies.pending) <= UNFINISHED
    assert inbox.assemblies.reserved <= 4 * SETTINGS.max_message_bytes
    assert len(inbox._routes.by_number) <= 1 + SETTINGS.max_routes
    assert side.session.next_expiry() >= 0


def _account(side: Side, opened: int) -> None:
    """Check that each exchange opened here has one outcome."""
    ends = [event[1] for event in side.events if event[0] in {"reply", "failure"}]
    ends += [event[1] for event in side.events if event[0] == "end" and event[2]]
    lost = side.session.close()
    ends += [*lost.written, *(one.token for one in lost.unwritten), *lost.streams, *side.done]
    # The tokens of what the other side opened are no numbers.
    assert sorted(token for token in ends if isinstance(token, int)) == list(range(opened))
    assert len({id(token) for token in ends}) == len(ends)
    assert side.session.in_flight == 0


# -- frames -------------------------------------------------------------------------------


def _first(source: Source) -> bytes:
    hello = HELLO if source.pick(8) else _hello(source)
    return _mutated(source, Frame(number=1, hello=hello).SerializeToString(), seldom=16)


def _hello(source: Source) -> Hello:
    number = _SPECIAL[source.pick(6)]
    return Hello(
        version=number,
        max_message=_SPECIAL[source.pick(len(_SPECIAL))],
        max_routes=_SPECIAL[source.pick(6)],
        stream_credit=_SPECIAL[source.pick(len(_SPECIAL))],
        packings=["zstd", "no such"][: source.pick(3)],
    )


def _frame(source: Source, number: int) -> bytes:
    frame = Frame(number=number)
    count = source.pick(12)
    for _ in range(count):
        kind = source.pick(11) if source.pick(30) else _SPECIAL[source.pick(5)] - 2**30
        frame.exchange.append(source.pick(10) if source.pick(20) else _special(source))
        frame.kind.append(cast("Frame.Kind", kind))
        frame.value.append(source.pick(4) if source.pick(8) else _special(source))
        frame.route.append(source.pick(3) if source.pick(20) else source.pick(2**32))
        frame.data.append(_data(source, kind))
    for _ in range(source.pick(3)):
        frame.routes.append(
            Route(number=1 + source.pick(6), receiver="r" * source.pick(40), type_name="T")
        )
    for index in range(count):
        if not source.pick(3):
            frame.notes.append(_note(source, index))
    _beside(source, frame)
    return frame.SerializeToString()


def _beside(source: Source, frame: Frame) -> None:
    if not source.pick(20):
        frame.hello.CopyFrom(HELLO)
    if not source.pick(6):
        frame.ping = _special(source)
        frame.pong = source.pick(4)
    if not source.pick(20):
        frame.goodbye.CopyFrom(Goodbye(reason="why"))
    if not source.pick(30):
        del frame.data[: source.pick(3)]


def _special(source: Source) -> int:
    return _SPECIAL[source.pick(len(_SPECIAL))]


def _data(source: Source, kind: int) -> bytes:
    if kind in (Frame.ERROR, Frame.END) and source.pick(6):
        return _failure(source).SerializeToString()
    if not source.pick(10):
        return compress("gzip", bytes(source.pick(200_000)))
    return source.blob(40)


def _failure(source: Source) -> Failure:
    failure = Failure(code=source.pick(20), text="why", origin=Failure.GRID)
    if source.pick(2):
        depth = source.pick(4000)
        number = b"9" * source.pick(500)
        failure.error = (
            b"[" * depth,
            b'["AlreadyRegistered",{"key":' + number + b"}]",
            b'["MessageTooLarge",{"size":' + number + b',"limit":[]}]',
            b'["DeadlineExceeded",{"what":"x","seconds":' + number + b"}]",
            source.blob(40),
        )[source.pick(5)]
    return failure


def _note(source: Source, index: int) -> Note:
    note = Note(index=index if source.pick(10) else source.pick(2**32))
    if source.pick(2):
        note.size = source.pick(60) if source.pick(5) else _special(source)
    if not source.pick(4):
        note.packing = ("gzip", "zstd", "no such")[source.pick(3)]
        note.unpacked_size = source.pick(200_000) if source.pick(5) else _special(source)
    if not source.pick(8):
        note.checksum = source.pick(2**32)
    if not source.pick(8):
        note.metadata["key"] = "value"
    return note


def _mutated(source: Source, data: bytes, seldom: int = 4) -> bytes:
    what = source.pick(4 * seldom)
    if what > 3 or not data:
        return data
    at = source.pick(len(data))
    if what == 0:
        return data[:at]
    if what == 1:
        return data[:at] + source.blob(20) + data[at:]
    if what == 2:
        return source.blob(300)
    changed = bytearray(data)
    changed[at] ^= 1 + source.pick(255)
    return bytes(changed)


# -- atheris ----------------------------------------------------------------------------------


def _one_input(data: bytes) -> None:
    attack(BytesSource(data))
    side = Side(settings=SETTINGS)
    if _feed(side, Frame(number=1, hello=HELLO).SerializeToString()):
        _feed(side, data)
    try:
        Frame.FromString(data)
    except DecodeError:
        return


def _main(seconds: str) -> None:
    import atheris  # type: ignore[import-untyped, import-not-found, unused-ignore]

    atheris.instrument_all()
    atheris.Setup([sys.argv[0], f"-max_total_time={seconds}", "-max_len=4096"], _one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    _main(sys.argv[1] if len(sys.argv) > 1 else "60")
