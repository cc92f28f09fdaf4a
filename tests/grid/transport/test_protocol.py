"""A session: requests, answers, tells, cancels, deadlines, greetings."""

import math

import pytest

from grid.transport.protocol import ProtocolViolation, Session
from grid.transport.settings import SessionSettings
from grid.wire_pb2 import Failure, Frame, Hello, Note, Route
from tests.grid.transport.session_kit import HELLO, Pair, Row, Side, columns, frame, parsed

KINDS = {"request": Frame.REQUEST, "tell": Frame.TELL, "open": Frame.OPEN}
each_kind = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)


def greeted(*, dialled: bool = False, settings: SessionSettings | None = None) -> Side:
    """A side that has read a hello and said its own."""
    side = Side(dialled=dialled, settings=settings)
    side.session.receive(frame(1, hello=HELLO), 0.0)
    side.cut()
    return side


# -- requests, answers, tells ------------------------------------------------------


def test_a_request_arrives_with_all_that_was_said_of_it() -> None:
    pair = Pair()
    pair.a.open("token", data=b"x", metadata={"trace": "1"}, at=5.0)
    pair.settle()
    (incoming,) = pair.b.incoming
    assert incoming[1:6] == (Frame.REQUEST, "ns.mailbox.one", 7, "Question", b"x")
    assert incoming.metadata == {"trace": "1"}
    assert 0 < incoming.milliseconds <= 5000


@pytest.mark.parametrize("dialled", [True, False])
def test_either_side_asks_and_gets_the_answer(dialled: bool) -> None:
    pair = Pair()
    asking, answering = (pair.a, pair.b) if dialled else (pair.b, pair.a)
    answering.on_new = lambda one: answering.session.reply(one.exchange, "Answer", b"42")
    asking.open("token")
    pair.settle()
    assert asking.told("reply") == [("token", "Answer", b"42")]
    pair.assert_nothing_is_left()


def test_answers_find_their_questions_in_any_order() -> None:
    pair = Pair()
    for n in range(100):
        pair.a.open(n, data=b"%d" % n)
    pair.settle()
    assert [one.data for one in pair.b.incoming] == [b"%d" % n for n in range(100)]
    for one in reversed(pair.b.incoming):
        pair.b.session.reply(one.exchange, "Echo", one.data)
    pair.settle()
    assert sorted(pair.a.told("reply")) == [(n, "Echo", b"%d" % n) for n in range(100)]
    pair.assert_nothing_is_left()


@each_kind
def test_a_failure_reaches_who_asked(kind: int) -> None:
    pair = Pair()
    pair.b.on_new = lambda one: pair.b.session.fail(one.exchange, Failure(code=5, text="no"))
    pair.a.open("token", kind)
    pair.settle()
    # Of a tell nobody waits for the outcome: it was done when it was written.
    assert pair.a.told("failure") == ([] if kind == Frame.TELL else [("token", 5, "no")])
    pair.assert_nothing_is_left()


def test_a_second_answer_is_not_sent() -> None:
    pair = Pair()
    pair.a.open("token")
    pair.settle()
    for _ in range(2):
        pair.b.session.reply(pair.b.incoming[0].exchange, "Answer", b"")
    pair.settle()
    assert len(pair.a.told("reply")) == 1
    assert pair.a.session.late == 0


def test_a_tell_is_done_when_its_frame_is_written_and_not_before() -> None:
    pair = Pair()
    session = pair.a.session
    pair.a.open("token", Frame.TELL)
    assert session.frame_written() == []
    assert session.next_frame(1.0) is not None
    assert session.frame_written() == ["token"]
    assert session.frame_written() == []
    assert session.in_flight == 0


def test_each_tell_is_done_with_its_own_frame() -> None:
    pair = Pair()
    for n in range(50):
        pair.a.open(n, Frame.TELL)
    sent = []
    while (data := pair.a.session.next_frame(1.0)) is not None:
        tokens = pair.a.session.frame_written()
        assert len(tokens) == len(columns(data))
        sent += tokens
        pair.b.session.receive(data, 1.0)
        pair.a.session.receive(frame(1 + pair.a.session.received.frames), 1.0)
    assert sent == list(range(50))


# -- cancel ------------------------------------------------------------------------


@each_kind
def test_what_is_cancelled_before_it_is_written_is_never_on_the_wire(kind: int) -> None:
    pair = Pair()
    number = pair.a.open("token", kind)
    assert pair.a.session.cancel(number)
    assert pair.a.cut_all(1.0) == []
    assert pair.a.done == []
    pair.assert_nothing_is_left()


def test_a_cancelled_one_leaves_no_gap_among_others() -> None:
    pair = Pair()
    numbers = [pair.a.open(n, data=b"%d" % n) for n in range(100)]
    for number in numbers[::3]:
        pair.a.session.cancel(number)
    pair.settle()
    assert [int(one.data) for one in pair.b.incoming] == [n for n in range(100) if n % 3]


