"""Streams over a session and inside the process, to owners that are functions."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import Any

import pytest

import grid
from grid.wire_pb2 import EchoMsg

__all__ = ["CREDIT", "Serve", "echo", "end_of", "message", "numbers", "owners", "send_numbers"]

CREDIT = 256

Handle = Callable[[grid.Request[Any]], Coroutine[Any, Any, None]]
Serve = Callable[..., Awaitable[grid.Mailbox]]


async def owners(server: grid.Server) -> AsyncIterator[Serve]:
    """Opens a mailbox and gives each of its requests to a task of its own."""
    tasks: set[asyncio.Task[None]] = set()

    def start(work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    async def loop(mailbox: grid.Mailbox, handle: Handle) -> None:
        async for request in mailbox:
            start(handle(request))
            del request

    async def serve(name: str, handle: Handle, size: int = 16) -> grid.Mailbox:
        mailbox = await server.open_mailbox(name, size=size)
        start(loop(mailbox, handle))
        return mailbox

    yield serve
    for task in tuple(tasks):
        task.cancel()
    ends = await asyncio.gather(*tasks, return_exceptions=True)
    failed = [end for end in ends if isinstance(end, AssertionError)]
    if failed:
        pytest.fail(f"an owner failed: {failed[0]}")


def message(number: int) -> EchoMsg:
    return EchoMsg(msg=str(number))


def numbers(items: list[Any]) -> list[int]:
    return [int(item.msg) for item in items]


async def echo(request: grid.Request[Any]) -> None:
    """Sends back what comes."""
    async with request.accept() as stream:
        async for item in stream:
            await stream.send(item)


async def send_numbers(stream: grid.Stream, count: int) -> None:
    for number in range(count):
        await stream.send(message(number))
    stream.finish()


async def end_of(stream: grid.Stream) -> BaseException:
    """The error by which a stream ends."""
    try:
        while await stream.receive() is not None:
            pass
    except grid.GridError as error:
        return error
    raise AssertionError("the stream ended without an error")
