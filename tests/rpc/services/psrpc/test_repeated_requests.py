"""Requests of the psrpc protocol that come twice."""

from __future__ import annotations

import asyncio

from grid.testing import wait_until
from rpc.psrpc_pb2 import ClaimRequest, ClaimResponse, Request, Response
from rpc.services import LocalBus
from rpc.services.psrpc import channels
from rpc.services.psrpc.frames import decode, encode
from rpc.services.psrpc.ids import nanoseconds
from tests.rpc.services.conftest import Claims
from tests.rpc.services.greeting_grid import GreeterServer
from tests.rpc.services.greeting_pb2 import Hello
from tests.rpc.services.kit import Greeter

SOON = 20.0


async def test_a_request_that_comes_twice_is_answered_once() -> None:
    bus: LocalBus = Claims()
    greeter = Greeter("a")
    async with GreeterServer(greeter, bus, server_id="SRV_a"), asyncio.timeout(SOON):
        bids = await bus.subscribe(channels.bids("Greeter", "CLI_x"))
        replies = await bus.subscribe(channels.replies("Greeter", "CLI_x"))
        sent = nanoseconds()
        to = channels.requests("Greeter", "Pick", (), queue=False)
        grants = channels.grants("Greeter", "Pick", ())

        async def answer(number: str, expiry: int) -> Response:
            request = Request(
                request_id=number,
                client_id="CLI_x",
                sent_at=sent,
                expiry=sent + expiry,
                raw_request=Hello(text=number).SerializeToString(),
            )
            for _ in range(2):
                await bus.publish(to, encode(request, to.route))
            bid = decode(await anext(bids))
            assert isinstance(bid, ClaimRequest)
            assert bid.request_id == number
            grant = ClaimResponse(request_id=number, server_id="SRV_a")
            await bus.publish(grants, encode(grant, grants.route))
            reply = decode(await anext(replies))
            assert isinstance(reply, Response)
            return reply

        first = await answer("one", 500_000_000)
        assert (first.request_id, first.error) == ("one", "")
        # By the time that the first one would have been over, nothing more has come for it.
        await wait_until(lambda: nanoseconds() > sent + 600_000_000, "its time to be over")
        second = await answer("two", 20_000_000_000)
        assert (second.request_id, second.error) == ("two", "")
        assert greeter.calls["Pick"] == 2
    await bus.close()
