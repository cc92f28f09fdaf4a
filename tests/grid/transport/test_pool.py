"""Sessions are dialled once, used in turn, added when busy, closed when idle, replaced."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from grid.embedded.ports import free_ports
from grid.errors import ClientClosed, DeadlineExceeded, OutcomeUnknown, PeerUnreachable
from grid.testing import FaultProxy, wait_until
from grid.transport.settings import SessionSettings
from grid.transport.transport import Transport
from tests.grid.transport.link_kit import (
    Gatekeeper,
    ask,
    ask_many,
    link_of,
    serving,
    transport,
)

DIAL_SECONDS = 1.0
BURST = 3000


@pytest.fixture
async def proxy() -> AsyncIterator[FaultProxy]:
    """The way to a service that answers."""
    async with serving(Gatekeeper()) as (address, _), FaultProxy(address) as between:
        yield between


@pytest.fixture
def _short_dials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("grid.transport.pool._DIAL_SECONDS", DIAL_SECONDS)


@contextlib.asynccontextmanager
async def silent_addresses(
    count: int,
) -> AsyncIterator[tuple[list[str], list[asyncio.StreamWriter]]]:
    """Addresses that take connections and say nothing, and the connections that came."""
    connections: list[asyncio.StreamWriter] = []

    def take(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(writer)

    server = await asyncio.start_server(take, "0.0.0.0", 0)  # noqa: S104
    port = server.sockets[0].getsockname()[1]
    try:
        yield [f"127.0.0.{host}:{port}" for host in range(1, count + 1)], connections
    finally:
        server.close()
        for writer in connections:
            writer.transport.abort()
        await asyncio.sleep(0)  # the sockets are closed in the loop's next round


async def grown(way: Transport, address: str, sessions: int) -> int:
    """Ask in bursts until there are so many sessions; the number of bursts."""
    for bursts in range(1, 20):
        answers = await ask_many(way, address, [b"x"] * BURST, timeout=20)
        assert answers == [b"x"] * BURST
        if sum(link.ready.done() for link in way.pools[0].links) >= sessions:
            return bursts
    raise AssertionError(f"{len(way.pools[0].links)} sessions after many bursts")


async def test_one_session_serves_all_however_busy(proxy: FaultProxy) -> None:
    async with transport() as way:
        for _ in range(3):
            answers = await ask_many(way, proxy.endpoint, [b"x"] * BURST)
            assert answers == [b"x"] * BURST
        link_of(way)
    assert proxy.accepted == 1


async def test_a_busy_pool_grows_to_its_maximum_by_real_connections(proxy: FaultProxy) -> None:
    async with transport(sessions=3) as way:
        await grown(way, proxy.endpoint, 3)
        await ask_many(way, proxy.endpoint, [b"x"] * BURST)
        assert len(way.pools[0].links) == 3
        assert proxy.accepted == 3


async def test_a_pool_that_is_not_busy_does_not_grow(proxy: FaultProxy) -> None:
    async with transport(sessions=3) as way:
        for _ in range(10):
            await ask_many(way, proxy.endpoint, [b"x"] * 100)
    assert proxy.accepted == 1


async def test_free_sessions_have_their_turn(proxy: FaultProxy) -> None:
    async with transport(sessions=3) as way:
        await grown(way, proxy.endpoint, 3)
        links = way.pools[0].links
        before = [link.session.sent.deliveries for link in links]
        for _ in range(30):
            await ask(way, proxy.endpoint)
        after = [link.session.sent.deliveries for link in links]
        assert [new - old for old, new in zip(before, after, strict=True)] == [10, 10, 10]


async def test_a_pool_that_cannot_grow_serves_on_and_dials_seldom(proxy: FaultProxy) -> None:
    async with transport(sessions=2) as way:
        await ask(way, proxy.endpoint)
        proxy.refuse()
        for _ in range(4):
            answers = await ask_many(way, proxy.endpoint, [b"x"] * BURST)
            assert answers == [b"x"] * BURST
        assert 2 <= proxy.accepted <= 6
        proxy.heal()

        async def two() -> bool:
            await ask_many(way, proxy.endpoint, [b"x"] * BURST)
            return len(way.pools[0].links) == 2

        await wait_until(two, "it grows when it can")


@pytest.mark.usefixtures("_short_dials")
async def test_callers_of_a_silent_address_end_together() -> None:
    loop = asyncio.get_running_loop()
    async with silent_addresses(1) as ((address,), _), transport() as way:
        began = loop.time()
        ended: list[float] = []

        async def one() -> PeerUnreachable:
            with pytest.raises(PeerUnreachable) as caught:
                await ask(way, address)
            ended.append(loop.time() - began)
            return caught.value

        errors = await asyncio.gather(*(one() for _ in range(27)))
        assert len({id(error) for error in errors}) == 27  # each its own
        assert max(ended) - min(ended) < 0.5
        assert max(ended) < DIAL_SECONDS + 1.5


@pytest.mark.usefixtures("_short_dials")
async def test_no_more_than_four_dials_at_once_over_all_addresses() -> None:
    async with silent_addresses(10) as (addresses, connections), transport() as way:
        asking = [asyncio.create_task(ask(way, address)) for address in addresses]
        for dialled in (4, 8, 10):
            await wait_until(lambda many=dialled: len(connections) >= many, "dials")  # type: ignore[misc]
            given_up = sum(task.done() for task in asking)
            assert len(connections) <= given_up + 4
        ends = await asyncio.gather(*asking, return_exceptions=True)
    assert {type(end) for end in ends} == {PeerUnreachable}


async def test_a_dial_that_hangs_delays_nobody_else(proxy: FaultProxy) -> None:
    async with silent_addresses(3) as (addresses, connections), transport() as way:
        asking = [asyncio.create_task(ask(way, address)) for address in addresses]
        await wait_until(lambda: len(connections) == 3, "three dials hang")
        assert await ask(way, proxy.endpoint, timeout=2) == b"x"
        assert not any(task.done() for task in asking)
        for task in asking:
            task.cancel()
        await asyncio.gather(*asking, return_exceptions=True)


async def test_a_deadline_holds_while_a_dial_hangs() -> None:
    async with silent_addresses(1) as ((address,), _), transport() as way:
        began = asyncio.get_running_loop().time()
        with pytest.raises(DeadlineExceeded):
            await ask(way, address, timeout=0.3)
        assert asyncio.get_running_loop().time() - began < 3


async def test_closing_ends_those_who_wait_for_a_dial() -> None:
    async with silent_addresses(1) as ((address,), connections), transport() as way:
        asking = [asyncio.create_task(ask(way, address, timeout=30)) for _ in range(3)]
        await wait_until(lambda: connections, "the dial is under way")
        await way.close()
        ends = await asyncio.wait_for(asyncio.gather(*asking, return_exceptions=True), 5)
        assert {type(end) for end in ends} == {ClientClosed}
        with pytest.raises(ClientClosed):
            await ask(way, address)


async def test_closing_at_any_moment_of_a_dial_leaves_no_session() -> None:
    async with serving(Gatekeeper()) as (address, _):
        for turns in range(40):
            way = Transport(settings=SessionSettings(), sessions=1)
            asking = asyncio.create_task(ask(way, address))
            for _ in range(turns):
                await asyncio.sleep(0)
            pool = next(iter(way.pools), None)
            await way.close()
            (end,) = await asyncio.gather(asking, return_exceptions=True)
            assert end == b"x" or isinstance(end, ClientClosed | OutcomeUnknown), (turns, end)
            assert pool is None or not pool.links, turns


async def test_an_unused_session_is_closed_and_pings_are_no_use(proxy: FaultProxy) -> None:
    async with transport(idle=0.3) as way:
        await ask(way, proxy.endpoint)
        link = link_of(way)

        def gone() -> bool:
            link.session.ping(1)
            return not way.pools[0].links

        await wait_until(gone, "the session is closed", timeout=5)
        assert await ask(way, proxy.endpoint) == b"x"
        assert proxy.accepted == 2


async def test_a_session_with_a_request_under_way_is_not_idle() -> None:
    gate = Gatekeeper()
    async with serving(gate) as (address, _), transport(idle=0.1) as way:
        asking = asyncio.create_task(ask(way, address, b"slow", receiver="later"))
        await wait_until(lambda: gate.held, "the request arrived")
        link = link_of(way)
        began = asyncio.get_running_loop().time()
        await wait_until(
            lambda: asyncio.get_running_loop().time() - began > 2.5, "time for two looks at it"
        )
        assert not link.parting
        gate.held[b"slow"].resolve("grid.EchoMsg", b"done")
        assert await asking == b"done"


async def test_a_lost_session_is_replaced_at_the_next_use(proxy: FaultProxy) -> None:
    async with transport() as way:
        for times in range(1, 6):
            assert await ask(way, proxy.endpoint) == b"x"
            assert proxy.accepted == times
            lost = link_of(way)
            proxy.cut()
            proxy.heal()
            await wait_until(lambda lost=lost: lost.parting, "the loss is seen")  # type: ignore[misc]


async def test_what_was_written_ends_as_unknown_and_the_rest_moves_on(proxy: FaultProxy) -> None:
    gate = Gatekeeper()
    async with (
        serving(gate) as (address, _),
        FaultProxy(address) as between,
        transport() as way,
    ):
        asking = asyncio.create_task(ask(way, between.endpoint, receiver="later", timeout=30))
        await wait_until(lambda: gate.held, "the request arrived")
        between.cut()
        with pytest.raises(OutcomeUnknown):
            await asyncio.wait_for(asking, 10)
        await wait_until(lambda: gate.held[b"x"].cancelled, "the receiver sees it")


async def test_a_refused_address_is_unreachable_at_once_and_forgotten() -> None:
    async with transport() as way:
        addresses = [f"127.0.0.1:{port}" for port in free_ports(20)]
        for address in addresses:
            with pytest.raises(PeerUnreachable):
                await asyncio.wait_for(ask(way, address), 3)
        assert len(way.pools) <= 2
