"""Items of streams that are handed to a function as they come."""

import asyncio
import contextvars
from typing import Any

import pytest
from google.protobuf.message import Message

import grid
from grid.errors import StreamClosed
from grid.testing import wait_until
from grid.wire_pb2 import EchoMsg
from tests.grid.stream_kit import CREDIT, Serve, echo, message, numbers

who: contextvars.ContextVar[str] = contextvars.ContextVar("who", default="nobody")


async def test_items_are_taken_in_order_by_the_function_and_the_task(
    client: grid.Client, serve: Serve
) -> None:
    handed: list[Any] = []
    seen: list[Any] = []
    contexts: set[str] = set()

    def take(item: Message) -> bool:
        contexts.add(who.get())
        if len(seen) % 3 == 2:  # the task's
            return False
        handed.append(item)
        seen.append(item)
        return True

    async def owner(request: grid.Request[Any]) -> None:
        who.set("the owner")
        async with request.accept() as stream:
            stream.hand_to(take)
            async for item in stream:
                await asyncio.sleep(0)  # later items wait for this one
                seen.append(item)

    await serve("m", owner)
    count = 2 * CREDIT
    async with await client.stream("m", EchoMsg()) as stream:
        for part in range(4):
            for number in range(part * count // 4, (part + 1) * count // 4):
                await stream.send(message(number))
            await wait_until(lambda: len(seen) == (part + 1) * count // 4, "all were taken")  # noqa: B023
    assert numbers(seen) == list(range(count))
    assert 0 < len(handed) < count
    assert contexts == {"the owner"}


async def test_an_error_of_the_function_is_raised_in_the_task(
    client: grid.Client, serve: Serve
) -> None:
    errors: list[BaseException] = []

    def take(item: Message) -> bool:
        raise LookupError("no such item")

    async def owner(request: grid.Request[Any]) -> None:
        stream = request.accept()
        stream.hand_to(take)
        try:
            await stream.receive()
        except LookupError as error:
            errors.append(error)
            await stream.close("it could not be taken")

    await serve("m", owner)
    stream = await client.stream("m", EchoMsg())
    await asyncio.sleep(0)
    await stream.send(message(1))
    with pytest.raises(StreamClosed, match="it could not be taken"):
        await stream.receive()
    assert len(errors) == 1


async def test_what_need_not_wait_is_sent_at_once(client: grid.Client, serve: Serve) -> None:
    await serve("m", echo)
    stream = await client.stream("m", EchoMsg())
    sent = 0
    while stream.send_nowait(message(sent)):
        sent += 1
    assert sent == CREDIT
    got = [await stream.receive() for _ in range(sent)]
    assert numbers(got) == list(range(sent))
    await stream.send(message(sent))
    await stream.close()
    with pytest.raises(StreamClosed):
        stream.send_nowait(message(0))
