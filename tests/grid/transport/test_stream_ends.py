"""However a stream ends, both sides hear of it and nothing is left."""

import asyncio
import gc
from typing import Any

import pytest

import grid
from grid.errors import LeaseLost, MailboxClosed, OutcomeUnknown, RequestFailed, StreamClosed
from grid.testing import wait_until
from grid.wire_pb2 import EchoMsg
from tests.grid.server.lease_kit import revoke
from tests.grid.stream_kit import CREDIT, Serve, end_of, message, send_numbers


def in_flight(client: grid.Client, server: grid.Server) -> int:
    """Exchanges that are open on sessions between them."""
    assert server._lifecycle is not None
    links = [*server._lifecycle._service._links]
    for pool in client._transport.pools:
        links.extend(pool.links)
    return sum(link.session.in_flight for link in links)


@pytest.mark.parametrize("closer", ["client", "owner"])
async def test_both_sides_see_the_reason(client: grid.Client, serve: Serve, closer: str) -> None:
    seen: list[BaseException] = []

    async def owner(request: grid.Request[Any]) -> None:
        stream = request.accept()
        if closer == "owner":
            await stream.close("enough")
        seen.append(await end_of(stream))

    await serve("m", owner)
    stream = await client.stream("m", EchoMsg())
    if closer == "client":
        await stream.close("enough")
    seen.append(await end_of(stream))
    await wait_until(lambda: len(seen) == 2, "both ended")
    assert [str(error) for error in seen] == ["the stream is closed: enough"] * 2
    errors = []
    for _ in range(2):
        with pytest.raises(StreamClosed, match="enough") as sending:
            await stream.send(EchoMsg())
        with pytest.raises(StreamClosed, match="enough") as receiving:
            await stream.receive()
        errors += [sending.value, receiving.value]
    assert len({id(one) for one in errors}) == 4, "each has its own traceback"
    await stream.close("again")


async def test_an_exception_in_the_block_is_the_reason(client: grid.Client, serve: Serve) -> None:
    async def fail(request: grid.Request[Any]) -> None:
        with pytest.raises(RequestFailed):
            async with request.accept():
                raise RequestFailed("out of stock", "FAILED_PRECONDITION")

    await serve("m", fail)
    async with client.stream("m", EchoMsg()) as stream:
        with pytest.raises(RequestFailed, match="out of stock"):
            await stream.receive()


@pytest.mark.parametrize("forgetful", ["client", "owner"])
async def test_a_forgotten_stream_ends_for_the_other_side(
    client: grid.Client, grid_server: grid.Server, serve: Serve, forgetful: str
) -> None:
    ends: list[BaseException] = []

    async def owner(request: grid.Request[Any]) -> None:
        stream = request.accept()
        if forgetful == "client":
            ends.append(await end_of(stream))

    await serve("m", owner)
    stream = await client.stream("m", EchoMsg())
    if forgetful == "client":
        del stream
        gc.collect()
    else:
        ends.append(await asyncio.wait_for(end_of(stream), 5))
    await wait_until(lambda: ends, "the other side ends")
    assert isinstance(ends[0], StreamClosed)
    assert "let go" in str(ends[0])
    await wait_until(lambda: not in_flight(client, grid_server), "nothing is left")


async def test_many_streams_leave_nothing(
    client: grid.Client, grid_server: grid.Server, serve: Serve
) -> None:
    async def owner(request: grid.Request[Any]) -> None:
        async with request.accept() as stream:
            async for _ in stream:
                pass

    await serve("m", owner, size=64)
    for _ in range(20):
        streams = await asyncio.gather(*(client.stream("m", EchoMsg()) for _ in range(10)))
        for stream in streams:
            await stream.send(message(1))
            await stream.close()
        del stream, streams
    await wait_until(lambda: not in_flight(client, grid_server), "nothing is left")

    def ends() -> int:
        gc.collect()
        return sum(type(one).__name__ == "StreamEnd" for one in gc.get_objects())

    await wait_until(lambda: ends() == 0, "no end is kept")


