"""The end of a session: each exchange comes back exactly once, and where it belongs."""

import random

import pytest

from grid.transport.protocol import Lost, Unwritten
from grid.transport.settings import SessionSettings
from grid.wire_pb2 import Frame
from tests.grid.transport.session_kit import Pair, frame

MIB = 1024 * 1024
EMPTY = Lost([], [], [], [])


def tokens(unwritten: list[Unwritten]) -> list[object]:
    return [one.token for one in unwritten]


def test_what_was_in_no_frame_is_unwritten_and_the_rest_is_written() -> None:
    pair = Pair()
    for n in range(40):
        pair.a.open(n)
    assert pair.a.cut(1.0) is not None  # takes 32 of them
    lost = pair.a.session.close()
    assert lost.written == list(range(32))
    assert tokens(lost.unwritten) == list(range(32, 40))


def test_closing_is_idempotent() -> None:
    pair = Pair()
    pair.a.open("token")
    assert pair.a.session.close() != EMPTY
    assert pair.a.session.close() == EMPTY
    assert pair.a.session.in_flight == 0
    assert not pair.a.session.awaited


def test_what_is_unwritten_can_be_written_elsewhere_as_it_was() -> None:
    pair = Pair()
    pair.a.open("token", Frame.OPEN, b"data", metadata={"a": "b"}, at=9.0)
    (one,) = pair.a.session.close().unwritten
    assert one == Unwritten(
        "token", Frame.OPEN, "ns.mailbox.one", 7, "Question", b"data", {"a": "b"}, 9.0
    )


def test_answered_failed_cancelled_and_overdue_ones_do_not_come_back() -> None:
    pair = Pair()
    numbers = [pair.a.open(n, at=1.0 if n == 3 else 9.0) for n in range(5)]
    pair.settle()
    pair.b.session.reply(numbers[0], "Answer", b"")
    pair.settle()
    pair.a.session.cancel(numbers[1])
    assert pair.a.session.expire(2.0) == [3]
    assert pair.a.session.close().written == [2, 4]


def test_what_may_be_written_twice_comes_back_and_says_whether_it_was() -> None:
    pair = Pair()
    kept = [Unwritten(n, Frame.REQUEST, "r", 1, "T", b"", None, 9.0) for n in range(3)]
    pair.a.open(0, again=kept[0])
    pair.a.open(1, again=kept[1])
    pair.settle()
    pair.a.open(2, again=kept[2])
    lost = pair.a.session.close()
    assert lost.written == []
    assert sorted(lost.unwritten) == [
        kept[0]._replace(written=True),
        kept[1]._replace(written=True),
        kept[2],
    ]


@pytest.mark.parametrize("chunks", range(9))
@pytest.mark.parametrize("kind", [Frame.REQUEST, Frame.TELL, Frame.OPEN])
def test_a_large_one_is_written_with_its_last_chunk(kind: int, chunks: int) -> None:
    pair = Pair()
    pair.a.open("token", kind, bytes(2 * MIB))
    for _ in range(chunks):
        assert pair.a.session.next_frame(1.0) is not None
    lost = pair.a.session.close()
    assert (lost.written, tokens(lost.unwritten)) == (
        (["token"], []) if chunks == 8 else ([], ["token"])
    )


def test_a_large_one_is_written_though_smaller_ones_still_wait() -> None:
    pair = Pair()
    pair.a.open("large", data=bytes(2 * MIB))
    frames = 0
    for n in range(8 * 32 + 10):
        pair.a.open(n, data=bytes(8192))
    while pair.a.session._out._large:
        assert pair.a.session.next_frame(1.0) is not None
        frames += 1
    assert frames == 8
    lost = pair.a.session.close()
    assert "large" in lost.written
    assert "large" not in tokens(lost.unwritten)
    assert len(lost.unwritten) >= 10


def test_a_tell_is_lost_until_its_frame_is_written() -> None:
    pair = Pair()
    pair.a.open("written", Frame.TELL)
    pair.a.cut(1.0)
    pair.a.open("cut", Frame.TELL)
    pair.a.session.next_frame(2.0)
    pair.a.open("queued", Frame.TELL)
    lost = pair.a.session.close()
    assert pair.a.done == ["written"]
    assert (lost.written, tokens(lost.unwritten)) == (["cut"], ["queued"])
    assert pair.a.session.frame_written() == []


def test_what_the_other_side_opened_and_the_streams_are_told() -> None:
    pair = Pair()
    number = pair.stream()
    pair.a.open("token")
    pair.settle()
    pair.a.session.send_item(number, "Item", b"")
    assert pair.a.session.close() == (["token"], [], [], ["left"])
    assert pair.b.session.close() == ([], [], [pair.b.incoming[1]], ["right"])


def test_take_unwritten_takes_what_waits_and_the_rest_goes_on() -> None:
    pair = Pair()
    first = pair.a.open("first")
    pair.settle()
    pair.a.open("second")
    pair.a.open("large", data=bytes(2 * MIB))
    taken = pair.a.session.take_unwritten()
    assert tokens(taken) == ["second", "large"]
    assert pair.a.session.take_unwritten() == []
    assert pair.a.cut_all(1.0) == []
    pair.b.session.reply(first, "Answer", b"")
    pair.settle()
    assert pair.a.told("reply") == [("first", "Answer", b"")]
    pair.assert_nothing_is_left()


def test_a_large_one_taken_back_half_way_is_forgotten_over_there() -> None:
    pair = Pair()
    pair.a.open("token", data=bytes(2 * MIB))
    pair.step(pair.a)
    assert tokens(pair.a.session.take_unwritten()) == ["token"]
    pair.settle()
    assert pair.b.incoming == []
    pair.assert_nothing_is_left()


def test_closing_with_all_that_may_be_refused_refused() -> None:
    pair = Pair(SessionSettings(max_message_bytes=4 * MIB))
    number = pair.a.open("token")
    pair.settle()
    pair.b.session.reply(number, "Answer", bytes(2 * MIB))
    pair.step(pair.b)
    pair.a.session._in.assemblies._refused = 10_000
    pair.a.session.cancel(number)
    assert pair.a.session.close() == EMPTY


@pytest.mark.parametrize("seed", range(20))
def test_each_token_comes_back_once_wherever_it_was(seed: int) -> None:
    rng = random.Random(seed)
    pair = Pair()
    opened, gone = set[int](), set[int]()
    numbers = dict[int, int]()
    for token in range(300):
        size = rng.choice([0, 10, 5000, 300_000, 2 * MIB if token % 50 == 0 else 1])
        numbers[token] = pair.a.open(token, rng.choice([0, 0, 3, 5]), bytes(size))
        opened.add(token)
        if rng.random() < 0.1:
            victim = rng.choice(sorted(opened))
            if pair.a.session.cancel(numbers[victim]):
                gone.add(victim)
        if rng.random() < 0.2:
            pair.a.cut(token * 0.01)
            # The other side says something now and then, and nothing is held.
            pair.a.session.receive(frame(pair.a.session.received.frames + 1), 0.0)
    lost = pair.a.session.close()
    back = [*lost.written, *tokens(lost.unwritten), *pair.a.done, *gone]
    assert sorted(map(str, back)) == sorted(map(str, opened))
    assert pair.a.session.close() == EMPTY
