"""The status of a call in both directions that the other side ends during a write."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import grpc.aio
import pytest_asyncio

from grid.grpc_calls import StreamStatus

_REFUSED = (grpc.StatusCode.UNAUTHENTICATED, "who are you?")


async def _refuse(requests: AsyncIterator[bytes], context: Any) -> None:
    await anext(requests)
    await context.abort(*_REFUSED)


@pytest_asyncio.fixture
async def refusing() -> AsyncIterator[str]:
    """The address of a server that reads one message and refuses."""
    server = grpc.aio.server()
    handlers: dict[str, Any] = {"Session": grpc.stream_stream_rpc_method_handler(_refuse)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test", handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    yield f"127.0.0.1:{port}"
    await server.stop(0)


async def test_the_status_is_the_one_that_the_other_side_gave(refusing: str) -> None:
    for size in (1, 1 << 16) * 10:
        async with grpc.aio.insecure_channel(refusing) as channel:
            call: Any = channel.stream_stream("/test/Session")()
            status = StreamStatus(call)
            with contextlib.suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
                while True:
                    await call.write(bytes(size))
            assert await status.get() == _REFUSED


async def test_the_end_of_a_call_is_waited_for(refusing: str) -> None:
    async with grpc.aio.insecure_channel(refusing) as channel:
        call: Any = channel.stream_stream("/test/Session")()
        found = asyncio.ensure_future(StreamStatus(call).get())
        await call.write(b"one message")
        assert await found == _REFUSED