def test_any_number_of_cancelled_ones_is_passed_over_at_once() -> None:
    pair = Pair()
    for number in [pair.a.open(n) for n in range(50_000)]:
        pair.a.session.cancel(number)
    pair.a.open("last")
    (data,) = pair.a.cut_all(1.0)
    assert len(columns(data)) == 1


def test_cancelling_after_it_was_written_tells_the_other_side() -> None:
    pair = Pair()
    number = pair.a.open("token")
    pair.settle()
    assert pair.a.session.cancel(number)
    assert not pair.a.session.cancel(number)
    pair.settle()
    assert pair.b.told("cancel") == [pair.b.incoming[0]]
    pair.b.session.reply(number, "Answer", b"")
    pair.settle()
    assert pair.a.told("reply") == []
    pair.assert_nothing_is_left()


def test_an_answer_that_crosses_a_cancel_is_late() -> None:
    pair = Pair()
    number = pair.a.open("token")
    pair.settle()
    pair.b.session.reply(number, "Answer", b"")
    pair.a.session.cancel(number)
    pair.settle()
    assert pair.a.session.late == 1
    assert pair.a.told("reply") == pair.b.told("cancel") == []
    pair.assert_nothing_is_left()


def test_cancel_by_token() -> None:
    pair = Pair()
    token = object()
    pair.a.open(token)
    assert pair.a.session.cancel_token(token)
    assert not pair.a.session.cancel_token(token)
    assert pair.a.session.in_flight == 0


# -- deadlines -----------------------------------------------------------------------


def test_what_is_overdue_is_given_up_once_and_cancelled_over_there() -> None:
    pair = Pair()
    pair.a.open("soon", at=1.0)
    pair.a.open("later", at=2.0)
    pair.a.open("never")
    pair.settle()
    session = pair.a.session
    assert session.next_expiry() <= 1.0
    assert session.expire(0.999) == []
    assert session.expire(1.0) == ["soon"]
    assert session.expire(1.0) == []
    assert session.next_expiry() <= 2.0
    pair.settle()
    assert len(pair.b.told("cancel")) == 1
    assert session.expire(10.0) == ["later"]
    assert session.next_expiry() == math.inf


@pytest.mark.parametrize("waited", [0.0, 0.0005, 0.4, 0.9999, 3.0])
def test_what_travels_is_what_remains_when_the_frame_is_cut(waited: float) -> None:
    pair = Pair()
    pair.a.open("first", now=1.0, at=2.0)
    pair.a.cut(1.0)
    pair.a.session.receive(frame(pair.a.session.received.frames + 1), 1.0)
    pair.a.open("token", at=2.0, now=1.0)
    ((_, _, value, _, _),) = columns(pair.a.cut(1.0 + waited))
    remains = (1.0 - waited) * 1000
    # Not looked at anew within the millisecond that a delivery may be held.
    assert 1 <= value <= max(1, remains + 1)


def test_what_waited_for_many_frames_is_looked_at_anew_in_each_of_them() -> None:
    pair = Pair()
    for n in range(96):
        pair.a.open(n, at=10.0)
    frames = pair.a.cut_all(4.0)
    assert len(frames) > 1
    for _, _, value, _, _ in (row for data in frames for row in columns(data)):
        assert 5990 <= value <= 6000


def test_no_deadline_travels_as_none() -> None:
    pair = Pair()
    pair.a.open("token")
    pair.settle()
    assert pair.b.incoming[0].milliseconds == 0


# -- greetings, signs of life, farewell ------------------------------------------------


def test_nothing_but_the_hello_leaves_before_the_other_side_said_its_own() -> None:
    a, b = Side(), Side(dialled=False)
    a.open("token")
    (first,) = a.cut_all()
    assert parsed(first).HasField("hello")
    assert columns(first) == []
    b.session.receive(first, 0.0)
    wakes = a.wakes
    a.session.receive(b.cut_all()[0], 0.0)
    assert a.wakes > wakes
    ((number, kind, *_),) = columns(a.cut())
    assert (number, kind) == (1, Frame.REQUEST)


@pytest.mark.parametrize(("ours", "theirs"), [(500, 100), (100, 500)])
def test_the_largest_message_is_what_both_take(ours: int, theirs: int) -> None:
    pair = Pair(
        SessionSettings(max_message_bytes=ours), b=SessionSettings(max_message_bytes=theirs)
    )
    assert pair.a.session.largest == pair.b.session.largest == 100
    assert pair.a.greeting is not None
    assert pair.a.greeting.max_message == theirs


