"""A Redis bus whose server does not answer, and commands that fail."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from grid.errors import InvalidArgument
from grid.testing import wait_until
from rpc.buses import Channel
from rpc.buses.bus import BusClosed, Inflow
from rpc.buses.errors import BrokerUnavailable
from rpc.buses.redis import RedisBus
from rpc.buses.redis_commands import Commands
from tests.rpc.brokers import Broker, broker
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


async def test_the_first_subscriptions_may_be_made_at_once(redis_server: Broker) -> None:
    bus = RedisBus(redis_server.url)
    channels = [Channel(f"at-once-{number}") for number in range(5)]
    async with asyncio.timeout(SOON):
        flows = await asyncio.gather(*map(bus.subscribe, channels))
        for channel, flow in zip(channels, flows, strict=True):
            await bus.publish(channel, b"1")
            assert await anext(flow) == b"1"
    await bus.close()


async def test_a_server_that_comes_back_finds_all_that_is_subscribed_meanwhile(
    tmp_path: Path,
) -> None:
    loop = asyncio.get_running_loop()
    flows: dict[str, Inflow] = {}

    async def subscribe(name: str) -> None:
        while name not in flows:
            try:
                flows[name] = await bus.subscribe(Channel(name))
            except BrokerUnavailable:
                await asyncio.sleep(0.01)

    with broker("redis", tmp_path) as server:
        bus = RedisBus(server.url)
        async with asyncio.timeout(SOON):
            await asyncio.gather(*(subscribe(f"before-{number}") for number in range(3)))
            left = await bus.subscribe(Channel("left"))
            for turn in range(3):
                server.stop()
                with pytest.raises(BrokerUnavailable):
                    await bus.publish(Channel("any"), b"1")
                await left.close()
                meanwhile = [subscribe(f"meanwhile-{turn}-{number}") for number in range(5)]
                subscribing = asyncio.gather(*meanwhile)
                await loop.run_in_executor(None, server.start)
                await subscribing

                async def heard() -> bool:
                    return set((await _subscribers(server, *flows)).values()) == {1}

                await wait_until(heard, "all channels to be subscribed again")
                for name, flow in flows.items():
                    await bus.publish(Channel(name), b"1")
                    assert await anext(flow) == b"1"

            async def forgotten() -> bool:
                return await _subscribers(server, "left") == {b"left": 0}

            await wait_until(forgotten, "the channel whose subscriber left to be left")
        await bus.close()


async def _subscribers(server: Broker, *channels: str) -> dict[bytes | str, int]:
    async with Redis.from_url(server.url) as client:
        return dict(await client.pubsub_numsub(*channels))
