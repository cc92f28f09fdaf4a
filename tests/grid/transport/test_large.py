"""Large messages, cut and put together."""

import math
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grid.transport._large import Assemblies, AssemblyError, LargeMessage

MIB = 1024 * 1024


@given(st.binary(min_size=1, max_size=500), st.integers(1, 600))
def test_what_is_cut_is_put_together(data: bytes, size: int) -> None:
    message, there = LargeMessage(1, data, None, 0), Assemblies(1000, 1000)
    assert not message.begun
    part, last = message.next_chunk(size)
    assert message.begun
    if last:
        assert part == data
        return
    assert there.first(1, message.size, part, math.inf)
    while True:
        part, last = message.next_chunk(size)
        assert 0 < len(part) <= size
        if last:
            break
        there.more(1, part)
    assert there.last(1, part) == data
    assert there.reserved == len(there.pending) == 0


def test_many_small_parts_take_no_more_than_the_message() -> None:
    there = Assemblies(MIB, MIB)
    there.first(1, MIB, b"", math.inf)
    tracemalloc.start()
    for n in range(MIB // 2):
        there.more(1, n.to_bytes(2, "big")[:2] if n < 65536 else b"ab")
        there.more(1, b"")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 3 * MIB


@pytest.mark.parametrize("parts", [[b"12345678901"], [b"1234567890", b"1"], [b"12345", b"678901"]])
def test_more_than_was_announced(parts: list[bytes]) -> None:
    there = Assemblies(100, 100)
    with pytest.raises(AssemblyError, match="more than it announced"):
        feed(there, parts)


def feed(there: Assemblies, parts: list[bytes]) -> None:
    there.first(1, 10, parts[0], math.inf)
    for part in parts[1:-1]:
        there.more(1, part)
    there.last(1, parts[-1])


def test_less_than_was_announced() -> None:
    there = Assemblies(100, 100)
    there.first(1, 10, b"12345", math.inf)
    with pytest.raises(AssemblyError, match="less than it announced"):
        there.last(1, b"6789")


def test_what_there_is_no_room_for_is_ignored_to_its_end() -> None:
    there = Assemblies(10, 20)
    assert not there.first(1, 11, b"x", math.inf)  # too large by itself
    assert there.first(3, 10, b"x", math.inf)
    assert there.first(5, 10, b"x", math.inf)
    assert not there.first(7, 1, b"x", math.inf)  # too large with the others
    there.more(1, b"x" * 1000)
    assert there.last(1, b"x" * 1000) is None
    assert set(there.pending) == {3, 5, 7}
    assert there.reserved == 20


def test_dropping_makes_room() -> None:
    there = Assemblies(10, 10)
    there.first(1, 10, b"x", math.inf)
    there.drop(1)
    there.drop(1)
    assert there.reserved == 0
    assert there.first(3, 10, b"x", math.inf)


def test_what_is_abandoned_makes_room_and_its_rest_is_ignored() -> None:
    there = Assemblies(10, 10)
    there.first(1, 10, b"x", math.inf)
    there.abandon(1)
    there.abandon(1)
    there.abandon(99)
    assert there.reserved == 0
    assert there.last(1, b"rest") is None
    assert not there.pending


def test_what_is_overdue_is_forgotten() -> None:
    there = Assemblies(10, 100)
    for exchange, at in ((1, 5.0), (3, 2.0), (5, math.inf)):
        there.first(exchange, 10, b"x", at)
    assert there.next_overdue() == 2.0
    there.expire(2.0)
    assert there.reserved == 20
    assert there.next_overdue() == 5.0
    there.expire(1e9)
    assert there.next_overdue() == math.inf
    assert there.reserved == 10


def test_what_is_ignored_is_bounded() -> None:
    there = Assemblies(10, 10)
    for exchange in range(10_000):
        there.refuse(exchange)
    with pytest.raises(AssemblyError, match="too many"):
        there.refuse(10_000)
    there.drop(0)
    there.refuse(10_000)
