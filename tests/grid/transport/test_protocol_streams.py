"""Streams of a session: order, credit, ends, and what races."""

import pytest

from grid.transport.settings import SessionSettings
from grid.wire_pb2 import Failure, Frame
from tests.grid.transport.session_kit import Pair, Row, Side, columns, frame

INTERNAL, CANCELLED = 13, 1
KIB = 1024


def data_of(side: Side, token: str) -> list[bytes]:
    return [data for name, _, data in side.told("item") if name == token]


def send_while_credit(pair: Pair, side: Side, number: int, items: list[bytes]) -> None:
    while items and side.session.credit(number) > 0:
        side.session.send_item(number, "Item", items.pop(0))


# -- the beginning --------------------------------------------------------------------


def test_a_stream_opens_and_carries_items_both_ways() -> None:
    pair = Pair()
    number = pair.stream()
    assert pair.a.told("accept") == ["left"]
    for n in range(10):
        pair.a.session.send_item(number, "Up", b"a%d" % n)
        pair.b.session.send_item(number, "Down", b"b%d" % n)
    pair.settle()
    assert pair.b.told("item") == [("right", "Up", b"a%d" % n) for n in range(10)]
    assert pair.a.told("item") == [("left", "Down", b"b%d" % n) for n in range(10)]


def test_items_are_numbered_from_1_in_each_direction() -> None:
    pair = Pair()
    number = pair.stream()
    for side in (pair.a, pair.b):
        for _ in range(3):
            side.session.send_item(number, "Item", b"")
        assert [value for _, _, value, _, _ in columns(side.cut(1.0))] == [1, 2, 3]


def test_a_refused_stream_fails_and_is_gone() -> None:
    pair = Pair()
    pair.b.on_new = lambda one: pair.b.session.fail(one.exchange, Failure(code=5))
    pair.a.open("left", Frame.OPEN)
    pair.settle()
    assert pair.a.told("failure") == [("left", 5, "")]
    pair.assert_nothing_is_left()


def test_cancelling_an_open_that_was_not_accepted_takes_it_back() -> None:
    pair = Pair()
    number = pair.a.open("left", Frame.OPEN)
    pair.settle()
    pair.a.session.cancel(number)
    pair.settle()
    assert pair.b.told("cancel") == [pair.b.incoming[0]]
    assert not pair.b.session.accept(number, "right")
    pair.assert_nothing_is_left()


def test_a_cancel_that_crosses_the_accept_ends_the_stream_over_there() -> None:
    pair = Pair()
    number = pair.a.open("left", Frame.OPEN)
    pair.settle()
    assert pair.b.session.accept(number, "right")
    pair.b.session.send_item(number, "Item", b"early")
    pair.a.session.cancel(number)
    pair.settle()
    assert pair.a.told("accept") == pair.a.told("item") == []
    assert pair.a.session.late == 2
    assert pair.b.told("end") == [("right", True, CANCELLED)]
    pair.assert_nothing_is_left()


# -- credit ----------------------------------------------------------------------------


