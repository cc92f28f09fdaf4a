"""Compression and checksums of a session, and what comes of damage."""

import dataclasses
import random
import tracemalloc

import pytest

from grid.transport import compression
from grid.transport._packing import Packing
from grid.transport.compression import available, compress
from grid.transport.settings import SessionSettings
from grid.wire_pb2 import Frame, Note
from tests.grid.transport.session_kit import Pair, frame, parsed

KIB, MIB = 1024, 1024 * 1024
DATA_LOSS = 15
WORDS = b"all work and no play " * 10_000
PLAIN = SessionSettings()
CHECKED = SessionSettings(checksum=True)
PACKED = SessionSettings(compression="auto")


@pytest.mark.parametrize("algorithm", ["zstd", "gzip", "auto"])
@pytest.mark.parametrize("checksum", [True, False])
@pytest.mark.parametrize("size", [0, 100, 16 * KIB, len(WORDS)])
def test_what_is_packed_comes_back(algorithm: str, checksum: bool, size: int) -> None:
    pair = Pair(SessionSettings(compression=algorithm, checksum=checksum))
    session = pair.b.session
    pair.b.on_new = lambda one: session.reply(one.exchange, "Answer", one.data)
    pair.a.open("token", data=WORDS[:size], metadata={"a": "b"})
    pair.settle()
    assert pair.b.incoming[0].data == WORDS[:size]
    assert pair.b.incoming[0].metadata == {"a": "b"}
    assert pair.a.told("reply") == [("token", "Answer", WORDS[:size])]
    if size >= 16 * KIB:
        assert pair.a.session.sent.bytes < size / 10
    pair.assert_nothing_is_left()


def test_items_are_packed_and_cost_what_they_are_unpacked() -> None:
    pair = Pair(SessionSettings(compression="auto", checksum=True, stream_credit=20))
    number = pair.stream()
    pair.a.session.send_item(number, "Item", WORDS)
    assert pair.a.session.credit(number) == 20 - 1 - len(WORDS) // (16 * KIB)
    pair.settle()
    assert pair.b.told("item") == [("right", "Item", WORDS)]
    pair.b.session.consumed(number, len(WORDS))
    pair.settle()
    assert pair.a.session.credit(number) == 20


def test_a_message_that_is_large_even_packed_travels_in_chunks() -> None:
    pair = Pair(SessionSettings(compression="auto", checksum=True))
    noise = random.Random(1).randbytes(2 * MIB).hex().encode()
    pair.a.open("token", data=noise)
    frames = pair.a.cut_all(1.0)
    assert 1 < len(frames) < len(noise) // (256 * KIB)
    for data in frames:
        pair.b.session.receive(data, 1.0)
    assert pair.b.incoming[0].data == noise


def test_nothing_is_packed_for_who_cannot_unpack() -> None:
    packing = Packing(PACKED)
    packing.agree(["lzma"])
    assert packing.pack(WORDS, None) == (WORDS, None)


def test_an_algorithm_that_is_not_installed_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    packing = Packing(SessionSettings(compression="zstd"))
    monkeypatch.setattr(compression, "_ALGORITHMS", {"gzip": compression._ALGORITHMS["gzip"]})
    packing.agree(["zstd", "gzip"])
    assert packing.pack(WORDS, None) == (WORDS, None)


def test_what_was_not_written_comes_back_unpacked() -> None:
    pair = Pair(SessionSettings(compression="auto", checksum=True))
    pair.a.open("token", data=WORDS, metadata={"a": "b"})
    (back,) = pair.a.session.take_unwritten()
    assert (back.data, back.metadata) == (WORDS, {"a": "b"})


# -- damage -----------------------------------------------------------------------------


