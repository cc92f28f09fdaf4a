"""The status of a call in both directions that the other side ends during a write."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import grpc.aio
import pytest

from grid.grpc_calls import StreamStatus

REFUSAL = (grpc.StatusCode.UNAUTHENTICATED, "who are you?")


async def _refuse(requests: AsyncIterator[bytes], context: Any) -> None:
    await anext(requests)
    await context.abort(*REFUSAL)


@contextlib.asynccontextmanager
async def refused_call() -> AsyncIterator[Any]:
    """A call to a server that reads one message and refuses."""
    server = grpc.aio.server()
    handlers: dict[str, Any] = {"Session": grpc.stream_stream_rpc_method_handler(_refuse)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test", handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield channel.stream_stream("/test/Session")()
    await server.stop(0)


@pytest.mark.parametrize("size", [1, 1 << 16])
async def test_the_status_is_the_one_that_the_other_side_gave(size: int) -> None:
    for _ in range(10):
        async with refused_call() as call:
            status = StreamStatus(call)
            with contextlib.suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
                while True:
                    await call.write(bytes(size))
            assert await status.get() == REFUSAL


async def test_a_failed_write_may_be_reported_before_the_status() -> None:
    # The order of one call in 300 beside a second event loop, made by hand.
    async with refused_call() as call:
        status = StreamStatus(call)
        await call.wait_for_connection()
        call._cython_call.set_internal_error("the write failed")
        found = asyncio.ensure_future(status.get())
        await call._cython_call.send_serialized_message(b"one message")
        assert await found == REFUSAL


async def test_the_end_of_a_call_is_waited_for() -> None:
    async with refused_call() as call:
        found = asyncio.ensure_future(StreamStatus(call).get())
        await call.write(b"one message")
        assert await found == REFUSAL
