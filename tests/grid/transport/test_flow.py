"""Credit and numbers of one stream."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grid.transport._flow import Flow, FlowError, cost

KIB = 1024
sizes = st.one_of(st.integers(0, 40 * KIB), st.integers(0, 4 * KIB * KIB))


def pair(window: int) -> tuple[Flow, Flow]:
    """The sending and the receiving end."""
    return Flow("sender", window, 256), Flow("reader", 256, window)


@pytest.mark.parametrize(
    ("size", "units"), [(0, 1), (1, 1), (16383, 1), (16384, 2), (32768, 3), (1 << 20, 65)]
)
def test_an_item_costs_1_and_1_more_for_each_16_kib(size: int, units: int) -> None:
    assert cost(size) == units
    flow = Flow("token", 1000, 1000)
    flow.sent(size)
    assert flow.credit == 1000 - units


@given(st.integers(1, 600), st.lists(sizes, max_size=300))
def test_items_flow_whatever_the_window_and_their_sizes(window: int, items: list[int]) -> None:
    sender, reader = pair(window)
    sent = read = 0
    while read < len(items):
        if sent < len(items) and sender.credit > 0:
            reader.received(sender.sent(items[sent]), items[sent])
            sent += 1
            continue
        assert read < sent, "neither side can go on"
        waiting = items[read:sent]
        assert sum(map(cost, waiting[:-1])) < window
        total = reader.consumed(items[read])
        read += 1
        if total:
            stopped = sender.credit <= 0
            assert sender.granted(total) == (stopped and sender.credit > 0)


@given(st.integers(1, 600), st.lists(sizes, min_size=50, max_size=300))
def test_grants_are_told_seldom(window: int, items: list[int]) -> None:
    _, reader = pair(window)
    grants = 0
    for number, size in enumerate(items, 1):
        reader.received(number, size)
        grants += bool(reader.consumed(size))
    assert grants <= 1 + 2 * sum(map(cost, items)) / window


def test_a_grant_does_not_shrink() -> None:
    flow = Flow("token", 10, 10)
    assert not flow.granted(5)
    assert flow.credit == 10


@pytest.mark.parametrize(("number", "why"), [(0, "0"), (1, "1"), (3, "3")])
def test_only_the_next_item_is_taken(number: int, why: str) -> None:
    flow = Flow("token", 10, 10)
    flow.received(1, 0)
    with pytest.raises(FlowError, match=f"item {why} came after item 1"):
        flow.received(number, 0)


def test_an_item_without_credit_is_not_taken() -> None:
    flow = Flow("token", 10, 2)
    flow.received(1, 100 * KIB)  # a large one fits while any credit is left
    with pytest.raises(FlowError, match="without credit"):
        flow.received(2, 0)


def test_no_item_comes_after_the_end() -> None:
    flow = Flow("token", 10, 10)
    flow.receiving = False
    with pytest.raises(FlowError, match="after the end"):
        flow.received(1, 0)
