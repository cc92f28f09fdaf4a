"""A caller that leaves as its stream is accepted leaves no stream behind."""

import asyncio

import grid
from grid.errors import GridError
from grid.wire_pb2 import EchoMsg
from tests.grid.echo_kit import EchoGrid


async def ended(stream: grid.Stream) -> bool:
    try:
        return await asyncio.wait_for(stream.receive(), 10) is None
    except GridError:
        return True


async def test_a_stream_accepted_as_its_opener_is_cancelled_ends(
    peer: EchoGrid, stream_way: str
) -> None:
    await peer.start(stream_way)
    client = peer.client()
    async with peer.server.open_mailbox("m") as mailbox:
        opening = asyncio.ensure_future(client.stream("m", EchoMsg()).__aenter__())
        accepted = (await anext(mailbox)).accept()
        opening.cancel()  # it is done waiting, and has not run since
        await asyncio.wait([opening])
        assert opening.cancelled()
        assert await ended(accepted)
