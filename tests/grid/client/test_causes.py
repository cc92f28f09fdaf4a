"""The error of the grid that an owner or a caller failed with is the cause, on each way."""

import asyncio

import pytest

import grid
from grid.errors import EtcdUnavailable, ReceiverBusy, RequestFailed
from grid.wire_pb2 import EchoMsg
from tests.grid.echo_kit import EchoGrid


async def test_the_cause_of_a_failed_request_reaches_its_caller(
    client: grid.Client, grid_server: grid.Server
) -> None:
    async with grid_server.open_mailbox("m") as mailbox:
        sent = client.send("m", EchoMsg())
        (await anext(mailbox)).fail(ReceiverBusy("elsewhere", 3))
        with pytest.raises(RequestFailed) as caught:
            await sent
    assert isinstance(caught.value.cause, ReceiverBusy)
    assert caught.value.cause.size == 3


async def test_the_cause_of_a_streams_end_reaches_the_other_side(
    peer: EchoGrid, stream_way: str
) -> None:
    await peer.start(stream_way)
    client = peer.client()
    async with peer.server.open_mailbox("m") as mailbox:
        for closing, other in ((0, 1), (1, 0)):
            opening = asyncio.ensure_future(client.stream("m", EchoMsg()).__aenter__())
            accepted = (await anext(mailbox)).accept()
            ends = (await opening, accepted)
            await ends[closing].close(EtcdUnavailable("away"))
            for meet in (ends[other].receive, lambda end=ends[other]: end.send(EchoMsg())):
                with pytest.raises(RequestFailed, match="away") as caught:
                    await meet()
                assert isinstance(caught.value.cause, EtcdUnavailable)
