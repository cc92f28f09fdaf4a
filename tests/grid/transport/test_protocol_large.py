"""Large messages of a session: in chunks, between others, bounded, and gone when cancelled."""

import tracemalloc

import pytest

from grid.transport.protocol import ProtocolViolation
from grid.transport.settings import CHUNK_BYTES, LARGE_BYTES, SessionSettings
from grid.wire_pb2 import Failure, Frame, Note
from tests.grid.transport.session_kit import Pair, Row, Side, columns, frame

MIB = 1024 * 1024
EXHAUSTED = 8
SMALL = SessionSettings(max_message_bytes=4 * MIB)


def body(size: int, seed: int = 1) -> bytes:
    """Bytes of which no chunk is like another."""
    return b"".join((seed << 40 | n).to_bytes(8, "big") for n in range(size // 8 + 1))[:size]


def exchanges(data: bytes | None) -> list[tuple[int, int]]:
    return [(exchange, kind) for exchange, kind, *_ in columns(data)]


# -- whole and in order ---------------------------------------------------------------


@pytest.mark.parametrize(
    "size", [LARGE_BYTES, LARGE_BYTES + 1, 5 * CHUNK_BYTES, 5 * CHUNK_BYTES + 1]
)
@pytest.mark.parametrize("kind", [Frame.REQUEST, Frame.TELL, Frame.OPEN])
def test_a_large_message_arrives_whole(size: int, kind: int) -> None:
    pair = Pair()
    pair.a.open("token", kind, body(size), metadata={"a": "b"})
    frames = pair.a.cut_all(1.0)
    assert len(frames) == (1 if size <= LARGE_BYTES else -(-size // CHUNK_BYTES))
    for data in frames:
        pair.b.session.receive(data, 1.0)
    (incoming,) = pair.b.incoming
    assert incoming.kind == kind
    assert incoming.metadata == {"a": "b"}
    assert incoming.receiver == "ns.mailbox.one"
    assert incoming.data == body(size)


def test_a_large_answer_arrives_whole() -> None:
    pair = Pair()
    pair.b.on_new = lambda one: pair.b.session.reply(one.exchange, "Answer", body(3 * MIB))
    pair.a.open("token")
    pair.settle()
    assert pair.a.told("reply") == [("token", "Answer", body(3 * MIB))]
    pair.assert_nothing_is_left()


def test_a_large_tell_is_done_with_its_last_chunk() -> None:
    pair = Pair()
    pair.a.open("large", Frame.TELL, body(2 * MIB))
    pair.a.open("small", Frame.TELL)
    for n in range(8):
        assert pair.a.cut(1.0) is not None
        assert pair.a.done == (["small"] if n < 7 else ["small", "large"])


def test_a_small_request_leaves_in_the_very_next_frame() -> None:
    pair = Pair()
    large = pair.a.open("large", data=bytes(64 * MIB))
    for _ in range(10):
        assert exchanges(pair.a.cut(1.0)) == [(large, Frame.CHUNK)]
    small = pair.a.open("small")
    assert exchanges(pair.a.cut(1.0)) == [(small, Frame.REQUEST), (large, Frame.CHUNK)]


def test_two_large_ones_share_the_way_and_a_third_waits() -> None:
    pair = Pair()
    one, two, three = (pair.a.open(n, data=bytes(2 * MIB)) for n in range(3))
    order = [exchanges(data)[0][0] for data in pair.a.cut_all(1.0)]
    assert order[:16] == [one, two] * 8
    assert order[16:] == [three] * 8


def test_what_came_before_a_large_one_arrives_before_it() -> None:
    pair = Pair()
    for n in range(500):
        pair.a.open(n, data=b"%d" % n)
    pair.a.open("large", data=body(2 * MIB))
    pair.settle()
    assert [one.data for one in pair.b.incoming] == [
        *(b"%d" % n for n in range(500)),
        body(2 * MIB),
    ]


def test_large_items_keep_their_place_among_small_ones() -> None:
    pair = Pair(SessionSettings(stream_credit=5000))
    number = pair.stream()
    items = [body(2 * MIB, n) if n % 100 == 70 else b"%d" % n for n in range(500)]
    for item in items:
        pair.a.session.send_item(number, "Item", item)
    pair.a.session.end_sending(number)
    pair.b.session.end_sending(number)
    pair.settle()
    assert [data for _, _, data in pair.b.told("item")] == items
    assert pair.b.told("end") == [("right", False, None)]
    pair.assert_nothing_is_left()


def test_the_number_of_a_large_item_is_no_deadline() -> None:
    pair = Pair()
    number = pair.stream()
    pair.a.session.send_item(number, "Item", body(2 * MIB))
    while (data := pair.a.cut(pair.now)) is not None:
        pair.b.session.receive(data, pair.now)
        pair.now += 60.0
        pair.b.session.expire(pair.now)
    assert pair.b.told("item") == [("right", "Item", body(2 * MIB))]


def test_a_large_item_does_not_keep_back_credit_for_the_other_direction() -> None:
    pair = Pair(SessionSettings(stream_credit=1))
    number = pair.stream()
    pair.b.session.send_item(number, "Item", b"")
    pair.settle()
    pair.a.session.send_item(number, "Item", bytes(64 * MIB))
    pair.a.session.consumed(number, 0)
    assert (number, Frame.CREDIT) in exchanges(pair.a.cut(pair.now))


# -- deadlines ---------------------------------------------------------------------------


def test_each_end_of_a_large_request_says_what_remains_then() -> None:
    pair = Pair()
    for n in range(3):  # the third waits for the two before it
        pair.a.open(n, data=bytes(2 * MIB), at=100.0)
    now, values = 0.0, {}
    while (data := pair.a.cut(now)) is not None:
        for exchange, kind, value, _, _ in columns(data):
            if value:
                values[exchange, kind == Frame.CHUNK] = (value, (100 - now) * 1000)
        now += 0.5
        pair.a.session.receive(frame(pair.a.session.received.frames + 1), now)
    assert len(values) == 6
    for value, remained in values.values():
        assert remained - 1 <= value <= remained


def test_an_overdue_large_request_is_forgotten_by_both() -> None:
    pair = Pair()
    pair.a.open("token", data=bytes(2 * MIB), at=1.0)
    for _ in range(3):
        data = pair.a.cut(0.5)
        assert data is not None
        pair.b.session.receive(data, 0.5)
    assert pair.b.session.next_expiry() <= 1.0
    pair.b.session.expire(1.1)
    assert pair.b.session._in.assemblies.reserved == 0
    assert pair.a.session.expire(1.1) == ["token"]
    pair.now = 1.1
    pair.settle()
    assert pair.b.incoming == []
    pair.assert_nothing_is_left()


# -- given up half way -------------------------------------------------------------------


@pytest.mark.parametrize("chunks", range(9))
def test_a_cancelled_large_request_leaves_nothing(chunks: int) -> None:
    pair = Pair()
    number = pair.a.open("token", data=bytes(2 * MIB))
    for _ in range(chunks):
        data = pair.a.cut(1.0)
        assert data is not None
        pair.b.session.receive(data, 1.0)
    pair.a.session.cancel(number)
    if not chunks:
        assert pair.a.cut_all(1.0) == []
    pair.settle()
    assert len(pair.b.incoming) == len(pair.b.told("cancel")) == (1 if chunks == 8 else 0)
    pair.assert_nothing_is_left()


@pytest.mark.parametrize("chunks", range(9))
def test_a_cancelled_request_with_a_large_answer_leaves_nothing(chunks: int) -> None:
    pair = Pair()
    number = pair.a.open("token")
    pair.settle()
    pair.b.session.reply(number, "Answer", bytes(2 * MIB))
    for _ in range(chunks):
        data = pair.b.cut(pair.now)
        assert data is not None
        pair.a.session.receive(data, pair.now)
    assert pair.a.session.cancel(number) == (chunks < 8)
    pair.settle()
    assert len(pair.a.told("reply")) == (1 if chunks == 8 else 0)
    pair.assert_nothing_is_left()


@pytest.mark.parametrize("by_reader", [True, False])
@pytest.mark.parametrize("chunks", range(9))
def test_a_stream_ended_within_a_large_item_leaves_nothing(by_reader: bool, chunks: int) -> None:
    pair = Pair()
    number = pair.stream()
    pair.a.session.send_item(number, "Item", bytes(2 * MIB))
    pair.a.session.send_item(number, "Item", b"after")
    for _ in range(chunks):
        data = pair.a.cut(pair.now)
        assert data is not None
        pair.b.session.receive(data, pair.now)
    ending, told = (pair.b, pair.a) if by_reader else (pair.a, pair.b)
    ending.session.end_stream(number, Failure(code=9))
    pair.settle()
    assert [one[1:] for one in told.told("end")] == [(True, 9)]
    pair.assert_nothing_is_left()


@pytest.mark.parametrize("what", ["an answer", "an item"])
def test_what_has_come_of_a_message_is_forgotten_when_it_is_given_up(what: str) -> None:
    pair = Pair()
    if what == "an item":
        number = pair.stream()
        pair.b.session.send_item(number, "Item", bytes(16 * MIB))
    else:
        number = pair.a.open("token")
        pair.settle()
        pair.b.session.reply(number, "Answer", bytes(16 * MIB))
    assemblies = pair.a.session._in.assemblies
    pair.step(pair.b)
    assert assemblies.reserved == 16 * MIB
    if what == "an item":
        pair.a.session.end_stream(number, None)
    else:
        pair.a.session.cancel(number)
    assert assemblies.reserved == 0
    pair.step(pair.b)  # more comes before the other side knows
    assert assemblies.reserved == 0
    pair.settle()
    assert pair.b.session.sent.bytes < MIB  # and the rest does not come
    pair.assert_nothing_is_left()


def test_an_answer_that_begins_when_nobody_waits_is_not_kept() -> None:
    pair = Pair()
    number = pair.a.open("token")
    pair.settle()
    pair.b.session.reply(number, "Answer", bytes(2 * MIB))
    pair.a.session.cancel(number)
    pair.step(pair.b)
    assert pair.a.session._in.assemblies.reserved == 0
    pair.settle()
    pair.assert_nothing_is_left()


def test_a_large_request_among_many_answers_is_cancelled_over_there() -> None:
    pair = Pair()
    for n in range(500):
        pair.b.open(n)
    pair.settle()
    number = pair.a.open("token", data=bytes(2 * MIB))
    for one in pair.a.incoming:
        pair.a.session.reply(one.exchange, "Answer", bytes(8000))
    while not pair.b.incoming:
        pair.step(pair.a)
    assert pair.a.session.queued  # answers that came after it
    pair.a.session.cancel(number)
    pair.settle()
    assert len(pair.b.told("cancel")) == 1
    pair.assert_nothing_is_left()


def test_a_stream_that_breaks_within_a_large_item_ends_at_once() -> None:
    pair = Pair()
    number = pair.stream()
    pair.b.session.send_item(number, "Item", bytes(64 * MIB))
    assert exchanges(pair.b.cut(1.0)) == [(number, Frame.CHUNK)]
    row = (number, Frame.ITEM, 3, 0, b"not the first")
    pair.b.session.receive(frame(pair.a.session.sent.frames + 1, row), 1.0)
    assert exchanges(pair.b.cut(1.0)) == [(number, Frame.END)]
    assert pair.b.cut(1.0) is None


@pytest.mark.parametrize("first", ["sender", "reader"])
def test_a_large_item_before_the_end_of_both_directions_arrives(first: str) -> None:
    pair = Pair()
    number = pair.stream()
    pair.a.session.send_item(number, "Item", body(2 * MIB))
    if first == "sender":
        pair.a.session.end_sending(number)
    pair.b.session.end_sending(number)
    pair.settle()
    pair.a.session.end_sending(number)
    pair.settle()
    assert [data for _, _, data in pair.b.told("item")] == [body(2 * MIB)]
    assert pair.b.told("end") == [("right", False, None)]
    pair.assert_nothing_is_left()


# -- bounds --------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [Frame.REQUEST, Frame.OPEN])
def test_a_message_over_the_limit_is_refused_without_being_kept(kind: int) -> None:
    pair = Pair(b=SMALL)
    pair.a.open("token", kind, bytes(32 * MIB))
    tracemalloc.start()
    pair.settle()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2 * MIB
    ((token, code, text),) = pair.a.told("failure")
    assert (token, code) == ("token", EXHAUSTED)
    assert text == f"received message larger than max ({32 * MIB} vs. {4 * MIB})"
    assert pair.a.session.sent.bytes < MIB  # and the rest was not sent
    assert pair.b.incoming == []
    pair.assert_nothing_is_left()


def test_the_tail_of_a_refused_message_is_no_message() -> None:
    pair = Pair(b=SMALL)
    pair.a.open("token", data=bytes(4 * MIB + 1))
    for data in pair.a.cut_all(1.0):  # all of it leaves before the refusal comes
        pair.b.session.receive(data, 1.0)
    assert pair.b.incoming == []
    pair.settle()
    assert len(pair.a.told("failure")) == 1
    pair.assert_nothing_is_left()


def test_an_answer_over_the_limit_fails_at_who_asked() -> None:
    pair = Pair(SMALL, b=SessionSettings())
    pair.b.on_new = lambda one: pair.b.session.reply(one.exchange, "Answer", bytes(5 * MIB))
    pair.a.open("token")
    pair.settle()
    assert [(token, code) for token, code, _ in pair.a.told("failure")] == [("token", EXHAUSTED)]
    pair.assert_nothing_is_left()


def test_an_item_over_the_limit_ends_the_stream() -> None:
    pair = Pair(b=SMALL)
    number = pair.stream()
    pair.a.session.send_item(number, "Item", bytes(8 * MIB))
    pair.settle()
    assert pair.a.told("end") == [("left", True, EXHAUSTED)]
    assert pair.b.told("end") == [("right", True, EXHAUSTED)]
    pair.assert_nothing_is_left()


def greeted(settings: SessionSettings) -> Side:
    pair = Pair(settings)
    pair.b.session.receive(frame(2), 0.0)
    return pair.b


def test_what_unfinished_messages_announce_is_bounded_together() -> None:
    side = greeted(SMALL)
    rows = [(n, Frame.CHUNK, 0, 0, b"x") for n in range(1, 101, 2)]
    notes = [Note(index=n, size=4 * MIB) for n in range(50)]
    side.session.receive(frame(3, *rows, notes=notes), 0.0)
    assert side.session._in.assemblies.reserved == 16 * MIB
    answers = [row for data in side.cut_all(1.0) for row in columns(data)]
    assert [kind for _, kind, *_ in answers] == [Frame.ERROR] * 46


def test_the_number_of_unfinished_messages_is_bounded() -> None:
    side = greeted(SMALL)
    notes = [Note(index=n, size=1) for n in range(5000)]

    def thousands(first: int) -> list[Row]:
        return [(n, Frame.CHUNK, 0, 0, b"") for n in range(first, first + 10_000, 2)]

    side.session.receive(frame(3, *thousands(1), notes=notes), 0.0)
    assert side.session._in.assemblies.reserved < 1000
    side.session.receive(frame(4, *thousands(10_001), notes=notes), 0.0)
    with pytest.raises(ProtocolViolation, match="too many"):
        side.session.receive(frame(5, *thousands(20_001), notes=notes), 0.0)
    assert len(side.session._in.assemblies.pending) < 11_000


@pytest.mark.parametrize("last", [b"", b"12", b"1234567890"])
def test_a_message_that_is_not_of_its_announced_size_ends_the_session(last: bytes) -> None:
    side = greeted(SMALL)
    rows = [(1, Frame.CHUNK, 0, 0, b"12345"), (1, Frame.REQUEST, 0, 0, last)]
    with pytest.raises(ProtocolViolation, match="announced"):
        side.session.receive(frame(3, *rows, notes=[Note(index=0, size=10)]), 0.0)
    assert side.incoming == []
