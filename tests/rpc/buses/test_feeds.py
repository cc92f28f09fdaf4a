"""Subscriptions on the grid whose publishers are odd, and what is left of those that ended."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

import pytest

import grid
from grid.errors import GridError
from grid.testing import wait_until
from rpc.buses import Channel, GridBus
from rpc.buses.members import PUBLISHER, member_path
from rpc.service_pb2 import Attached, Interest, Publication

CHANNEL = Channel("odd|news", scope="odd.Service")


@pytest.mark.parametrize("interests", [0, 99])
async def test_a_publisher_that_takes_what_it_was_not_sent_is_asked_again(
    grid_servers: Callable[..., grid.Server], interests: int
) -> None:
    server = grid_servers()
    await server.start()
    bus = GridBus(server)
    path = member_path(CHANNEL.scope, PUBLISHER, (), "odd-publisher")
    inbox = await bus.open_inbox("odd-publisher", {path: ()}, size=64)

    async def serve() -> None:
        opened = 0
        async for request in inbox:
            assert isinstance(request.message, Interest)
            opened += 1
            with contextlib.suppress(GridError):  # the subscriber leaves it
                async with request.accept() as stream:
                    await stream.send(Attached(interests=interests if opened == 1 else 1))
                    await stream.send(Publication(channel=CHANNEL.name, data=b"%d" % opened))
                    async for _ in stream:
                        pass

    serving = asyncio.create_task(serve())
    flow = await bus.subscribe(CHANNEL)
    async with asyncio.timeout(30):
        assert await anext(flow) == b"2"
    await bus.close()
    await inbox.close()
    serving.cancel()
    await asyncio.wait([serving])


async def test_nothing_is_left_of_a_queue_that_none_subscribes_to(
    grid_servers: Callable[..., grid.Server],
) -> None:
    server = grid_servers()
    await server.start()
    bus = GridBus(server)
    flow = await bus.subscribe(CHANNEL, queue=True)
    await bus.publish(CHANNEL, b"1")
    assert await anext(flow) == b"1"
    await flow.close()
    (follower,) = bus._followers.values()
    await wait_until(lambda: not follower._turns, "the turns are forgotten")
    await bus.close()
