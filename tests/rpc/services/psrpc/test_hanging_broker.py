"""Calls and streams on a broker that hangs: they end in their time."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import pytest

from grid.testing import wait_until
from rpc.buses.redis import RedisBus
from rpc.services.errors import CallTimedOut
from tests.rpc.brokers import broker
from tests.rpc.services.greeting_grid import GreeterClient, GreeterServer
from tests.rpc.services.greeting_pb2 import Hello
from tests.rpc.services.kit import Greeter

SOON = 0.3
FAR = 4.0  # less than a client of Redis waits for its server


async def test_nothing_waits_longer_than_it_may(tmp_path: Path) -> None:
    hello = Hello(text="hello")
    with broker("redis", tmp_path) as server:
        there, here = RedisBus(server.url), RedisBus(server.url)
        async with (
            GreeterServer(Greeter("one"), there),
            GreeterClient(here, timeout=SOON) as client,
        ):
            assert (await client.greet(hello, timeout=FAR)).text == "HELLO"
            stream = await client.talk(timeout=2.0)
            server.signal(signal.SIGSTOP)
            try:
                async with asyncio.timeout(FAR):
                    for call in (client.greet(hello), client.pick(hello), client.talk()):
                        with pytest.raises(CallTimedOut):
                            await call
                    with pytest.raises(CallTimedOut):
                        await client.all(hello)
                async with asyncio.timeout(FAR):
                    with pytest.raises(CallTimedOut):
                        await stream.send(hello)
            finally:
                server.signal(signal.SIGCONT)

            async def answered() -> bool:
                try:
                    return bool(await client.greet(hello))
                except Exception:  # noqa: BLE001 - whatever is on its way still
                    return False

            await wait_until(answered, "calls to be answered again")
            await stream.close()
        await here.close()
        await there.close()