@pytest.mark.parametrize("window", [1, 2, 3, 7, 256])
@pytest.mark.parametrize("size", [0, 1, 16 * KIB - 1, 16 * KIB, 200 * KIB])
def test_a_sender_stops_at_0_and_goes_on_when_the_reader_has_read(window: int, size: int) -> None:
    pair = Pair(SessionSettings(stream_credit=window))
    number = pair.stream()
    items = [b"x" * size] * 40
    read = 0
    stopped = False
    while read < 40:
        send_while_credit(pair, pair.a, number, items)
        stopped = stopped or bool(items)
        pair.settle()
        waiting = data_of(pair.b, "right")[read:]
        # What waits is bounded by the window and one item.
        assert sum(1 + len(one) // (16 * KIB) for one in waiting[:-1]) < window
        assert waiting, "the sender may not send, and the reader has nothing to read"
        pair.b.session.consumed(number, size)
        read += 1
        pair.settle()
    assert stopped == (40 * (1 + size // (16 * KIB)) > window)
    assert bool(pair.a.told("credit")) == stopped


def test_items_larger_than_the_window_pass_one_at_a_time() -> None:
    pair = Pair(SessionSettings(stream_credit=2))
    number = pair.stream()
    for n in range(5):
        assert pair.a.session.credit(number) > 0
        pair.a.session.send_item(number, "Item", bytes([n]) * 500 * KIB)
        assert pair.a.session.credit(number) <= 0
        pair.settle()
        assert pair.a.session.credit(number) <= 0
        pair.b.session.consumed(number, 500 * KIB)
        pair.settle()
    assert data_of(pair.b, "right") == [bytes([n]) * 500 * KIB for n in range(5)]


def test_one_slow_stream_does_not_stop_another() -> None:
    pair = Pair(SessionSettings(stream_credit=2))
    slow = pair.a.open("slow", Frame.OPEN)
    fast = pair.a.open("fast", Frame.OPEN)
    pair.settle()
    for number in (slow, fast):
        pair.b.session.accept(number, number)
    pair.settle()
    for _ in range(2):
        pair.a.session.send_item(slow, "Item", b"")
    for n in range(100):
        pair.a.session.send_item(fast, "Item", b"%d" % n)
        pair.settle()
        pair.b.session.consumed(fast, 2)
        pair.settle()
    assert pair.a.session.credit(slow) == 0
    assert len([1 for token, *_ in pair.b.told("item") if token == fast]) == 100


# -- the end -----------------------------------------------------------------------------


def test_each_direction_ends_by_itself_and_the_stream_with_the_second() -> None:
    pair = Pair()
    number = pair.stream()
    pair.a.session.end_sending(number)
    assert pair.a.session.credit(number) == 0
    pair.settle()
    assert pair.b.told("end") == [("right", False, None)]
    pair.b.session.send_item(number, "Item", b"still")
    pair.b.session.end_sending(number)
    pair.settle()
    assert data_of(pair.a, "left") == [b"still"]
    assert pair.a.told("end") == [("left", False, None)]
    pair.assert_nothing_is_left()


def test_items_come_before_the_end_that_follows_them() -> None:
    pair = Pair()
    number = pair.stream()
    for n in range(200):
        pair.a.session.send_item(number, "Item", b"%d" % n)
    pair.a.session.end_stream(number, None)
    pair.settle()
    assert [event[0] for event in pair.b.events] == ["item"] * 200 + ["end"]
    pair.assert_nothing_is_left()


@pytest.mark.parametrize("code", [None, 9])
def test_the_reason_of_an_end_reaches_the_other_side(code: int | None) -> None:
    pair = Pair()
    number = pair.stream()
    pair.b.session.end_stream(number, None if code is None else Failure(code=code))
    pair.settle()
    assert pair.a.told("end") == [("left", True, code)]
    assert pair.b.told("end") == []
    pair.assert_nothing_is_left()


def test_both_may_end_it_at_once() -> None:
    pair = Pair()
    number = pair.stream()
    pair.a.session.end_stream(number, None)
    pair.b.session.end_stream(number, None)
    pair.settle()
    assert pair.a.told("end") == pair.b.told("end") == []
    pair.assert_nothing_is_left()


def test_items_that_cross_an_end_are_late() -> None:
    pair = Pair()
    number = pair.stream()
    for _ in range(5):
        pair.a.session.send_item(number, "Item", b"")
    pair.b.session.end_stream(number, None)
    pair.settle()
    assert pair.b.told("item") == []
    assert pair.b.session.late == 5
    pair.assert_nothing_is_left()


# -- against the rules -----------------------------------------------------------------------

BROKEN: dict[str, list[tuple[int, int]]] = {  # kind, value
    "a gap": [(Frame.ITEM, 1), (Frame.ITEM, 3)],
    "a repeat": [(Frame.ITEM, 1), (Frame.ITEM, 1)],
    "not from 1": [(Frame.ITEM, 0)],
    "without credit": [(Frame.ITEM, n) for n in range(1, 5)],
    "after the end": [(Frame.END, Frame.SENDING), (Frame.ITEM, 1)],
}


@pytest.mark.parametrize("what", BROKEN.values(), ids=BROKEN)
def test_a_broken_stream_ends_for_both_and_the_session_goes_on(what: list[tuple[int, int]]) -> None:
    pair = Pair(SessionSettings(stream_credit=3))
    number = pair.stream()
    following = pair.a.session.sent.frames + 1
    rows: list[Row] = [(number, kind, value, 0, b"") for kind, value in what]
    # A frame that the session at `a` did not cut; so the frames from `a` end here.
    pair.b.session.receive(frame(following, *rows), 0.0)
    good = [value for kind, value in what if kind == Frame.ITEM][:-1]
    assert len(pair.b.told("item")) == len(good)
    assert pair.b.told("end")[-1] == ("right", True, INTERNAL)
    pair.b.open("token")
    while pair.step(pair.b):
        pair.now += 0.0011
    assert pair.a.told("end") == [("left", True, INTERNAL)]
    assert len(pair.a.incoming) == 1
    assert pair.a.session.in_flight == 1


def test_a_second_end_of_a_direction_is_not_told_again() -> None:
    pair = Pair()
    number = pair.stream()
    row = (number, Frame.END, Frame.SENDING, 0, b"")
    pair.b.session.receive(frame(pair.a.session.sent.frames + 1, row, row), 0.0)
    assert pair.b.told("end") == [("right", False, None)]


def test_an_end_that_cannot_be_read_loses_no_stream() -> None:
    pair = Pair()
    number = pair.stream()
    row = (number, Frame.END, Frame.STREAM, 0, b"\xff")
    with pytest.raises(Exception, match="Failure"):
        pair.b.session.receive(frame(pair.a.session.sent.frames + 1, row), 0.0)
    assert pair.b.session.close().streams == ["right"]
