"""Payloads are cut and put together."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rpc.machine_pb2 import Payload as Piece
from rpc.machines.errors import PayloadTooLarge, ProtocolError
from rpc.machines.payloads import PIECE, Assembler, Payload, pieces_of


@settings(deadline=None)  # megabytes, on a machine that may be busy
@given(st.lists(st.integers(0, 3 * PIECE), min_size=1, max_size=4), st.randoms())
def test_payloads_arrive_whole_however_their_pieces_mix(sizes: list[int], random: object) -> None:
    sent = [Payload(f"p{at}", bytes([at]) * size, {"at": str(at)}) for at, size in enumerate(sizes)]
    on_the_way = [list(pieces_of(at, one)) for at, one in enumerate(sent)]
    assembler = Assembler(4 * 3 * PIECE)
    came = []
    while any(on_the_way):
        pieces = random.choice([one for one in on_the_way if one])  # type: ignore[attr-defined]
        progress, whole = assembler.take(pieces.pop(0))
        assert 0 <= progress.done <= progress.size
        if whole is not None:
            came.append(whole)
    assert sorted(came, key=lambda one: one.name) == sent


def test_a_payload_over_the_limit_is_refused_at_its_first_piece() -> None:
    assembler = Assembler(100)
    with pytest.raises(PayloadTooLarge, match="101 bytes"):
        assembler.take(next(pieces_of(1, Payload("big", bytes(101)))))


def test_unfinished_payloads_count_together() -> None:
    assembler = Assembler(PIECE * 3)
    assembler.take(next(pieces_of(1, Payload("one", bytes(PIECE * 2)))))
    with pytest.raises(PayloadTooLarge):
        assembler.take(next(pieces_of(2, Payload("two", bytes(PIECE * 2)))))
    assert assembler.drop(1) == "one"
    assembler.take(next(pieces_of(3, Payload("three", bytes(PIECE * 2)))))


@pytest.mark.parametrize(
    "piece",
    [
        Piece(id=1, data=b"x"),
        Piece(id=1, name="n", size=1, data=b"xy"),
        Piece(id=1, name="n", size=3, data=b"xy", last=True),
    ],
)
def test_pieces_that_do_not_fit_are_refused(piece: Piece) -> None:
    with pytest.raises(ProtocolError):
        Assembler(100).take(piece)
