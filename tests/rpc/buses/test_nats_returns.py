"""A NATS bus whose client has closed itself: it comes back, or says what to do."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import nats
import pytest

from grid.testing import wait_until
from rpc.buses import Bus, Channel, Subscription
from rpc.buses.bus import BusClosed
from rpc.buses.errors import BrokerClientClosed, BrokerUnavailable
from rpc.buses.nats import NatsBus
from rpc.services.errors import CallClosed
from tests.rpc.brokers import Broker, broker
from tests.rpc.buses.nats_way import NatsWay
from tests.rpc.services.greeting_grid import GreeterClient, GreeterServer
from tests.rpc.services.greeting_pb2 import Hello
from tests.rpc.services.kit import Greeter

SOON = 20.0
SLOW = "Slow Consumer"
NEWS = Channel("news", subject="NEWS")
JOBS = Channel("jobs", subject="JOBS")


@asynccontextmanager
async def buses(server: Broker) -> AsyncIterator[tuple[NatsWay, NatsBus, NatsBus]]:
    """A way to the server, a bus on that way, and one beside it."""
    async with NatsWay(server.url) as way:
        bus, other = NatsBus(way.url), NatsBus(server.url)
        try:
            yield way, bus, other
        finally:
            await bus.close()
            await other.close()


async def arrives(bus: Bus, channel: Channel, flow: Subscription) -> bytes:
    """The first message of a subscription, while a bus publishes until one arrives."""
    got = asyncio.ensure_future(anext(aiter(flow)))

    async def arrived() -> bool:
        with contextlib.suppress(BrokerUnavailable):
            await bus.publish(channel, b"again")
        return got.done()

    try:
        await wait_until(arrived, f"a message of {channel.name}", timeout=SOON)
        return got.result()
    finally:
        got.cancel()


async def end_connection(way: NatsWay, error: str, *, close: bool = False) -> None:
    """End the bus's connection with an error of the server; returns when there is another."""
    before = way.accepted
    way.end(error, close=close)
    await wait_until(lambda: way.accepted > before, "a new connection", timeout=SOON)


async def subscribed(bus: Bus, channel: Channel) -> Subscription:
    """A subscription, once the bus is connected: what arrived may have come before its loss."""
    made: list[Subscription] = []

    async def there() -> bool:
        with contextlib.suppress(BrokerUnavailable):
            made.append(await bus.subscribe(channel))
        return bool(made)

    await wait_until(there, f"a subscription to {channel.name}", timeout=SOON)
    return made[0]


async def is_lost(bus: NatsBus) -> None:
    """Return when the bus tells that its connection is lost."""

    async def told() -> bool:
        try:
            await bus.publish(Channel("nothing"), b"x")
        except BrokerUnavailable as error:
            return "lost" in str(error)
        return False

    await wait_until(told, "the loss of the connection", timeout=SOON)


@pytest.mark.parametrize("close", [False, True], ids=["stays", "closed"])
@pytest.mark.parametrize("error", [SLOW, "Authorization Violation"])
async def test_a_bus_comes_back_after_an_error_of_the_server(
    nats_server: Broker, error: str, close: bool
) -> None:
    async with buses(nats_server) as (way, bus, other):
        news = await bus.subscribe(NEWS)
        jobs = await bus.subscribe(JOBS, queue=True)
        for _ in range(2):
            await end_connection(way, error, close=close)
            assert await arrives(other, NEWS, news) == b"again"
            assert await arrives(other, JOBS, jobs) == b"again"
            assert await arrives(bus, NEWS, news) == b"again"
        later = await subscribed(bus, Channel("later"))
        assert await arrives(bus, Channel("later"), later) == b"again"


async def test_a_call_waits_for_the_new_connection(nats_server: Broker) -> None:
    async with buses(nats_server) as (way, bus, other):
        news = await bus.subscribe(NEWS)
        await other.publish(Channel("first"), b"connects")
        await end_connection(way, SLOW)
        # All subscriptions are there before the first message goes out on the new connection.
        await bus.publish(NEWS, b"1")
        async with asyncio.timeout(SOON):
            assert await anext(news) == b"1"


async def test_calls_fail_at_once_between_tries_and_do_not_make_more_of_them(
    nats_server: Broker, caplog: pytest.LogCaptureFixture
) -> None:
    async with buses(nats_server) as (way, bus, _):
        news = await bus.subscribe(NEWS)
        way.refusing = True
        way.end(SLOW)
        await is_lost(bus)
        before = way.accepted
        for _ in range(500):
            with pytest.raises(BrokerUnavailable, match=way.url.removeprefix("nats://")):
                await bus.publish(NEWS, b"x")
            with pytest.raises(BrokerUnavailable):
                await bus.subscribe(Channel("further"))
        assert way.accepted - before < 100
        way.refusing = False
        assert await arrives(bus, NEWS, news) == b"again"
        assert SLOW.lower() in caplog.text  # as nats-py writes it


