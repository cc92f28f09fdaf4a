"""A hostile other side harms its own session at most: every request ends, the log stays small."""

import asyncio
from typing import Any

import grpc.aio
import pytest

from grid.deadline import now
from grid.errors import GridError, RequestFailed
from grid.wire_pb2 import Failure
from tests.grid.transport.link_kit import Gatekeeper, ask, hold, link_of, serving, transport


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 3000,
        b'["AlreadyRegistered",{"key":5}]',
        b'["MessageTooLarge",{"size":' + b"9" * 400 + b',"limit":4}]',
        b'["DeadlineExceeded",{"what":"x","seconds":' + b"9" * 400 + b"}]",
        b"\xff",
    ],
    ids=lambda body: repr(body[:30]),
)
async def test_a_request_ends_whatever_the_peer_answers(body: bytes) -> None:
    gate = Gatekeeper()
    async with serving(gate) as (address, _), transport() as way:
        asking = await hold(way, gate, address)
        answer: Any = gate.held[b"hold"]
        hostile = Failure(code=8, text="no", error=body, origin=Failure.GRID)
        answer._session.fail(answer._exchange, hostile)
        with pytest.raises(GridError):
            await asyncio.wait_for(asking, 5)
        assert await ask(way, address) == b"x"  # on the same session
        assert link_of(way).session.in_flight == 0


class Undecodable(asyncio.Future[Any]):
    """The future of a caller whose codec raises something unforeseen."""

    def set_result(self, result: Any) -> None:
        raise RuntimeError("a codec of the user's")


async def test_a_reply_that_cannot_be_taken_ends_its_request_and_no_other() -> None:
    async with serving(Gatekeeper()) as (address, _), transport() as way:
        assert await ask(way, address) == b"x"
        link = link_of(way)
        token = Undecodable()
        link.send(token, "m", 0, "grid.EchoMsg", b"y", None, now() + 5, 5000)
        with pytest.raises(RequestFailed, match="a codec of the user's"):
            await asyncio.wait_for(token, 5)
        assert await ask(way, address) == b"x"
        assert link_of(way) is link


async def test_hostile_sessions_do_not_fill_the_log(caplog: pytest.LogCaptureFixture) -> None:
    async with (
        serving(Gatekeeper()) as (address, _),
        grpc.aio.insecure_channel(address) as channel,
    ):
        for _ in range(60):
            call: Any = channel.stream_stream("/grid.wire/Session")()
            await call.write(b"no frame at all")
            await asyncio.wait_for(call.read(), 5)
            call.cancel()
    assert 0 < len([one for one in caplog.records if "a session ends" in one.message]) <= 20
