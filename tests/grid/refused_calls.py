"""Calls that are refused during their writes; prints the status of each.

In a process of its own: beside a second event loop `grpc.aio` may report the failed write before
the status, which it then drops.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import grpc.aio

from grid.grpc_calls import StreamStatus


async def _refuse(requests: AsyncIterator[bytes], context: Any) -> None:
    await anext(requests)
    await context.abort(grpc.StatusCode.UNAUTHENTICATED, "who are you?")


@contextlib.asynccontextmanager
async def refusing() -> AsyncIterator[str]:
    """The address of a server that reads one message and refuses."""
    server = grpc.aio.server()
    handlers: dict[str, Any] = {"Session": grpc.stream_stream_rpc_method_handler(_refuse)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test", handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    yield f"127.0.0.1:{port}"
    await server.stop(0)


async def _main() -> None:
    async with refusing() as address:
        for size in (1, 1 << 16) * 10:
            async with grpc.aio.insecure_channel(address) as channel:
                call: Any = channel.stream_stream("/test/Session")()
                status = StreamStatus(call)
                with contextlib.suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
                    while True:
                        await call.write(bytes(size))
                code, text = await status.get()
                print(code.name, text)


if __name__ == "__main__":
    asyncio.run(_main())