async def test_a_server_that_ends_each_connection_is_left_alone_for_a_while(
    nats_server: Broker,
) -> None:
    async with buses(nats_server) as (way, bus, other):
        news = await bus.subscribe(NEWS)
        way.greeting = SLOW
        way.end(SLOW)
        await wait_until(lambda: way.accepted >= 4, "some tries", timeout=SOON)
        await is_lost(bus)
        way.greeting = ""
        assert await arrives(other, NEWS, news) == b"again"


async def test_a_queue_that_was_left_meanwhile_is_not_opened_again(nats_server: Broker) -> None:
    async with buses(nats_server) as (way, bus, other):
        left = await bus.subscribe(JOBS, queue=True)
        news = await bus.subscribe(NEWS)
        kept = await other.subscribe(JOBS, queue=True)
        way.refusing = True
        way.end(SLOW)
        await is_lost(bus)
        async with asyncio.timeout(2):
            await left.close()
        way.refusing = False
        await arrives(other, NEWS, news)
        for number in range(50):
            await other.publish(JOBS, b"%d" % number)
        async with asyncio.timeout(SOON):
            assert [int(await anext(kept)) for _ in range(50)] == list(range(50))


async def test_a_subscription_under_way_is_told_of_the_loss(nats_server: Broker) -> None:
    async with buses(nats_server) as (way, bus, _):
        news = await bus.subscribe(NEWS)
        way.greeting = SLOW  # the connection ends while the server confirms the next one
        async with asyncio.timeout(3):
            with pytest.raises(BrokerUnavailable):
                await bus.subscribe(JOBS)
        way.greeting = ""
        assert await arrives(bus, NEWS, news) == b"again"


async def test_closing_ends_the_tries(nats_server: Broker) -> None:
    async with buses(nats_server) as (way, bus, _):
        news = await bus.subscribe(NEWS)
        way.refusing = True
        way.end(SLOW)
        await is_lost(bus)
        async with asyncio.timeout(2):
            await bus.close()
        with pytest.raises(StopAsyncIteration):
            await anext(news)
        with pytest.raises(BusClosed):
            await bus.publish(NEWS, b"x")


async def test_a_password_that_holds_no_more_is_told_and_one_that_holds_again_noticed(
    tmp_path: Path,
) -> None:
    config = tmp_path / "nats.conf"

    def allow(password: str) -> None:
        config.write_text(f"authorization {{ user: kim, password: {password} }}\n")

    allow("secret")
    with broker("nats", tmp_path, "-c", str(config)) as server:
        url = f"nats://kim:secret@127.0.0.1:{server.port}"
        bus = NatsBus(url)
        news = await bus.subscribe(NEWS)
        allow("changed")
        server.signal(signal.SIGHUP)
        await is_lost(bus)
        fresh = NatsBus(url)
        for refused in (bus, fresh):
            with pytest.raises(BrokerUnavailable, match="Authorization Violation") as caught:
                await refused.publish(NEWS, b"x")
            assert "secret" not in str(caught.value)
        allow("secret")
        server.signal(signal.SIGHUP)
        assert await arrives(bus, NEWS, news) == b"again"
        await fresh.close()
        await bus.close()


@pytest.mark.parametrize("by", ["server", "user"])
async def test_a_closed_client_of_the_user_ends_its_subscriptions_with_an_error(
    nats_server: Broker, by: str
) -> None:
    async with NatsWay(nats_server.url) as way:
        client = await nats.connect(way.url)
        bus = NatsBus(client)
        flows = [await bus.subscribe(NEWS), await bus.subscribe(JOBS, queue=True)]
        reading = [asyncio.ensure_future(anext(flow)) for flow in flows]
        await asyncio.sleep(0)
        if by == "server":
            way.end(SLOW)
        else:
            await client.close()
        async with asyncio.timeout(SOON):
            for read in reading:
                with pytest.raises(BrokerClientClosed, match="URL"):
                    await read
            for refused in (bus.publish(NEWS, b"x"), bus.subscribe(NEWS)):
                with pytest.raises(BrokerClientClosed):
                    await refused
        assert way.accepted == 1
        await bus.close()
        await client.close()


async def test_calls_of_services_tell_that_the_client_of_the_user_is_closed(
    nats_server: Broker,
) -> None:
    hello = Hello(text="hello")
    nats_client = await nats.connect(nats_server.url)
    bus = NatsBus(nats_client)
    async with GreeterServer(Greeter("one"), bus), GreeterClient(bus) as client:
        assert (await client.greet(hello)).text == "HELLO"
        await nats_client.close()
        with pytest.raises(CallClosed, match="URL"):
            await client.greet(hello)
    await bus.close()


async def test_services_go_on_after_an_error_of_the_server(nats_server: Broker) -> None:
    hello = Hello(text="hello")
    async with (
        buses(nats_server) as (way, bus, other),
        GreeterServer(Greeter("one"), bus),
        GreeterClient(other, timeout=1) as client,
    ):
        assert (await client.greet(hello)).text == "HELLO"
        way.end(SLOW)
        await wait_until(lambda: way.accepted == 2, "a new connection", timeout=SOON)

        async def answered() -> bool:
            try:
                return bool(await client.greet(hello))
            except Exception:  # noqa: BLE001 - whatever is on its way still
                return False

        await wait_until(answered, "calls to be answered again", timeout=SOON)
