"""Clients of the psrpc protocol whose subscriptions lose messages, or are not made."""

from __future__ import annotations

import asyncio

import pytest

from rpc.buses.redis import RedisBus
from rpc.services import CallClosed
from rpc.services.psrpc import channels
from tests.rpc.buses.silent import silent_server
from tests.rpc.services.conftest import Claims
from tests.rpc.services.greeting_grid import GREETER, GreeterClient
from tests.rpc.services.greeting_pb2 import Hello
from tests.rpc.services.kit import hall

SOON = 20.0


async def test_closing_a_client_fails_calls_that_wait_for_the_bus() -> None:
    async with silent_server() as address:
        bus = RedisBus(f"redis://{address}")
        client = GreeterClient(bus)
        calls = [asyncio.create_task(client.greet(Hello(), timeout=60)) for _ in range(2)]
        await asyncio.wait(calls, timeout=0.2)
        async with asyncio.timeout(SOON):
            await client.close()
            for call in calls:
                with pytest.raises(CallClosed):
                    await call
            await bus.close()


@pytest.mark.parametrize("of_server", [False, True], ids=["client", "server"])
async def test_lost_messages_do_not_end_a_subscription(
    of_server: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rpc.services.psrpc.client._HELD", 5)
    bus = Claims()
    async with hall(lambda: bus, lambda: bus) as made:
        await made.serve("a", **({"mailbox": 5} if of_server else {}))
        client = await made.client()
        assert (await client.greet(Hello(text="hi"))).server == "a"
        flows = sum(len(flows) for flows in (*bus._flows.values(), *bus._queues.values()))
        method = GREETER.by_name["Greet"]
        if of_server:
            flooded = channels.requests(GREETER.go_name, method.go_name, (), queue=True)
        else:
            flooded = channels.replies(GREETER.go_name, client.id)
        for _ in range(20):  # at once: the reader has no turn between them
            await bus.publish(flooded, b"noise")
        async with asyncio.timeout(SOON):
            assert (await client.greet(Hello(text="hi"), timeout=SOON)).server == "a"
        assert flows == sum(len(flows) for flows in (*bus._flows.values(), *bus._queues.values()))
    await bus.close()
