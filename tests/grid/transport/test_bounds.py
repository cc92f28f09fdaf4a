"""The bytes that the other side of a session can make a peer keep are bounded."""

import asyncio
from typing import Any

import grpc.aio
import pytest

from grid.errors import OutcomeUnknown, PeerBusy
from grid.transport import _unsent
from grid.transport.budget import Budget
from grid.transport.protocol import Session
from grid.transport.settings import FRAME_BYTES, SessionSettings
from grid.wire_pb2 import Failure, Frame, Note
from tests.grid.transport.link_kit import Gatekeeper, serving
from tests.grid.transport.session_kit import HELLO, Pair, Side, frame

MIB = 1024 * 1024
ANSWER = bytes(900_000)
SETTINGS = SessionSettings(max_message_bytes=MIB)


@pytest.fixture(autouse=True)
def small_share(monkeypatch: pytest.MonkeyPatch) -> None:
    """A session's share of unread answers is 8 MiB and not 256."""
    monkeypatch.setattr(_unsent, "_LEAST", 8 * MIB)


def serve(budget: Budget | None, requests: int) -> Pair:
    """A pair whose right side answered, while the left one did not read."""
    pair = Pair(SETTINGS)
    pair.b.session = Session(
        pair.b, lambda: None, dialled=False, settings=SETTINGS, overlap=2, budget=budget
    )
    pair.b.session.receive(frame(1, hello=HELLO), 0.0)
    for number in range(requests):
        pair.b.session.attach(2 * number + 1, number)
        pair.b.session.reply(2 * number + 1, "Answer", ANSWER)
    return pair


def kinds(side: Side) -> list[int]:
    """The kinds of all deliveries that a side has to send."""
    return [kind for data in side.cut_all() for kind in Frame.FromString(data).kind]


def test_answers_that_are_not_read_are_bounded_for_a_session() -> None:
    pair = serve(None, 1500)
    assert pair.b.session._out.bytes < 9 * MIB
    sent = kinds(pair.b)
    assert sent.count(Frame.REPLY) == 8 * MIB // len(ANSWER)
    assert sent.count(Frame.ERROR) == 1500 - sent.count(Frame.REPLY)  # each has an end


def test_a_dropped_answer_ends_as_unknown() -> None:
    pair = serve(None, 100)
    datas = [data for frame in pair.b.cut_all() for data in Frame.FromString(frame).data]
    failure = Failure.FromString(next(data for data in datas if data and len(data) < 1000))
    assert b"OutcomeUnknown" in failure.error
    assert failure.origin == Failure.GRID


def test_answers_that_are_not_read_are_bounded_for_all_sessions_together() -> None:
    budget = Budget(12 * MIB)
    pairs = [serve(budget, 30) for _ in range(10)]
    assert sum(pair.b.session._out.bytes for pair in pairs) < (12 + 10 + 1) * MIB
    assert all(Frame.REPLY in kinds(pair.b) for pair in pairs)  # each has a little of its own
    assert budget.left == 12 * MIB  # and gives the rest back once it is read
    lost = serve(budget, 30)
    assert budget.left < 12 * MIB
    lost.b.session.close()
    assert budget.left == 12 * MIB


def test_an_answer_finds_room_again_after_the_others_were_read() -> None:
    pair = serve(Budget(12 * MIB), 30)
    kinds(pair.b)
    pair.b.session.release()  # hold no small frame back
    pair.b.session.attach(1001, "later")
    pair.b.session.reply(1001, "Answer", ANSWER)
    assert kinds(pair.b) == [Frame.REPLY]


def begun(budget: Budget, count: int) -> Side:
    """A side to which messages of 1 MiB were begun, each with a byte of it."""
    side = Side(dialled=False, settings=SETTINGS)
    side.session = Session(side, lambda: None, dialled=False, settings=SETTINGS, budget=budget)
    side.session.receive(frame(1, hello=HELLO), 0.0)
    rows = [(2 * n + 1, Frame.CHUNK, 0, 0, b"x") for n in range(count)]
    notes = [Note(index=n, size=MIB) for n in range(count)]
    side.session.receive(frame(2, *rows, notes=notes), 0.0)
    return side


def test_messages_that_were_begun_are_bounded_for_all_sessions_together() -> None:
    budget = Budget(6 * MIB)
    sides = [begun(budget, 3) for _ in range(4)]
    assert budget.left == 0
    assert sum(kinds(side).count(Frame.ERROR) for side in sides) == 6
    for side in sides:
        side.session.close()
    assert budget.left == 6 * MIB


def without_room(*, here: bool) -> Pair:
    """A pair of which one side has room for 1 MiB of large messages."""
    pair = Pair(SessionSettings(max_message_bytes=4 * MIB))
    side = pair.a if here else pair.b
    side.session._in.assemblies._budget = Budget(MIB)
    return pair


@pytest.mark.parametrize("kind", [Frame.REQUEST, Frame.OPEN])
def test_a_message_that_finds_no_room_is_not_called_too_large(kind: int) -> None:
    pair = without_room(here=False)
    pair.a.open("token", kind, bytes(3 * MIB))
    pair.settle()
    (error,) = pair.a.errors
    assert isinstance(error, PeerBusy)
    assert error.retryable
    assert f"no room for {3 * MIB} more bytes" in str(error)
    assert pair.b.incoming == []


def test_an_answer_that_finds_no_room_was_acted_upon() -> None:
    pair = without_room(here=True)
    pair.b.on_new = lambda one: pair.b.session.reply(one.exchange, "Answer", bytes(3 * MIB))
    pair.a.open("token")
    pair.settle()
    (error,) = pair.a.errors
    assert isinstance(error, OutcomeUnknown)
    assert not error.retryable
    assert f"no room for {3 * MIB} bytes" in str(error)


def test_a_message_that_does_not_go_on_is_forgotten() -> None:
    budget = Budget(6 * MIB)
    side = begun(budget, 2)
    assert side.session.next_expiry() <= 120.0
    side.session.receive(frame(3, (1, Frame.CHUNK, 0, 0, b"x")), 60.0)
    side.session.expire(121.0)
    assert budget.left == 5 * MIB  # the other one went on
    side.session.expire(181.0)
    assert budget.left == 6 * MIB
    assert side.session.next_expiry() > 1e9


@pytest.mark.parametrize("method", ["Session", "Process"])
async def test_grpc_takes_no_larger_frame_than_a_session_may_have(method: str) -> None:
    large = bytes(FRAME_BYTES + 100)
    async with (
        serving(Gatekeeper()) as (address, _),
        grpc.aio.insecure_channel(address) as channel,
    ):

        async def call() -> None:
            if method == "Process":
                unary: Any = channel.unary_unary("/grid.wire/Process")
                await unary(large)
                return
            session: Any = channel.stream_stream("/grid.wire/Session")()
            await session.write(large)
            while await session.read() is not grpc.aio.EOF:
                pass

        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await asyncio.wait_for(call(), 5)
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
