"""The tests that a bus has to pass; derive a class of your tests from `BusConformance`.

    class TestMyBus(BusConformance):
        @asynccontextmanager
        async def connected(self):
            async with MyBroker() as broker:
                yield MyBus(broker.url), MyBus(broker.url)

The two buses stand for two processes on one bus. pytest-asyncio runs the tests.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from rpc.buses.bus import Bus, BusClosed, Channel, Overflow, Subscription

__all__ = ["BusConformance"]

_SOON = 20.0  # seconds, on a busy machine
_NOT = 0.3  # seconds after which a message that must not come has not come
_SCOPE = "conformance.Bus"


class BusConformance:
    """Tests of the contract of `Bus`."""

    def connected(self) -> AbstractAsyncContextManager[tuple[Bus, Bus]]:
        """Two ends of one bus, closed in the end."""
        raise NotImplementedError

    async def test_all_subscribers_get_each_message(self) -> None:
        """Subscribers of both ends get a message once, and those of other channels do not."""
        async with self.connected() as (one, two):
            flows = [await bus.subscribe(_channel("a")) for bus in (one, two, two)]
            other = await one.subscribe(_channel("b"))
            await one.publish(_channel("a"), b"1")
            await one.publish(_channel("a"), b"2")
            for flow in flows:
                _same(await _take(flow, 2), [b"1", b"2"])
            await _quiet(other, *flows)

    async def test_one_subscriber_of_a_queue_gets_each_message(self) -> None:
        """Each message of a queue goes to exactly one subscriber, of all ends."""
        async with self.connected() as (one, two):
            flows = [await bus.subscribe(_channel("q"), queue=True) for bus in (one, two, two)]
            sent = [str(i).encode() for i in range(30)]
            for data in sent:
                await one.publish(_channel("q"), data)
            got = await _take_any(flows, len(sent))
            _same(sorted(got), sorted(sent))
            await _quiet(*flows)

    async def test_equal_messages_are_different_messages(self) -> None:
        """Three equal messages of a queue are delivered three times, if the bus says so."""
        async with self.connected() as (one, two):
            if not one.capabilities.equal_payloads:
                return
            flows = [await bus.subscribe(_channel("q"), queue=True) for bus in (one, two)]
            for _ in range(3):
                await one.publish(_channel("q"), b"same")
            _same(await _take_any(flows, 3), [b"same"] * 3)
            await _quiet(*flows)

    async def test_queues_of_different_channels_lose_nothing(self) -> None:
        """Two channels of one service with disjoint subscribers keep their messages apart."""
        async with self.connected() as (one, two):
            first = await one.subscribe(_channel("m1"), queue=True)
            second = await two.subscribe(_channel("m2"), queue=True)
            for i in range(20):
                await one.publish(_channel("m1"), b"1-%d" % i)
                await two.publish(_channel("m2"), b"2-%d" % i)
            _same(await _take(first, 20), [b"1-%d" % i for i in range(20)])
            _same(await _take(second, 20), [b"2-%d" % i for i in range(20)])

    async def test_a_closed_subscription_ends(self) -> None:
        """Its iteration ends, also one that waits, and the others go on."""
        async with self.connected() as (one, two):
            closed, stays = [await two.subscribe(_channel("a")) for _ in range(2)]
            waiting = asyncio.ensure_future(anext(closed, None))
            await asyncio.sleep(0)
            await closed.close()
            await closed.close()
            _same(await asyncio.wait_for(waiting, _SOON), None)
            _same(await asyncio.wait_for(anext(closed, None), _SOON), None)
            await one.publish(_channel("a"), b"1")
            _same(await _take(stays, 1), [b"1"])

    async def test_a_slow_subscriber_harms_itself_alone(self) -> None:
        """One that does not read learns that it has missed messages; others get them all."""
        async with self.connected() as (one, two):
            slow = await two.subscribe(_channel("a"), size=5)
            quick = await two.subscribe(_channel("a"))
            for i in range(50):
                await one.publish(_channel("a"), b"%d" % i)
            _same(await _take(quick, 50), [b"%d" % i for i in range(50)])
            _same(await _take(slow, 5), [b"%d" % i for i in range(5)])
            try:
                await _take(slow, 1)
            except Overflow:
                pass
            else:
                raise AssertionError("the slow subscriber was not told that it missed messages")

    async def test_messages_of_one_publisher_keep_their_order(self) -> None:
        """A thousand messages arrive in the order in which they were published."""
        async with self.connected() as (one, two):
            if not one.capabilities.ordered:
                return
            flow = await two.subscribe(_channel("a"), size=1000)
            sent = [b"%d" % i for i in range(1000)]
            for data in sent:
                await one.publish(_channel("a"), data)
            _same(await _take(flow, 1000), sent)

    async def test_many_publish_at_once(self) -> None:
        """Messages of three hundred tasks at once arrive, and each is in one queue only."""
        async with self.connected() as (one, two):
            flow = await two.subscribe(_channel("a"))
            queues = [await bus.subscribe(_channel("q"), queue=True) for bus in (one, two)]
            sent = [b"%d" % i for i in range(300)]
            await asyncio.gather(
                *(one.publish(_channel("a"), data) for data in sent),
                *(one.publish(_channel("q"), data) for data in sent),
            )
            _same(sorted(await _take(flow, len(sent))), sorted(sent))
            _same(sorted(await _take_any(queues, len(sent))), sorted(sent))

    async def test_closing_a_bus_ends_its_subscriptions(self) -> None:
        """A closed bus ends iterations and refuses what comes later; closing again is harmless."""
        async with self.connected() as (_, two):
            flow = await two.subscribe(_channel("a"))
            await two.publish(_channel("a"), b"1")
            _same(await _take(flow, 1), [b"1"])
            await two.close()
            await two.close()
            _same(await asyncio.wait_for(anext(flow, None), _SOON), None)
            for refused in (two.subscribe(_channel("a")), two.publish(_channel("a"), b"")):
                try:
                    await refused
                except Exception as error:
                    if isinstance(error, AssertionError):
                        raise
                else:
                    raise AssertionError("a closed bus takes messages")

    async def test_closing_a_bus_fails_calls_in_progress(self) -> None:
        """Calls that wait while their bus is closed succeed or fail; none is cancelled or hangs."""
        for rounds in range(4):  # turns of the event loop that the calls get before
            async with self.connected() as (_, two):
                calls: list[asyncio.Task[object]] = []
                for number in range(8):
                    channel = _channel(f"c{number % 4}")
                    subscribing = two.subscribe(channel, queue=number % 2 == 0)
                    calls += map(_call, (subscribing, two.publish(channel, b"1")))
                for _ in range(rounds):
                    await asyncio.sleep(0)
                await two.close()
                done, _ = await asyncio.wait(calls, timeout=_SOON)
                _same(len(done), len(calls))
                for call in done:
                    if call.cancelled():
                        raise AssertionError("a call of a closed bus was cancelled")
                    error = call.exception()
                    if error is not None and not isinstance(error, BusClosed):
                        raise error


def _call(call: Awaitable[object]) -> asyncio.Task[object]:
    async def run() -> object:
        return await call

    return asyncio.create_task(run())


def _channel(name: str) -> Channel:
    return Channel(f"conformance|{name}", scope=_SCOPE)


async def _take(flow: Subscription, count: int) -> list[bytes]:
    async with asyncio.timeout(_SOON):
        return [await anext(flow) for _ in range(count)]


async def _take_any(flows: list[Subscription], count: int) -> list[bytes]:
    got: list[bytes] = []
    enough = asyncio.Event()

    async def read(flow: Subscription) -> None:
        async for data in flow:
            got.append(data)
            if len(got) >= count:
                enough.set()

    async with _reading([read(flow) for flow in flows]):
        await asyncio.wait_for(enough.wait(), _SOON)
        await asyncio.sleep(_NOT)  # for more than there should be
    return got


@asynccontextmanager
async def _reading(readers: list[object]) -> AsyncIterator[None]:
    tasks = [asyncio.ensure_future(reader) for reader in readers]  # type: ignore[call-overload]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _quiet(*flows: Subscription) -> None:
    tasks = [asyncio.ensure_future(anext(flow)) for flow in flows]
    try:
        done, _ = await asyncio.wait(tasks, timeout=_NOT)
        if done:
            raise AssertionError(f"a message too many: {next(iter(done)).result()!r}")
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _same(got: object, wanted: object) -> None:
    if got != wanted:
        raise AssertionError(f"{got!r} is not {wanted!r}")
