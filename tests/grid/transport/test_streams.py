"""Streams are ordered both ways, and held up by their readers only."""

import asyncio
import tracemalloc
from typing import Any

import pytest

import grid
from grid.errors import (
    AlreadyResponded,
    DeadlineExceeded,
    InvalidArgument,
    InvalidName,
    MessageTooLarge,
    ReceiverBusy,
    RequestFailed,
    StreamClosed,
    StreamsUnsupported,
    UnexpectedReply,
    UnregisteredMailbox,
)
from grid.registry.registration import encode_registration
from grid.testing import wait_until
from grid.wire_pb2 import EchoMsg
from tests.grid.stream_kit import CREDIT, Serve, echo, message, numbers, send_numbers

ITEMS = 100_000


async def test_both_sides_send_and_iterate_in_order(client: grid.Client, serve: Serve) -> None:
    seen: list[Any] = []

    async def count(request: grid.Request[Any]) -> None:
        seen.append(request.message.msg)
        assert request.opens_stream
        async with request.accept() as stream:
            sending = asyncio.create_task(send_numbers(stream, 1000))
            seen.extend(numbers([item async for item in stream]))
            await sending

    await serve("m", count)
    async with client.stream("m", EchoMsg(msg="first")) as stream:
        sending = asyncio.create_task(send_numbers(stream, 1000))
        assert numbers([item async for item in stream]) == list(range(1000))
        await sending
    await wait_until(lambda: len(seen) == 1001, "all arrived")
    assert seen == ["first", *range(1000)]


async def test_a_side_that_has_finished_still_reads(client: grid.Client, serve: Serve) -> None:
    await serve("m", echo)
    async with client.stream("m", EchoMsg()) as stream:
        await stream.send(message(1))
        stream.finish()
        stream.finish()
        with pytest.raises(StreamClosed):
            await stream.send(message(2))
        assert numbers([item async for item in stream]) == [1]
        assert await stream.receive() is None


async def test_items_have_the_type_that_the_reader_asks_for(
    client: grid.Client, serve: Serve
) -> None:
    refused: list[str] = []

    async def add(request: grid.Request[Any]) -> None:
        async with request.accept() as stream:
            with pytest.raises(UnexpectedReply) as caught:
                await stream.receive(EchoMsg)
            refused.append(str(caught.value))
            async for item in stream.items(EchoMsg):
                await stream.send(EchoMsg(msg=item.msg + "!"))
            assert await stream.receive(EchoMsg) is None

    await serve("m", add)
    async with client.stream("m", EchoMsg()) as stream:
        await stream.send(grid.Ack())
        await stream.send(EchoMsg(msg="a"))
        stream.finish()
        assert [item.msg async for item in stream.items(EchoMsg)] == ["a!"]
        with pytest.raises(InvalidArgument):
            await stream.receive("EchoMsg")  # type: ignore[call-overload]
    assert refused == ["expected a reply of grid.EchoMsg, got grid.Ack"]


async def test_items_that_were_sent_come_before_the_end(client: grid.Client, serve: Serve) -> None:
    async def burst(request: grid.Request[Any]) -> None:
        async with request.accept() as stream:
            for number in range(200):
                await stream.send(message(number))

    await serve("m", burst)
    async with client.stream("m", EchoMsg()) as stream:
        assert numbers([item async for item in stream]) == list(range(200))


async def test_a_refused_stream_is_the_callers_error(client: grid.Client, serve: Serve) -> None:
    async def refuse(request: grid.Request[Any]) -> None:
        with pytest.raises(InvalidArgument):
            request.respond(EchoMsg())
        request.fail("not today", code="PERMISSION_DENIED")

    await serve("m", refuse)
    with pytest.raises(RequestFailed, match="not today"):
        await client.stream("m", EchoMsg())


async def test_a_plain_request_cannot_be_accepted_nor_a_stream_twice(
    client: grid.Client, serve: Serve
) -> None:
    seen: list[type[BaseException]] = []

    async def plain(request: grid.Request[Any]) -> None:
        with pytest.raises(InvalidArgument):
            request.accept()
        request.ack()
        seen.append(InvalidArgument)

    async def twice(request: grid.Request[Any]) -> None:
        async with request.accept():
            with pytest.raises(AlreadyResponded):
                request.accept()
            seen.append(AlreadyResponded)

    await serve("plain", plain)
    await serve("twice", twice)
    await client.request("plain", EchoMsg())
    async with client.stream("twice", EchoMsg()) as stream:
        assert await stream.receive() is None
    await wait_until(lambda: len(seen) == 2, "both were tried")


async def test_a_slow_reader_holds_up_its_sender_and_nobody_else(
    client: grid.Client, serve: Serve
) -> None:
    go_on = asyncio.Event()

    async def slow(request: grid.Request[Any]) -> None:
        async with request.accept() as stream:
            await go_on.wait()
            async for _ in stream:
                pass

    async def ack(request: grid.Request[Any]) -> None:
        request.ack()

    await serve("slow", slow)
    await serve("fast", echo)
    await serve("plain", ack)
    sent = 0

    async def send(stream: grid.Stream) -> None:
        nonlocal sent
        for number in range(3 * CREDIT):
            await stream.send(message(number))
            sent += 1
        stream.finish()

    async with client.stream("slow", EchoMsg()) as held:
        sending = asyncio.create_task(send(held))
        await wait_until(lambda: sent == CREDIT, "the sender is held up")
        async with client.stream("fast", EchoMsg()) as fast:
            feeding = asyncio.create_task(send_numbers(fast, 3 * CREDIT))
            assert numbers([item async for item in fast]) == list(range(3 * CREDIT))
            await feeding
        await client.request("plain", EchoMsg(), timeout=1)
        assert sent == CREDIT
        go_on.set()
        await asyncio.wait_for(sending, 5)


