"""The status of a call in both directions that the other side ends during a write."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import grpc.aio

from grid.grpc_calls import StreamStatus
from tests.grid.refused_calls import refusing


async def test_the_status_is_the_one_that_the_other_side_gave() -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.grid.refused_calls"), stdout=asyncio.subprocess.PIPE
    )
    printed, _ = await process.communicate()
    assert printed.decode().splitlines() == ["UNAUTHENTICATED who are you?"] * 20


async def test_the_end_of_a_call_is_waited_for() -> None:
    async with refusing() as address, grpc.aio.insecure_channel(address) as channel:
        call: Any = channel.stream_stream("/test/Session")()
        found = asyncio.ensure_future(StreamStatus(call).get())
        await call.write(b"one message")
        assert await found == (grpc.StatusCode.UNAUTHENTICATED, "who are you?")
