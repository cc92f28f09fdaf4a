"""Streams whose other side does not read: they hold up no one but themselves."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from rpc.services import ServiceError
from tests.rpc.services.greeting_pb2 import Hello
from tests.rpc.services.kit import Hall

SOON = 20.0


async def test_a_client_that_does_not_read_does_not_hold_up_the_servers_end(
    the_hall: Hall, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rpc.services.streams._LAST_ITEM", 0.2, raising=False)
    server = await the_hall.serve("a")
    client = await the_hall.client()
    async with client.talk(timeout=0.5) as stream:

        async def flood() -> None:
            while True:
                await stream.send(Hello(text="x" * 10_000))

        async def read_all() -> None:
            while await stream.receive() is not None:
                pass

        with contextlib.suppress(ServiceError, TimeoutError):
            await asyncio.wait_for(flood(), 1.0)
        async with asyncio.timeout(SOON):
            await server.kill()
            with pytest.raises(ServiceError):
                await read_all()  # what was sent, and then the reason of the end
