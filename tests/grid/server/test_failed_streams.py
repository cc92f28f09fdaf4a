"""A stream whose handler fails ends by the handler's error; its actor goes on."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from google.protobuf.wrappers_pb2 import Int64Value

import grid
from grid.errors import ActorEnded, StreamClosed
from grid.testing import wait_until
from grid.wire_pb2 import EchoMsg

ERRORS = {
    "error": KeyError("no such order"),
    "exit": SystemExit(3),
    "cancelled": asyncio.CancelledError("mine"),
}


class Orders:
    """Fails in streams of both kinds, and waits in one when asked to."""

    def __init__(self) -> None:
        self.served = 0

    @grid.handler
    async def count(self, by: Int64Value) -> Int64Value:
        self.served += by.value
        return Int64Value(value=self.served)

    @grid.handler
    async def listing(self, how: EchoMsg) -> AsyncIterator[EchoMsg]:
        yield EchoMsg(msg="first")
        if how.msg == "wait":
            await asyncio.Event().wait()
        raise ERRORS[how.msg]

    @grid.handler
    async def chat(self, how: Int64Value, stream: grid.Stream) -> None:
        await stream.send(EchoMsg(msg="first"))
        raise list(ERRORS.values())[how.value]


@pytest.fixture
async def orders(grid_server: grid.Server, grid_client: grid.Client) -> Orders:
    grid_server.actor("orders")(Orders)
    await grid_client.start_actor("orders")
    return grid_client.actor(Orders, "orders")


@pytest.mark.parametrize("how", ERRORS)
async def test_a_stream_handler_that_raises_fails_its_stream_and_not_its_actor(
    orders: Orders, grid_client: grid.Client, caplog: pytest.LogCaptureFixture, how: str
) -> None:
    await orders.count(Int64Value(value=1))
    for opened in (
        grid_client.stream("orders", EchoMsg(msg=how)),
        grid_client.stream("orders", Int64Value(value=list(ERRORS).index(how))),
    ):
        async with opened as stream:
            assert await stream.receive(EchoMsg) == EchoMsg(msg="first")
            with pytest.raises(StreamClosed) as ended:
                await stream.receive()
        assert not isinstance(ended.value, ActorEnded)
        error = ERRORS[how]
        assert ended.value.reason == f"{type(error).__name__}: {error}"
        assert (await orders.count(Int64Value())).value == 1
    await wait_until(lambda: "handler listing failed" in caplog.text, "the error is logged")


async def test_a_stream_whose_actor_is_stopped_says_that_it_has_ended(
    orders: Orders, grid_client: grid.Client
) -> None:
    async with grid_client.stream("orders", EchoMsg(msg="wait")) as stream:
        assert await stream.receive(EchoMsg) == EchoMsg(msg="first")
        await grid_client.stop_actor("orders", grace=0)
        with pytest.raises(ActorEnded):
            await stream.receive()
