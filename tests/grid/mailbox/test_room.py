"""A full mailbox has room again when the callers of what it holds have left."""

import asyncio

import pytest

import grid
from grid.deadline import now
from grid.errors import DeadlineExceeded, ReceiverBusy
from grid.mailbox import Mailbox
from grid.testing import wait_until
from grid.transport.answer import Answer, FutureAnswer, Reply
from grid.wire_pb2 import EchoMsg


async def _release(_: Mailbox) -> None:
    pass


def _put(mailbox: Mailbox) -> tuple[Answer, asyncio.Future[Reply]]:
    future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
    answer = FutureAnswer(future)
    mailbox._put(EchoMsg(), "grid.EchoMsg", {}, answer)
    return answer, future


def _mailbox(size: int) -> Mailbox:
    return Mailbox("m", "n.mailbox.m", size, codec=grid.Codec(), limit=100, release=_release)


@pytest.fixture(params=["session", "unary", "local", "intercepted"])
async def client(
    request: pytest.FixtureRequest,
    grid_server: grid.Server,
    grid_client: grid.Client,
    monkeypatch: pytest.MonkeyPatch,
) -> grid.Client:
    if request.param == "intercepted":

        async def keep(call: grid.IncomingCall) -> bool:
            return True

        grid_server._interception._filters = (keep,)
        grid_server._started().peer.dispatcher.interception = grid_server._interception
    elif request.param != "local":
        monkeypatch.setattr("grid.client.router.local_dispatcher", lambda _: None)
    if request.param == "unary":
        grid_client._transport._without_sessions.add(grid_server.address)
    return grid_client


async def test_requests_that_timed_out_take_no_room(
    client: grid.Client, grid_server: grid.Server
) -> None:
    async with grid_server.open_mailbox("m", size=4) as mailbox:
        for _ in range(3):  # it fills up again and again
            asking = [client.send("m", EchoMsg(), timeout=1.0) for _ in range(4)]
            await wait_until(lambda: len(mailbox) == 4, "a full mailbox")
            ends = await asyncio.gather(*asking, return_exceptions=True)
            assert {type(end) for end in ends} == {DeadlineExceeded}
            await wait_until(lambda: not mailbox._unanswered, "the receiver to know")
            answer = client.send("m", EchoMsg(msg="next"), timeout=10)
            request = await asyncio.wait_for(anext(mailbox), 5)
            assert isinstance(request.message, EchoMsg)
            assert request.message.msg == "next"
            request.ack()
            await answer


async def test_a_full_mailbox_of_callers_that_wait_still_refuses() -> None:
    mailbox = _mailbox(4)
    answers = [_put(mailbox)[0] for _ in range(4)]
    with pytest.raises(ReceiverBusy):
        _put(mailbox)
    answers[1].cancel()
    await wait_until(lambda: now() >= mailbox._search_at, "another search to be allowed")
    _put(mailbox)
    with pytest.raises(ReceiverBusy):
        _put(mailbox)
    assert mailbox.statistics().refused == 2
    await mailbox.close()


async def test_order_is_kept_when_some_callers_have_left() -> None:
    mailbox = _mailbox(6)
    answers = [_put(mailbox)[0] for _ in range(6)]
    for number in (0, 2, 5):
        answers[number].cancel()
    late = [_put(mailbox)[0] for _ in range(3)]
    for answer in [answers[1], answers[3], answers[4], *late]:
        request = await anext(mailbox)
        assert request._answer is answer
        request.ack()
    await mailbox.close()


async def test_a_flood_at_a_full_mailbox_does_not_search_it_each_time() -> None:
    mailbox = _mailbox(20_000)
    kept = [_put(mailbox)[0] for _ in range(20_000)]
    began = now()
    for _ in range(2_000):
        with pytest.raises(ReceiverBusy):
            _put(mailbox)
    assert now() - began < 2  # a search of 20,000 each time takes longer
    assert len(kept) == 20_000
    await mailbox.close()