async def test_a_held_up_sender_ends_with_the_stream(client: grid.Client, serve: Serve) -> None:
    close = asyncio.Event()

    async def owner(request: grid.Request[Any]) -> None:
        stream = request.accept()
        await close.wait()
        await stream.close("full")

    await serve("m", owner)
    stream = await client.stream("m", EchoMsg())
    sending = asyncio.create_task(send_numbers(stream, 2 * CREDIT))
    await wait_until(lambda: stream._end._senders, "the sender is held up")
    impatient = [asyncio.create_task(stream.send(message(0))) for _ in range(3)]
    await wait_until(lambda: len(stream._end._senders) == 4, "all are held up")
    for task in impatient:
        task.cancel()
    await asyncio.gather(*impatient, return_exceptions=True)
    assert len(stream._end._senders) == 1
    close.set()
    with pytest.raises(StreamClosed, match="full"):
        await asyncio.wait_for(sending, 5)


async def test_several_tasks_may_read_one_stream(client: grid.Client, serve: Serve) -> None:
    async def owner(request: grid.Request[Any]) -> None:
        async with request.accept() as stream:
            await send_numbers(stream, 300)
            await stream.receive()

    await serve("m", owner)
    async with client.stream("m", EchoMsg()) as stream:

        async def read() -> list[Any]:
            return [item async for item in stream]

        parts = await asyncio.wait_for(asyncio.gather(*(read() for _ in range(3))), 5)
    assert sorted(number for part in parts for number in numbers(part)) == list(range(300))


async def test_a_cancelled_read_takes_nothing(client: grid.Client, serve: Serve) -> None:
    await serve("m", echo)
    async with client.stream("m", EchoMsg()) as stream:
        for number in range(20):
            reading = asyncio.create_task(stream.receive())
            await asyncio.sleep(0)
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
            await stream.send(message(number))
            assert await asyncio.wait_for(stream.receive(), 5) == message(number)


async def test_an_opening_that_nobody_accepts_ends_in_time(
    client: grid.Client, grid_server: grid.Server
) -> None:
    async with grid_server.open_mailbox("m") as mailbox:
        reading = asyncio.create_task(mailbox.receive())
        with pytest.raises(DeadlineExceeded):
            await client.stream("m", EchoMsg(), timeout=1.5)
        request = await reading
        assert request is not None
        await wait_until(lambda: request.cancelled, "the owner sees it")
        with pytest.raises(StreamClosed):
            request.accept()


async def test_a_stream_outlives_the_time_to_open_it(client: grid.Client, serve: Serve) -> None:
    await serve("m", echo)
    async with client.stream("m", EchoMsg(), timeout=1.0) as stream:
        clock = asyncio.get_running_loop().time
        begun = clock()
        await wait_until(lambda: clock() - begun > 1.2, "that time to pass")
        await stream.send(message(7))
        assert await stream.receive() == message(7)


async def test_opening_fails_as_a_request_does(
    client: grid.Client, grid_server: grid.Server
) -> None:
    async with grid_server.open_mailbox("full", size=0):
        with pytest.raises(ReceiverBusy):
            await client.stream("full", EchoMsg(), timeout=3)
    with pytest.raises(UnregisteredMailbox):
        await client.stream("nobody", EchoMsg())
    with pytest.raises(InvalidName):
        await client.stream("a.b", EchoMsg())


async def test_a_peer_without_sessions_has_no_streams(
    grid_client: grid.Client, grid_namespace: str
) -> None:
    key = f"{grid_namespace}.mailbox.go"
    await grid_client._etcd.put(key, encode_registration(key, "127.0.0.1:1", "p"))
    with pytest.raises(StreamsUnsupported):
        await grid_client.stream("go", EchoMsg())
    await grid_client._etcd.delete(key)


async def test_a_large_item_keeps_its_place_and_one_too_large_is_refused(
    client: grid.Client, serve: Serve
) -> None:
    await serve("m", echo)
    async with client.stream("m", EchoMsg()) as stream:
        with pytest.raises(MessageTooLarge):
            await stream.send(EchoMsg(msg="x" * (101 * 1024 * 1024)))
        big = EchoMsg(msg="x" * (3 * 1024 * 1024))
        for item in (message(1), big, message(2)):
            await stream.send(item)
        for item in (message(1), big, message(2)):
            assert await asyncio.wait_for(stream.receive(), 10) == item


async def test_a_hundred_thousand_items_through_a_slow_reader_take_no_room(
    client: grid.Client, serve: Serve
) -> None:
    read = asyncio.Event()

    async def slowly(request: grid.Request[Any]) -> None:
        async with request.accept() as stream:
            expected = 0
            async for item in stream:
                assert item.msg == str(expected)  # type: ignore[attr-defined]
                expected += 1
                for _ in range(2):  # turns of the loop; the sender needs none
                    await asyncio.sleep(0)
            assert expected == ITEMS
            read.set()

    await serve("m", slowly)
    async with client.stream("m", EchoMsg()) as stream:
        for number in range(ITEMS):
            await stream.send(message(number))
            if number == ITEMS - 10_000:  # measuring slows down, so only the last part
                tracemalloc.start()
            elif number == ITEMS - 9_000:
                first, _ = tracemalloc.get_traced_memory()
                tracemalloc.reset_peak()
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        stream.finish()
        assert peak - first < 500_000
        assert len(stream._end._items) == 0
        await asyncio.wait_for(read.wait(), 10)
