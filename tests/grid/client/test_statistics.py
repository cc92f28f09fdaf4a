"""Statistics say what sessions, pools, mailboxes, clients and peers do, and never go back."""

import asyncio
import dataclasses
import json
from collections.abc import Callable
from typing import Any

import pytest

import grid
from grid.deadline import Deadline
from grid.embedded import Etcd
from grid.errors import MailboxClosed, PeerUnreachable, ReceiverBusy
from grid.testing import wait_until
from grid.transport.statistics import Counters, total
from grid.transport.transport import Destination, Outgoing
from grid.wire_pb2 import EchoMsg

COUNTERS = [field.name for field in dataclasses.fields(Counters)]


@pytest.fixture(autouse=True)
def over_the_wire(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("grid.client.router.local_dispatcher", lambda _: None)


@pytest.fixture
async def echo(grid_server: grid.Server) -> Any:
    """A mailbox that answers all but `hold`, and accepts streams."""
    held: list[object] = []

    async def serve(mailbox: grid.Mailbox) -> None:
        async for request in mailbox:
            if request.opens_stream:
                held.append(request.accept())
            elif request.message.msg == "hold":  # type: ignore[attr-defined]
                held.append(request)
            else:
                request.respond(request.message)
            del request

    async with grid_server.open_mailbox("echo", size=256) as mailbox:
        serving = asyncio.create_task(serve(mailbox))
        yield mailbox
    await serving


def session_of(client: grid.Client) -> grid.SessionStatistics:
    (session,) = client.statistics().sessions
    return session


def counters(told: Counters) -> dict[str, int]:
    return {name: getattr(told, name) for name in COUNTERS}


async def dead(client: grid.Client, address: str) -> None:
    outgoing = Outgoing("nowhere", 0, "grid.EchoMsg", b"", None)
    with pytest.raises(PeerUnreachable):
        await client._transport.ask(Destination(address, "", True), outgoing, Deadline.after(5))


async def test_a_new_client_has_done_nothing(grid_client: grid.Client) -> None:
    told = grid_client.statistics()
    assert (told.pools, told.sessions, told.in_flight) == ({}, (), 0)
    assert not any(counters(told).values())
    assert told.deliveries_per_frame_sent == told.deliveries_per_frame_received == 0.0


async def test_both_sides_of_a_session_count_the_same(
    echo: grid.Mailbox, grid_client: grid.Client, grid_server: grid.Server
) -> None:
    await asyncio.gather(*(grid_client.request("echo", EchoMsg(msg="hi")) for _ in range(50)))
    here = session_of(grid_client)
    (there,) = grid_server.statistics().sessions
    assert here.address == grid_server.address
    assert there.address
    assert here.deliveries_sent == there.deliveries_received == 50
    assert here.deliveries_received == there.deliveries_sent == 50
    assert here.frames_sent == there.frames_received
    assert here.bytes_sent == there.bytes_received > 50 * len("hi")
    assert 1 < here.deliveries_per_frame_sent == 50 / here.frames_sent
    assert (here.in_flight, here.queued, here.streams, here.busy) == (0, 0, 0, False)
    assert 0 <= here.idle <= here.age < 10
    pool = grid_client.statistics().pools[grid_server.address]
    assert (pool.maximum, pool.dialling, pool.waiting, pool.busy) == (1, False, 0, False)
    assert (pool.dials, pool.failed_dials, pool.breaker) == (1, 0, None)


async def test_what_is_under_way_is_seen(
    echo: grid.Mailbox, grid_client: grid.Client, grid_server: grid.Server
) -> None:
    asking = [grid_client.send("echo", EchoMsg(msg="hold")) for _ in range(3)]
    async with grid_client.stream("echo", EchoMsg()):
        await wait_until(lambda: echo.statistics().unanswered == 3, "the mailbox holds three")
        for told in (grid_client.statistics(), grid_server.statistics()):
            assert (told.in_flight, told.streams) == (4, 1)
            assert told.sessions[0].idle == 0
    for one in asking:
        one.cancel()
    await wait_until(lambda: grid_client.statistics().in_flight == 0, "all is over here")
    await wait_until(lambda: grid_server.statistics().in_flight == 0, "all is over there")
    assert grid_client.statistics().streams == 0


async def test_a_round_trip_is_known_once_it_was_measured(
    echo: grid.Mailbox, grid_client: grid.Client
) -> None:
    waiting = grid_client.send("echo", EchoMsg(msg="hold"))
    await wait_until(lambda: bool(grid_client.statistics().sessions), "a session")
    assert session_of(grid_client).round_trip is None
    await wait_until(lambda: session_of(grid_client).round_trip is not None, "a ping", timeout=5)
    assert 0 < (session_of(grid_client).round_trip or 0) < 1
    waiting.cancel()


async def test_a_mailbox_counts_what_comes(
    grid_server: grid.Server, grid_client: grid.Client
) -> None:
    async with grid_server.open_mailbox("small", size=2) as mailbox:
        first, second = (grid_client.send("small", EchoMsg()) for _ in range(2))
        await wait_until(lambda: len(mailbox) == 2, "two requests")
        with pytest.raises(ReceiverBusy):
            await grid_client._transport.ask(
                Destination(grid_server.address, "", True),
                Outgoing(mailbox.key, 0, "grid.EchoMsg", b"", None),
                Deadline.after(5),
            )
        told = mailbox.statistics()
        assert (told.name, told.size, told.queued) == ("small", 2, 2)
        assert (told.received, told.refused, told.unanswered, told.answered) == (2, 1, 2, 0)
        assert told in grid_server.statistics().mailboxes
        request = await anext(mailbox)
        assert (mailbox.statistics().queued, mailbox.statistics().unanswered) == (1, 2)
        request.ack()
        await first
        assert (mailbox.statistics().unanswered, mailbox.statistics().answered) == (1, 1)
    refused = mailbox.statistics().refused  # the second request may have come once more
    with pytest.raises(MailboxClosed):
        mailbox._put(EchoMsg(), "grid.EchoMsg", {}, request._answer)
    told = mailbox.statistics()
    assert (told.queued, told.received, told.answered) == (0, 2, 2)
    assert told.refused == refused + 1
    second.cancel()


async def test_refused_tells_are_counted(
    grid_server: grid.Server, grid_client: grid.Client
) -> None:
    async with grid_server.open_mailbox("full", size=1) as mailbox:
        for _ in range(3):
            await grid_client.tell("full", EchoMsg())
        await wait_until(lambda: grid_server.statistics().tells_refused == 2, "two refused tells")
        told = mailbox.statistics()
        assert (told.received, told.refused, told.unanswered) == (1, 2, 1)
        assert (await anext(mailbox)).message == EchoMsg()


async def test_what_was_counted_stays_when_sessions_end(
    echo: grid.Mailbox, grid_client: grid.Client, grid_server: grid.Server
) -> None:
    seen: list[dict[str, int]] = []

    def look(*sides: grid.Client | grid.Server) -> None:
        now = counters(total(side.statistics() for side in sides))
        if seen:
            assert all(now[name] >= seen[-1][name] for name in COUNTERS)
        seen.append(now)

    for _ in range(3):
        await grid_client.request("echo", EchoMsg())
        look(grid_client, grid_server)
        (pool,) = grid_client._transport.pools
        for link in pool.links:
            link.close()
        while pool.links:
            look(grid_client, grid_server)
            await asyncio.sleep(0)
        look(grid_client, grid_server)
    assert grid_client.statistics().pools[grid_server.address].dials == 3
    assert pool.unused
    await dead(grid_client, "127.0.0.1:1")  # lets go of pools without sessions
    assert grid_server.address not in grid_client.statistics().pools
    look(grid_client, grid_server)
    await grid_client.request("echo", EchoMsg())
    closing = asyncio.create_task(grid_client.close())
    while not closing.done():
        look(grid_client, grid_server)
        await asyncio.sleep(0)
    look(grid_client, grid_server)
    assert grid_client.statistics().sessions == ()
    assert grid_client.statistics().deliveries_received == 4


async def test_dials_that_fail_are_counted(grid_client: grid.Client) -> None:
    for count in (1, 2):
        await dead(grid_client, "127.0.0.1:1")
        pool = grid_client.statistics().pools["127.0.0.1:1"]
        assert (pool.dials, pool.failed_dials, pool.sessions) == (count, count, ())


async def test_a_server_tells_at_any_time(grid_servers: Callable[..., grid.Server]) -> None:
    server = grid_servers()
    assert server.statistics() == grid.ServerStatistics(state=server.state)
    await server.start()
    told = server.statistics()
    assert str(told.state) == "serving"
    assert [one.name for one in told.mailboxes] == [server.name]
    await server.stop()
    assert str(server.statistics().state) == "stopped"


async def test_it_is_plain_data_that_nobody_changes(
    echo: grid.Mailbox, grid_client: grid.Client, grid_server: grid.Server
) -> None:
    await grid_client.request("echo", EchoMsg())
    for told in (grid_client.statistics(), grid_server.statistics(), echo.statistics()):
        assert json.loads(json.dumps(dataclasses.asdict(told)))
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(told, dataclasses.fields(told)[0].name, 1)


async def test_a_client_with_breakers_tells_of_them(
    echo: grid.Mailbox, grid_server: grid.Server, grid_etcd: Etcd, grid_namespace: str
) -> None:
    async with grid.Client(
        grid_namespace, etcd=grid_etcd.endpoint, breaker=grid.BreakerPolicy()
    ) as client:
        await client.request("echo", EchoMsg())
        told = client.statistics().pools[grid_server.address]
        assert told.breaker == grid.BreakerStatistics(grid.BreakerState.CLOSED, 0)
        # Also where there are no sessions.
        to = Destination("127.0.0.1:1", "", False)
        outgoing = Outgoing("nowhere", 0, "grid.EchoMsg", b"", None)
        for _ in range(5):
            with pytest.raises(PeerUnreachable):
                await client._transport.ask(to, outgoing, Deadline.after(5))
        told = client.statistics().pools[to.address]
        assert (told.sessions, told.maximum) == ((), 0)
        assert told.breaker == grid.BreakerStatistics(grid.BreakerState.OPEN, 1)


async def test_the_blocking_client_tells_the_same(
    echo: grid.Mailbox, grid_server: grid.Server, grid_etcd: Etcd, grid_namespace: str
) -> None:
    def ask() -> grid.ClientStatistics:
        with grid.sync.Client(grid_namespace, etcd=grid_etcd.endpoint) as client:
            client.request("echo", EchoMsg())
            return client.statistics()

    told = await asyncio.to_thread(ask)
    assert told.pools[grid_server.address].deliveries_received == 1