@pytest.mark.parametrize(
    "wrong",
    [
        None,
        Hello(),
        Hello(version=0, max_routes=10, stream_credit=1),
        Hello(version=1, max_routes=1, stream_credit=1),
        Hello(version=1, max_routes=10, stream_credit=0),
    ],
)
def test_a_hello_that_cannot_be_ends_the_session(wrong: Hello | None) -> None:
    side = Side()
    with pytest.raises(ProtocolViolation, match="hello"):
        side.session.receive(frame(1, hello=wrong), 0.0)


def test_a_second_hello_ends_the_session() -> None:
    side = greeted()
    with pytest.raises(ProtocolViolation, match="hello"):
        side.session.receive(frame(2, hello=HELLO), 0.0)


def test_a_ping_comes_back() -> None:
    pair = Pair()
    pair.a.session.ping(12)
    pair.settle()
    assert pair.a.told("pong") == [12]


def test_of_pings_that_were_not_read_in_time_the_last_comes_back() -> None:
    side = greeted()
    for number in range(2, 1000):
        side.session.receive(frame(number, ping=number), 0.0)
    (answer,) = side.cut_all()
    assert parsed(answer).pong == 999


def test_goodbye_is_told_and_what_is_under_way_goes_on() -> None:
    pair = Pair()
    number = pair.a.open("token")
    pair.settle()
    pair.b.session.say_goodbye("stopping")
    pair.settle()
    assert pair.a.told("goodbye") == ["stopping"]
    pair.b.session.reply(number, "Answer", b"")
    pair.settle()
    assert len(pair.a.told("reply")) == 1


def test_traffic_is_counted_on_both_sides() -> None:
    pair = Pair()
    for n in range(10):
        pair.a.open(n)
    pair.settle()
    assert pair.a.session.sent == pair.b.session.received
    assert pair.a.session.received == pair.b.session.sent
    assert pair.b.session.received.deliveries == 10


# -- what breaks the rules -----------------------------------------------------------------


@pytest.mark.parametrize("number", [0, 1, 3, 4, 2**64 - 1])
def test_a_frame_out_of_order_is_noticed_before_anything_of_it_is_told(number: int) -> None:
    side = greeted()
    with pytest.raises(ProtocolViolation, match=f"frame {number} came after frame 1"):
        side.session.receive(frame(number, (1, Frame.REQUEST, 0, 0, b"x"), ping=1), 0.0)
    assert side.incoming == side.events == []
    assert side.cut_all() == []


VIOLATIONS: dict[str, list[Row]] = {
    "an unknown kind": [(1, 99, 0, 0, b"")],
    "a negative kind": [(1, -1, 0, 0, b"")],
    "an undefined route": [(1, Frame.REQUEST, 0, 5, b"")],
    "an undefined route of an answer": [(2, Frame.REPLY, 0, 5, b"")],
    "a number of this side": [(2, Frame.REQUEST, 0, 0, b"")],
    "a number that is in use": [(1, Frame.REQUEST, 0, 0, b"")] * 2,
    "an error that is no failure": [(2, Frame.ERROR, 0, 0, b"\xff")],
    "a chunk without a size": [(1, Frame.CHUNK, 0, 0, b"x")],
}


@pytest.mark.parametrize("rows", VIOLATIONS.values(), ids=VIOLATIONS)
def test_a_delivery_against_the_rules_ends_the_session_and_loses_no_token(rows: list[Row]) -> None:
    side = greeted()
    assert side.open("mine") == 2
    side.cut(1.0)
    with pytest.raises(ProtocolViolation):
        side.session.receive(frame(2, *rows), 0.0)
    assert side.session.close().written == ["mine"]


@pytest.mark.parametrize("column", ["exchange", "kind", "value", "route", "data"])
def test_columns_are_equally_long(column: str) -> None:
    made = Frame.FromString(frame(2, (1, Frame.REQUEST, 0, 0, b"x")))
    getattr(made, column).append(b"" if column == "data" else 0)
    with pytest.raises(ProtocolViolation, match="columns"):
        greeted().session.receive(made.SerializeToString(), 0.0)


def test_more_notes_than_deliveries_end_the_session() -> None:
    with pytest.raises(ProtocolViolation, match="notes"):
        greeted().session.receive(frame(2, notes=[Note(index=0)]), 0.0)


@pytest.mark.parametrize(
    "route", [Route(number=0), Route(number=4097), Route(number=1, receiver="x" * 5000)]
)
def test_a_route_outside_of_its_bounds_ends_the_session(route: Route) -> None:
    with pytest.raises(ProtocolViolation):
        greeted().session.receive(frame(2, routes=[route]), 0.0)


def test_what_is_no_frame_ends_the_session() -> None:
    with pytest.raises(ProtocolViolation, match="encoding"):
        greeted().session.receive(b"\xff\xff\xff", 0.0)


def test_a_session_needs_routes_of_its_own() -> None:
    with pytest.raises(ValueError, match="max_routes"):
        SessionSettings(max_routes=1)
    assert isinstance(Side(settings=SessionSettings(max_routes=2)).session, Session)
