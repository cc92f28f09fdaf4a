"""Servers, mailboxes and requests that are stopped or cancelled at awkward moments."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

import grid
from grid.embedded import Etcd
from grid.embedded.ports import free_ports
from grid.errors import ClientClosed, ServerNotRunning
from grid.registry.registration import encode_registration
from grid.testing import FaultProxy, wait_until

Servers = Callable[..., grid.Server]


async def peers(client: grid.Client) -> list[str]:
    return [one.name for one in await client.query("peer")]


async def test_a_second_start_is_refused_while_the_first_is_under_way(
    grid_servers: Servers, grid_client: grid.Client
) -> None:
    server = grid_servers()
    first, second = await asyncio.gather(server.start(), server.start(), return_exceptions=True)
    assert first is None
    assert isinstance(second, RuntimeError)
    assert await peers(grid_client) == [server.name]
    await server.stop()
    assert await peers(grid_client) == []


async def test_a_stop_ends_a_start_that_is_under_way(
    grid_etcd: Etcd, grid_servers: Servers, grid_client: grid.Client
) -> None:
    async with FaultProxy(grid_etcd.endpoint) as proxy:
        proxy.delay(0.05)
        server = grid_servers(etcd=proxy.endpoint)
        starting = asyncio.create_task(server.start())
        await wait_until(lambda: proxy.accepted, "the start to reach etcd")
        await server.stop()
        with pytest.raises(ServerNotRunning):
            await starting
        assert str(server.state) == "stopped"
        assert await peers(grid_client) == []


async def test_a_server_that_starts_is_not_there_yet(
    grid_etcd: Etcd, grid_servers: Servers
) -> None:
    async with FaultProxy(grid_etcd.endpoint) as proxy:
        proxy.blackhole()
        server = grid_servers(etcd=proxy.endpoint)
        starting = asyncio.create_task(server.start())
        await asyncio.sleep(0)
        assert str(server.state) == "starting"
        with pytest.raises(ServerNotRunning):
            server.open_mailbox("orders")
        starting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await starting
        assert str(server.state) == "stopped"


async def test_what_is_defined_during_the_start_counts(
    grid_servers: Servers, grid_client: grid.Client
) -> None:
    async def act(ctx: grid.ActorContext) -> None:
        await ctx.stopping.wait()

    server = grid_servers()
    starting = asyncio.create_task(server.start())
    await asyncio.sleep(0)
    server.define("late", lambda _: act)
    await starting
    assert await grid_client.start_actor("late") == server.name


async def test_serving_ends_when_somebody_stops_the_server(grid_servers: Servers) -> None:
    server = grid_servers()

    @server.actor("leader")
    async def leader(ctx: grid.ActorContext) -> None:
        await server.stop()

    async with asyncio.timeout(10):
        await server.serve()
    assert str(server.state) == "stopped"


async def test_closing_a_client_ends_its_questions_of_health(
    grid_etcd: Etcd, grid_server: grid.Server, grid_client: grid.Client
) -> None:
    lease = grid_server._started().peer.joined().lease.id
    key = f"{grid_client.namespace}.peer.hole"
    async with FaultProxy(grid_server.address) as proxy:
        proxy.blackhole()
        value = encode_registration(key, proxy.endpoint, "hole")
        await grid_client._etcd.put(key, value, lease=lease)
        client = grid.Client(grid_client.namespace, etcd=grid_etcd.endpoint)
        asking = [
            asyncio.create_task(client.check("hole")),
            asyncio.create_task(client.wait_until_serving("hole")),
        ]
        await wait_until(lambda: proxy.accepted, "the connection")
        await client.close()
        ends = await asyncio.gather(*asking, return_exceptions=True)
    assert [type(end) for end in ends] == [ClientClosed, ClientClosed]


# -- cancelled after each turn of the loop -----------------------------------------

TURNS = 60


async def cancelled_after(turns: int, doing: Coroutine[Any, Any, object]) -> bool:
    """Cancel it after so many turns of the loop; True if it was not done by then."""
    task = asyncio.create_task(doing)
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    return task.cancelled()


async def keys(client: grid.Client, part: str) -> list[str]:
    found = await client._etcd.get_prefix(f"{client.namespace}.")
    return [one.key for one in found.items if part in one.key]


async def is_gone(client: grid.Client, part: str) -> None:
    async def gone() -> bool:
        return not await keys(client, part)

    await wait_until(gone, f"no key with {part!r}", timeout=5)


async def test_a_cancelled_mailbox_leaves_no_name(
    grid_server: grid.Server, grid_client: grid.Client
) -> None:
    held = grid_server._started().peer.joined().claims._held.keys()
    for turns in range(TURNS):
        await cancelled_after(turns, open_and_close(grid_server, "orders"))
        # Its name may still be on its way back, and its peer must have heard of that.
        await is_gone(grid_client, "orders")
        await wait_until(lambda: "orders" not in str(held), "the peer to know")
        async with grid_server.open_mailbox("orders") as mailbox:
            assert await keys(grid_client, "orders") == [mailbox.key]


async def open_and_close(server: grid.Server, name: str) -> None:
    async with server.open_mailbox(name):
        pass


async def test_a_cancelled_start_leaves_neither_port_nor_name(
    grid_servers: Servers, grid_client: grid.Client
) -> None:
    listen = f"127.0.0.1:{free_ports(1)[0]}"
    turns, started = 0, 0
    while started < 3:
        server = grid_servers(name="one", listen=listen)
        if not await cancelled_after(turns, server.start()):
            started += 1
            assert await peers(grid_client) == ["one"]
            await server.stop()
        assert str(server.state) == "stopped"
        assert await keys(grid_client, "") == []
        # gRPC serves nothing in the first turns, in which each one counts. A start has more of
        # them the longer etcd takes.
        turns += 1 if turns < 7 else 7 if turns < 40 * TURNS else turns


@pytest.mark.parametrize("turns", range(7))
async def test_a_start_that_is_stopped_early_frees_the_port(
    grid_servers: Servers, grid_client: grid.Client, turns: int
) -> None:
    listen = f"127.0.0.1:{free_ports(1)[0]}"
    server = grid_servers(listen=listen)
    starting = asyncio.create_task(server.start())
    for _ in range(turns):
        await asyncio.sleep(0)
    await server.stop()
    starting.cancel()
    await asyncio.wait([starting])
    async with grid_servers(listen=listen):
        pass


async def test_a_cancelled_request_leaves_nothing_open(
    grid_server: grid.Server, grid_client: grid.Client
) -> None:
    async with grid_server.open_mailbox("orders", size=1000) as mailbox:
        for turns in range(TURNS):
            await cancelled_after(turns, grid_client.request("orders", grid.EchoMsg()))
        await grid_client._transport.close()
        assert not [answer for answer in mailbox._unanswered if not answer.done]


async def test_a_cancelled_start_of_an_actor_leaves_a_whole_one_or_none(
    grid_server: grid.Server, grid_client: grid.Client
) -> None:
    async def act(ctx: grid.ActorContext) -> None:
        async for request in ctx.mailbox:
            request.ack()

    grid_server.define("echo", lambda _: act, mailbox=4)
    for turns in range(0, TURNS, 2):
        await cancelled_after(turns, grid_client.start_actor("echo"))
        # What the peer has begun it finishes; so whoever starts it again finds it.
        try:
            await grid_client.start_actor("echo")
        except grid.errors.AlreadyRegistered:
            await wait_until(lambda: grid_server._started().runner.names(), "the actor")
        assert await grid_client.request("echo", grid.EchoMsg(), reply=grid.Ack)
        await grid_client.stop_actor("echo")
        assert await keys(grid_client, "echo") == []


async def test_a_cancelled_stop_goes_on(grid_servers: Servers, grid_client: grid.Client) -> None:
    for turns in range(1, TURNS, 6):
        server = grid_servers(lease=60.0)  # which is not what frees the names
        await server.start()
        await server.open_mailbox("orders")
        await cancelled_after(turns, server.stop())
        await is_gone(grid_client, "")
        await server.stop()
        assert str(server.state) == "stopped"


async def test_a_cancelled_reader_of_a_watch_misses_nothing(
    grid_server: grid.Server, grid_client: grid.Client
) -> None:
    async with grid_client.watch("mailbox") as events:
        seen: list[str] = []

        async def follow() -> None:
            async for event in events:
                seen.append(event.entity.name)  # noqa: PERF401 - seen while it grows

        # What came and went before the first list is in none.
        assert isinstance(await anext(events), grid.EntityFound)
        for turns in range(0, TURNS, 3):
            async with grid_server.open_mailbox(f"orders-{turns}"):
                await cancelled_after(turns, follow())
        reading = asyncio.create_task(follow())
        await wait_until(lambda: seen.count(f"orders-{TURNS - 3}") == 2, "all events")
        reading.cancel()
        await asyncio.wait([reading])
    expected = [f"orders-{turns}" for turns in range(0, TURNS, 3) for _ in range(2)]
    assert seen == expected
