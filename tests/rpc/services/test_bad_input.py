"""Servers out of reach, answers that are too large, brokers and etcd that go and return."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

import grid
from grid.embedded import Etcd
from grid.errors import EtcdError
from grid.testing import wait_until
from rpc.buses.errors import BrokerUnavailable
from rpc.buses.nats import NatsBus
from rpc.buses.redis import RedisBus
from rpc.services import (
    AllUnreachable,
    CallContext,
    CallTimedOut,
    ErrorCode,
    LocalBus,
    MalformedResult,
    NoServers,
    ServiceError,
)
from tests.rpc.brokers import Broker, broker
from tests.rpc.services.greeting_grid import GREETER, GreeterClient, GreeterServer
from tests.rpc.services.greeting_pb2 import Hello
from tests.rpc.services.kit import Greeter
from tests.rpc.services.test_faults import served

SOON = 30.0


async def test_servers_that_are_registered_and_gone_are_unreachable(
    grid_etcd: Etcd, grid_namespace: str
) -> None:
    async with (
        served(grid_etcd, grid_namespace, "a") as killed,
        grid.Client(grid_namespace, etcd=grid_etcd.endpoint) as grid_client,
        GreeterClient(grid_client, timeout=SOON) as client,
    ):
        killed.kill()
        await killed.wait()
        # Its lease has a while to go, and so has its registration.
        with pytest.raises(AllUnreachable, match="no server can be reached") as raised:
            await client.greet(Hello())
        assert (raised.value.members, raised.value.retryable) == (("a",), True)
        (outcome,) = await client.all(Hello())
        assert isinstance(outcome.error, AllUnreachable)
        with pytest.raises(AllUnreachable) as raised:
            await client.pick(Hello())
        assert raised.value.members == ("a",)
        with pytest.raises(AllUnreachable) as raised:
            await client.talk()
        assert raised.value.members == ("a",)


async def test_an_answer_that_is_too_large_or_of_another_type_is_a_typed_error() -> None:
    class Large(Greeter):
        async def greet(self, request: Hello, context: CallContext) -> Hello:
            return Hello(text="x" * 2000)

    bus = LocalBus(max_message_bytes=1000)
    async with GreeterServer(Large("a"), bus, server_id="a"), GreeterClient(bus) as client:
        with pytest.raises(ServiceError, match="too large") as raised:
            await client.greet(Hello())
        assert raised.value.code is ErrorCode.RESOURCE_EXHAUSTED
        assert raised.value.members == ("a",)

        async def malformed(_: object) -> bytes:
            return b"\xff"

        client._calls.call = malformed  # type: ignore[method-assign, assignment]
        with pytest.raises(MalformedResult, match="Hello"):
            await client.greet(Hello())
    await bus.close()


@asynccontextmanager
async def bus_of(kind: str, url: str) -> AsyncIterator[Any]:
    bus: Any = RedisBus(url) if kind == "redis" else NatsBus(url)
    try:
        yield bus
    finally:
        await bus.close()


@pytest.mark.parametrize("kind", ["redis", "nats"])
async def test_services_live_through_a_broker_that_goes_and_returns(
    kind: str, tmp_path: Path
) -> None:
    with broker(kind, tmp_path) as there:
        async with bus_of(kind, there.url) as bus, bus_of(kind, there.url) as other:
            await _a_broker_goes_and_returns(there, bus, other)


async def _a_broker_goes_and_returns(there: Broker, bus: Any, other: Any) -> None:
    there.stop()  # it is down at the start
    with pytest.raises(BrokerUnavailable):
        await GreeterServer(Greeter("a"), bus).start()
    early = GreeterClient(other, timeout=5.0)
    with pytest.raises((BrokerUnavailable, CallTimedOut)):
        await early.greet(Hello())
    there.start()
    async with GreeterServer(Greeter("a"), bus, server_id="a"), early as client:

        async def answered() -> bool:
            try:
                return (await client.greet(Hello(text="hi"), timeout=1.0)).text == "HI"
            except (BrokerUnavailable, ServiceError):
                return False

        await wait_until(answered, "the first answer", timeout=SOON)
        there.stop()
        async with asyncio.timeout(10):  # well before a call's own time, which is longer
            with pytest.raises((BrokerUnavailable, NoServers, CallTimedOut)):
                await client.greet(Hello(), timeout=3.0)
        there.start()
        await wait_until(answered, "an answer after the broker's return", timeout=SOON)


async def test_calls_go_on_while_etcd_is_away(tmp_path: Path) -> None:
    etcd = Etcd(tmp_path)
    await asyncio.to_thread(etcd.start)
    try:
        async with (
            grid.Server("away", etcd=etcd.endpoint, lease=60.0) as peer,
            GreeterServer(Greeter("a"), peer, server_id="a"),
            grid.Client("away", etcd=etcd.endpoint) as grid_client,
            GreeterClient(grid_client, timeout=SOON) as client,
            GreeterClient(grid_client, timeout=1.0) as late,
        ):
            assert (await client.greet(Hello(text="hi"))).server == "a"
            await asyncio.to_thread(etcd.kill)
            assert (await client.greet(Hello(text="hi"))).server == "a"
            with pytest.raises((CallTimedOut, EtcdError)):  # it has not seen the directory yet
                await late.greet(Hello())
            await asyncio.to_thread(etcd.start)

            async def found() -> bool:
                try:
                    return (await late.greet(Hello(), timeout=1.0)).server == "a"
                except (CallTimedOut, EtcdError):
                    return False

            await wait_until(found, "the late client to find the server", timeout=SOON)
    finally:
        await asyncio.to_thread(etcd.stop)


async def test_calls_of_a_method_that_a_newer_client_has() -> None:
    bus = LocalBus()
    async with GreeterServer(Greeter("a"), bus), GreeterClient(bus) as client:
        call = client._outgoing(GREETER.by_name["Greet"], (), Hello(), None, None)
        call.method = "Newer"
        with pytest.raises(NoServers, match=r"Greeter\.Greet"):
            await client._calls.call(call)
    await bus.close()
