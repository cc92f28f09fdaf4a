"""A Redis bus whose server does not answer, and commands that fail."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from redis.asyncio import Redis

from grid.errors import InvalidArgument
from rpc.buses import Channel
from rpc.buses.bus import BusClosed
from rpc.buses.redis import RedisBus
from rpc.buses.redis_commands import Commands
from tests.rpc.brokers import Broker
from tests.rpc.buses.silent import silent_server

SOON = 20.0


async def test_closing_fails_calls_in_progress() -> None:
    async with silent_server() as address:
        bus = RedisBus(f"redis://{address}")
        calls = [
            asyncio.ensure_future(call)
            for call in (
                bus.publish(Channel("a"), b"1"),
                bus.subscribe(Channel("a")),
                bus.subscribe(Channel("a"), queue=True),
                bus.subscribe(Channel("b")),
            )
        ]
        await asyncio.wait(calls, timeout=0.2)
        assert not any(call.done() for call in calls)
        async with asyncio.timeout(3):
            await bus.close()
            for call in calls:
                with pytest.raises(BusClosed):
                    await call


async def test_a_command_that_cannot_be_sent_fails_alone(redis_server: Broker) -> None:
    class Odd(Redis):
        """A client with a defect of its own."""

        broken = True

        def pipeline(self, *args: Any, **kwargs: Any) -> Any:
            if self.broken:
                raise LookupError("no pipeline now")
            return super().pipeline(*args, **kwargs)

    client: Any = Odd.from_url(redis_server.url)
    commands = Commands(client)
    async with asyncio.timeout(SOON):
        with pytest.raises(LookupError):
            await commands.execute("PING")
        client.broken = False
        assert await commands.execute("PING")
        waiting = [commands.execute("PING") for _ in range(3)]
        await commands.close()
        for one in waiting:
            with pytest.raises(BusClosed):
                await one
        with pytest.raises(BusClosed):
            await commands.execute("PING")
        await client.aclose()


async def test_a_client_that_decodes_is_refused(redis_server: Broker) -> None:
    async with Redis.from_url(redis_server.url, decode_responses=True) as client:
        with pytest.raises(InvalidArgument, match="decode_responses"):
            RedisBus(client)
