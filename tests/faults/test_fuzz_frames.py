"""Whatever frames come, a session refuses them or lives on, in bounds of memory and time.

`GRID_FUZZ_SECONDS` says how long the search goes on. A failure tells the seed.
"""

import contextlib
import gc
import os
import sys
import time
import tracemalloc
from typing import cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grid.transport.protocol import ProtocolViolation
from grid.transport.settings import SessionSettings
from grid.wire_pb2 import Frame, Note, Route
from tests.faults.fuzz_frames import BytesSource, RandomSource, attack
from tests.grid.transport.session_kit import HELLO, Row, Side, frame

SECONDS = float(os.environ.get("GRID_FUZZ_SECONDS", "3"))
SEED = int(os.environ.get("GRID_FUZZ_SEED", "1"))
MIB = 1024 * 1024
FRAME_BYTES = 4 * MIB  # what gRPC lets through
KINDS = [*Frame.Kind.items()]


@pytest.mark.timeout(SECONDS + 60)
def test_nothing_but_a_violation_comes_of_hostile_frames() -> None:
    until = time.monotonic() + SECONDS
    seed, refused = SEED, 0
    while time.monotonic() < until:
        try:
            refused += attack(RandomSource(seed))
        except Exception as error:
            raise AssertionError(f"GRID_FUZZ_SEED={seed}") from error
        seed += 1
    # Most get far enough to be refused, many are not wrong at all.
    assert 0.1 < refused / (seed - SEED) < 0.95


@settings(max_examples=150)
@given(st.binary(max_size=3000))
def test_nothing_but_a_violation_comes_of_hostile_decisions(data: bytes) -> None:
    attack(BytesSource(data))


@settings(max_examples=300)
@given(st.binary(max_size=500))
def test_nothing_but_a_violation_comes_of_any_bytes(data: bytes) -> None:
    side = greeted()
    try:
        side.session.receive(data, 0.0)
    except ProtocolViolation:
        return
    assert Frame.FromString(data).number == 2


def greeted(settings: SessionSettings | None = None) -> Side:
    side = Side(dialled=False, settings=settings)
    side.session.receive(frame(1, hello=HELLO), 0.0)
    side.cut()
    return side


# -- memory -----------------------------------------------------------------------------


def held() -> int:
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


def test_sessions_that_were_attacked_leave_nothing_behind() -> None:
    for seed in range(200):
        attack(RandomSource(seed))
    tracemalloc.start()
    try:
        before = held()
        for seed in range(600):
            attack(RandomSource(seed))
        assert held() - before < 100_000
    finally:
        tracemalloc.stop()


def hostile(number: int) -> bytes:
    """A frame that breaks no rule, and asks for as much as it can without any use."""
    first = number * 1000 + 1
    rows: list[Row] = []
    notes = []
    for n in range(first, first + 200, 2):
        notes.append(Note(index=len(rows), size=100_000))
        rows += [
            (n, Frame.CHUNK, 0, 0, b"x" * 50),  # begins, and is taken back
            (n, Frame.CANCEL, 0, 0, b""),
            (n + 1, Frame.REPLY, 0, 1, b"nobody asked"),
            (n + 1, Frame.ITEM, 1, 1, b"of no stream"),
            (n + 1, Frame.CREDIT, 2**63, 0, b""),
            (n + 1, Frame.ACCEPT, 0, 0, b""),
            (n, Frame.END, 1, 0, b""),
        ]
        notes.append(Note(index=len(rows), checksum=1))
        rows.append((n, Frame.REQUEST, 0, 1, b"damaged"))
    routes = [Route(number=1 + n % 5, receiver=f"{number}.{n}") for n in range(50)]
    return frame(number, *rows, notes=notes, routes=routes, ping=number)


@pytest.mark.parametrize("reads", [True, False])
def test_one_session_stays_in_bounds_whatever_is_asked_of_it(reads: bool) -> None:
    side = greeted(SessionSettings(max_routes=5))
    frames = iter([hostile(number) for number in range(2, 102)])
    for _ in range(30):
        side.session.receive(next(frames), 0.0)
        if reads:
            side.cut_all()
    tracemalloc.start()
    try:
        before = held()
        queued = side.session.queued
        for number, data in enumerate(frames):
            side.session.receive(data, float(number))
            if reads:
                side.cut_all(float(number))
        growth = held() - before
    finally:
        tracemalloc.stop()
    # Who does not read has answers waiting, and the owner can see how many.
    waiting = side.session.queued - queued
    assert growth < 300_000 + 1000 * waiting
    assert waiting == 0 if reads else waiting <= 70 * 100
    assert side.session.in_flight == 0
    assert not side.session._in.assemblies.pending


# CPU seconds on a slow machine; what grows with the square takes minutes. Under a tracer, as
# coverage is one, each line costs a multiple.
LIMIT = 6.0 if sys.gettrace() is None else 60.0


# -- time -------------------------------------------------------------------------------


def seconds_to_take(data: bytes) -> float:
    side = greeted()
    side.session.receive(frame(2, routes=[Route(number=1, receiver="r", type_name="T")]), 0.0)
    assert len(data) <= FRAME_BYTES
    started = time.process_time()
    with contextlib.suppress(ProtocolViolation):
        side.session.receive(data, 0.0)
    return time.process_time() - started


@pytest.mark.parametrize(("name", "kind"), KINDS, ids=[name for name, _ in KINDS])
@pytest.mark.parametrize("distinct", [True, False])
def test_a_frame_full_of_one_kind_is_taken_fast(name: str, kind: int, distinct: bool) -> None:
    count = FRAME_BYTES // (10 if distinct else 8)
    made = Frame(number=3)
    made.exchange.extend(range(1, 2 * count, 2) if distinct else [2] * count)
    made.kind.extend([cast("Frame.Kind", kind)] * count)
    made.value.extend([1] * count)
    made.route.extend([1] * count)
    made.data.extend([b""] * count)
    assert seconds_to_take(made.SerializeToString()) < LIMIT


MANY = FRAME_BYTES // 10
WORST: dict[str, Frame] = {
    "notes": Frame(number=3, notes=[Note(index=n) for n in range(MANY)]),
    "routes": Frame(number=3, routes=[Route(number=1 + n % 4096) for n in range(MANY // 2)]),
    "metadata": Frame(
        number=3,
        exchange=[1],
        kind=[Frame.REQUEST],
        value=[0],
        route=[0],
        data=[b""],
        notes=[Note(metadata={f"{n:06}": "" for n in range(MANY // 2)})],
    ),
}


@pytest.mark.parametrize("name", WORST)
def test_a_frame_full_of_what_is_beside_deliveries_is_taken_fast(name: str) -> None:
    assert seconds_to_take(WORST[name].SerializeToString()) < LIMIT


def test_many_chunks_of_many_messages_are_taken_fast() -> None:
    rows: list[Row] = []
    notes = []
    for n in range(1, 129, 2):
        notes.append(Note(index=len(rows), size=MIB))
        rows.append((n, Frame.CHUNK, 0, 0, b"x"))
    rows += [(1 + 2 * (n % 64), Frame.CHUNK, 0, 0, b"ab") for n in range(FRAME_BYTES // 12)]
    assert seconds_to_take(frame(3, *rows, notes=notes)) < LIMIT
