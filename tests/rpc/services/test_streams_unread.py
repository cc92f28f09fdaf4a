"""Streams whose other side does not read: they hold up no one but themselves."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

import pytest

import grid
from rpc.services import CallContext, ServiceError, ServiceStream
from tests.rpc.services.greeting_grid import GreeterClient, GreeterServer
from tests.rpc.services.greeting_pb2 import Hello
from tests.rpc.services.kit import SOON, Greeter, Hall


async def test_a_client_that_does_not_read_does_not_hold_up_the_servers_end(
    the_hall: Hall, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rpc.services.streams._LAST_ITEM", 0.2, raising=False)
    server = await the_hall.serve("a")
    client = await the_hall.client()
    async with client.talk(timeout=1.5) as stream:

        async def flood() -> None:
            while True:
                await stream.send(Hello(text="x" * 10_000))

        async def read_all() -> None:
            while await stream.receive() is not None:
                pass

        with contextlib.suppress(ServiceError, TimeoutError):
            await asyncio.wait_for(flood(), 3.0)
        async with asyncio.timeout(SOON):
            await server.kill()
            with pytest.raises(ServiceError):
                await read_all()  # what was sent, and then the reason of the end


async def test_a_close_that_is_cancelled_ends_the_stream_at_the_other_side(
    grid_servers: Callable[..., grid.Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("grid.client.router.local_dispatcher", lambda _: None)
    monkeypatch.setattr("rpc.services.streams._LAST_ITEM", SOON)
    read, ended = asyncio.Event(), asyncio.get_running_loop().create_future()

    class Late(Greeter):
        async def talk(self, stream: ServiceStream[Hello, Hello], context: CallContext) -> None:
            """Read when it is told to."""
            await read.wait()
            try:
                while await stream.receive() is not None:
                    pass
            except ServiceError as error:
                ended.set_result(error)

    peer = grid_servers()
    await peer.start()
    async with (
        grid.Client(peer.config.namespace, etcd=peer.config.etcd) as grid_client,
        GreeterServer(Late("a"), peer),
        GreeterClient(grid_client) as client,
    ):
        stream = await client.talk()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.5):
                while True:
                    await stream.send(Hello(text="x" * 10_000))
        closing = asyncio.ensure_future(stream.close(ValueError("the reason")))
        await asyncio.sleep(0)  # it waits for room
        closing.cancel()
        await asyncio.wait([closing])
        assert closing.cancelled()
        read.set()
        async with asyncio.timeout(SOON):
            assert "the reason" in str(await ended)