async def test_a_cancelled_opening_leaves_nothing(
    client: grid.Client, grid_server: grid.Server
) -> None:
    async def open_it() -> grid.Stream:
        return await client.stream("m", EchoMsg())

    async with grid_server.open_mailbox("m") as mailbox:
        opening = asyncio.create_task(open_it())
        request = await mailbox.receive()
        assert request is not None
        opening.cancel()
        await wait_until(lambda: request.cancelled, "the owner sees it")
        with pytest.raises(StreamClosed):
            request.accept()
        await asyncio.gather(opening, return_exceptions=True)
        assert opening.cancelled()
        await wait_until(lambda: not in_flight(client, grid_server), "nothing is left")


async def test_an_owner_that_ends_ends_its_streams(
    client: grid.Client, grid_server: grid.Server
) -> None:
    async def feed(ctx: grid.ActorContext) -> None:
        assert ctx.mailbox is not None
        async for request in ctx.mailbox:
            async with request.accept() as stream:
                await stream.send(message(1))
                await stream.receive()  # for ever

    grid_server.define("feed", lambda _: feed, mailbox=4)
    await client.start_actor("feed")
    async with client.stream("feed", EchoMsg()) as stream:
        assert await stream.receive() == message(1)
        await client.stop_actor("feed", grace=0.1)
        with pytest.raises(StreamClosed, match="Cancelled"):
            await asyncio.wait_for(stream.receive(), 5)


@pytest.mark.parametrize("closing", ["mailbox", "peer"])
async def test_a_mailbox_that_closes_ends_its_streams(
    client: grid.Client, grid_server: grid.Server, closing: str
) -> None:
    async def open_it() -> grid.Stream:
        return await client.stream("m", EchoMsg())

    mailbox = await grid_server.open_mailbox("m")
    opening = asyncio.create_task(open_it())
    request = await mailbox.receive()
    assert request is not None
    held = request.accept()
    stream = await opening
    await asyncio.wait_for(mailbox.close() if closing == "mailbox" else grid_server.stop(), 8)
    for one in (stream, held):
        with pytest.raises(MailboxClosed):
            await asyncio.wait_for(one.receive(), 5)


@pytest.mark.parametrize("lease", [2.0])
async def test_a_lost_lease_ends_streams(
    client: grid.Client, grid_server: grid.Server, lease: float
) -> None:
    async def feed(ctx: grid.ActorContext) -> None:
        assert ctx.mailbox is not None
        while True:
            request = await ctx.mailbox.receive()
            assert request is not None
            held.append(request.accept())

    held: list[grid.Stream] = []
    grid_server.define("feed", lambda _: feed, mailbox=4)
    await client.start_actor("feed")
    async with client.stream("feed", EchoMsg()) as stream:
        (peer,) = await client.query("peer")
        await revoke(client, peer.lease)
        with pytest.raises(LeaseLost):
            await asyncio.wait_for(stream.receive(), 8)
        with pytest.raises(LeaseLost):
            await asyncio.wait_for(held[0].receive(), 10)


async def test_a_lost_session_ends_both_sides_at_once(
    grid_client: grid.Client, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("grid.client.router.local_dispatcher", lambda _: None)
    ends: list[BaseException] = []
    lost = asyncio.Event()

    async def owner(request: grid.Request[Any]) -> None:
        stream = request.accept()
        await stream.send(message(1))
        await lost.wait()
        ends.append(await end_of(stream))

    await serve("m", owner)
    stream = await grid_client.stream("m", EchoMsg())
    held_up = asyncio.create_task(send_numbers(stream, 2 * CREDIT))
    await wait_until(lambda: stream._end._senders, "the sender is held up")
    await wait_until(lambda: stream._end._items, "an item came")
    await grid_client._transport.pools[0].close()
    lost.set()
    ends.append(await asyncio.wait_for(end_of(stream), 10))
    await wait_until(lambda: len(ends) == 2, "both ended", timeout=10)
    assert [type(end) for end in ends] == [OutcomeUnknown] * 2
    with pytest.raises(OutcomeUnknown):
        await held_up
