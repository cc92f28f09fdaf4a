"""Subscriptions on NATS: known to the server when `subscribe` returns, left without a loss."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import nats
import pytest

from rpc.buses import Channel
from rpc.buses.bus import BusClosed
from rpc.buses.nats import NatsBus
from tests.rpc.brokers import Broker, broker
from tests.rpc.buses.silent import silent_server

SOON = 20.0


@asynccontextmanager
async def slow_for(command: bytes, server: str) -> AsyncIterator[str]:
    """The address of a way to a NATS server that holds up all that follows one command."""

    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while line := await reader.readline():
                if line.startswith(command):
                    await asyncio.sleep(0.3)
                writer.write(line)
                await writer.drain()
        writer.close()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        host, port = server.removeprefix("nats://").split(":")
        there, to_there = await asyncio.open_connection(host, int(port))
        async with asyncio.TaskGroup() as both:
            both.create_task(pass_on(reader, to_there))
            both.create_task(pass_on(there, writer))

    listening = await asyncio.start_server(accept, "127.0.0.1", 0)
    try:
        yield f"nats://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    finally:
        listening.close()


@pytest.mark.parametrize("own", [True, False], ids=["url", "client"])
async def test_the_server_knows_a_subscription_when_it_is_there(
    nats_server: Broker, own: bool
) -> None:
    channel = Channel("news", subject="NEWS")
    async with slow_for(b"SUB", nats_server.url) as way:
        client = None if own else await nats.connect(way)
        sender, receiver = NatsBus(nats_server.url), NatsBus(client or way)
        try:
            await sender.publish(Channel("first", subject="FIRST"), b"connects")
            news = await receiver.subscribe(channel)
            await sender.publish(channel, b"1")
            async with asyncio.timeout(SOON):
                assert await anext(news) == b"1"
        finally:
            await receiver.close()
            await sender.close()
            if client is not None:
                await client.close()


async def test_closing_fails_calls_in_progress() -> None:
    async with silent_server() as address:
        bus = NatsBus(f"nats://{address}")
        calls = [
            asyncio.ensure_future(call)
            for call in (bus.publish(Channel("a"), b"1"), bus.subscribe(Channel("a")))
        ]
        await asyncio.wait(calls, timeout=0.2)
        assert not any(call.done() for call in calls)
        async with asyncio.timeout(1):
            await bus.close()
            for call in calls:
                with pytest.raises(BusClosed):
                    await call


async def test_a_server_with_passwords_is_reached(tmp_path: Path) -> None:
    with broker("nats", tmp_path, "--user", "kim", "--pass", "secret") as server:
        address = server.url.removeprefix("nats://")
        bus = NatsBus(f"nats://kim:secret@{address}")
        news = await bus.subscribe(Channel("news"))
        await bus.publish(Channel("news"), b"1")
        async with asyncio.timeout(SOON):
            assert await anext(news) == b"1"
        await bus.close()


async def test_a_queue_that_is_left_hands_all_its_messages_back(nats_server: Broker) -> None:
    channel = Channel("jobs", subject="JOBS")
    async with slow_for(b"UNSUB", nats_server.url) as way:
        sender, staying, leaving = (NatsBus(url) for url in (nats_server.url, nats_server.url, way))
        try:
            left = await leaving.subscribe(channel, queue=True)
            kept = await staying.subscribe(channel, queue=True)
            closing = asyncio.create_task(left.close())
            await asyncio.sleep(0)  # from here on it takes nothing
            for number in range(200):
                await sender.publish(channel, b"%d" % number)
                await asyncio.sleep(0.001)
            async with asyncio.timeout(SOON):
                arrived = {int(await anext(kept)) for _ in range(200)}
            assert arrived == set(range(200))
            await closing
        finally:
            for bus in (sender, staying, leaving):
                await bus.close()
