"""A session over gRPC that ends while there is something to write, and one that is cancelled."""

from __future__ import annotations

import asyncio
import gc
import math
from collections.abc import AsyncIterator
from typing import Any

import grpc
import grpc.aio
import pytest

from grid.grpc_calls import StreamStatus
from grid.testing import wait_until
from grid.transport._grpc_wire import GrpcWire
from grid.transport.service import SERVICE


class _BusyLink:
    """Stops reading at the first frame; frames to write come from the test."""

    def __init__(self) -> None:
        self.closing = False
        self.congested = False
        self.given_up: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.held_until = math.inf
        self.reason = ""
        self.frames = [b"the first"]

    def feed(self, frame: bytes | memoryview) -> str | None:
        self.congested = True
        return None

    def next_frame(self) -> bytes | None:
        return self.frames.pop() if self.frames else None

    def frame_written(self) -> None:
        pass

    def end(self, reason: str) -> None:
        self.reason = reason


async def _answer_and_refuse(requests: AsyncIterator[bytes], context: Any) -> None:
    await anext(requests)
    await context.write(b"an answer")
    await context.abort(grpc.StatusCode.UNAUTHENTICATED, "who are you?")


async def _answer_and_return(requests: AsyncIterator[bytes], context: Any) -> None:
    await anext(requests)
    await context.write(b"an answer")


@pytest.mark.parametrize(
    ("handler", "expected"),
    [
        (_answer_and_refuse, ("who are you?", grpc.StatusCode.UNAUTHENTICATED)),
        (_answer_and_return, ("the other side closed the session", None)),
    ],
)
async def test_a_write_after_the_end_gets_the_reason_of_the_end(
    handler: Any, expected: tuple[str, grpc.StatusCode | None]
) -> None:
    server = grpc.aio.server()
    handlers: dict[str, Any] = {"Session": grpc.stream_stream_rpc_method_handler(handler)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        call: Any = channel.stream_stream(f"/{SERVICE}/Session")()
        status = StreamStatus(call).get
        wire = GrpcWire(call.read, call.write, call.done_writing, call.cancel, status)
        link = _BusyLink()
        carried = asyncio.ensure_future(wire.carry(link))
        await call.code()
        link.frames.append(b"the second")
        wire.wake()
        assert (await carried, wire.status) == expected
    await server.stop(0)


async def test_a_session_that_is_cancelled_twice_logs_nothing_of_its_end() -> None:
    told: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
    began, cancelled, ended = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def read() -> bytes:
        await ended.wait()
        raise ConnectionRefusedError

    async def write(frame: bytes) -> None:
        began.set()

    carried = asyncio.create_task(GrpcWire(read, write, cancel=cancelled.set).carry(_BusyLink()))
    await began.wait()
    carried.cancel()  # the deadline of its dialling
    await cancelled.wait()
    carried.cancel()  # the end of its client
    with pytest.raises(asyncio.CancelledError):
        await carried
    ended.set()
    own = {asyncio.current_task()}
    await wait_until(lambda: asyncio.all_tasks() <= own, "the tasks of the session to end")
    gc.collect()
    assert not told