def damaged(data: bytes | None, index: int) -> bytes:
    """A frame in which a bit of one delivery's data is not as it was."""
    made = parsed(data)
    part = bytearray(made.data[index])
    part[len(part) // 2] ^= 1
    made.data[index] = bytes(part)
    return made.SerializeToString()


@pytest.mark.parametrize("settings", [CHECKED, dataclasses.replace(PACKED, checksum=True)])
def test_a_damaged_request_fails_alone(settings: SessionSettings) -> None:
    pair = Pair(settings)
    for n in range(3):
        pair.a.open(n, data=WORDS + b"%d" % n)
    pair.b.session.receive(damaged(pair.a.cut(1.0), 1), 1.0)
    pair.settle()
    assert [one.data[-1:] for one in pair.b.incoming] == [b"0", b"2"]
    ((token, code, text),) = pair.a.told("failure")
    assert (token, code) == (1, DATA_LOSS)
    assert "checksum" in text


def test_a_damaged_answer_fails_alone() -> None:
    pair = Pair(CHECKED)
    for n in range(3):
        pair.a.open(n)
    pair.settle()
    for one in pair.b.incoming:
        pair.b.session.reply(one.exchange, "Answer", b"answer")
    pair.a.session.receive(damaged(pair.b.cut(pair.now), 1), pair.now)
    assert [token for token, *_ in pair.a.told("reply")] == [0, 2]
    assert [(token, code) for token, code, _ in pair.a.told("failure")] == [(1, DATA_LOSS)]
    pair.assert_nothing_is_left()


def test_a_damaged_item_ends_its_stream_alone() -> None:
    pair = Pair(CHECKED)
    number = pair.stream()
    pair.a.open("token")
    for _ in range(3):
        pair.a.session.send_item(number, "Item", b"item")
    pair.b.session.receive(damaged(pair.a.cut(pair.now), 2), pair.now)
    pair.settle()
    assert len(pair.b.told("item")) == 1
    assert pair.b.told("end") == [("right", True, DATA_LOSS)]
    assert pair.a.told("end") == [("left", True, DATA_LOSS)]
    assert len(pair.b.incoming) == 2


def test_a_large_message_damaged_in_any_chunk_fails() -> None:
    for damage in range(8):
        pair = Pair(CHECKED)
        pair.a.open("token", data=bytes(2 * MIB))
        for n, data in enumerate(pair.a.cut_all(1.0)):
            pair.b.session.receive(damaged(data, 0) if n == damage else data, 1.0)
        pair.settle()
        assert [(token, code) for token, code, _ in pair.a.told("failure")] == [
            ("token", DATA_LOSS)
        ]
        pair.assert_nothing_is_left()


@pytest.mark.parametrize("algorithm", available())
@pytest.mark.parametrize("announced", [10, 2 * MIB, 1 << 60])
def test_a_bomb_is_refused_before_it_goes_off(algorithm: str, announced: int) -> None:
    pair = Pair(SessionSettings(max_message_bytes=MIB))
    bomb = compress(algorithm, bytes(64 * MIB))
    note = Note(index=0, packing=algorithm, unpacked_size=announced)
    data = frame(pair.a.session.sent.frames + 1, (1, Frame.REQUEST, 0, 0, bomb), notes=[note])
    tracemalloc.start()
    pair.b.session.receive(data, 0.0)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < MIB
    assert pair.b.incoming == []
    (answer,) = pair.b.cut_all(1.0)
    assert list(parsed(answer).kind) == [Frame.ERROR]
    assert pair.b.session.in_flight == 0


@pytest.mark.parametrize(
    "note",
    [
        Note(packing="lzma", unpacked_size=5),
        Note(packing="zstd", unpacked_size=5),
        Note(packing="gzip", unpacked_size=5),
        Note(checksum=1),
    ],
)
def test_what_cannot_be_unpacked_is_refused(note: Note) -> None:
    pair = Pair(PLAIN)
    row = (1, Frame.REQUEST, 0, 0, b"12345")
    pair.b.session.receive(frame(pair.a.session.sent.frames + 1, row, notes=[note]), 0.0)
    assert pair.b.incoming == []
    assert list(parsed(pair.b.cut(1.0)).kind) == [Frame.ERROR]
