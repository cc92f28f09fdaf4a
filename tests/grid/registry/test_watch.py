"""Queries and watches tell what there is, and miss nothing."""

import asyncio
import logging
from collections.abc import Callable

import pytest

import grid
from grid import EntityFound, EntityLost
from grid.embedded import Etcd
from grid.errors import ClientClosed, EtcdUnavailable
from grid.testing import FaultProxy

Servers = Callable[..., grid.Server]


async def following(events: grid.EntityWatch) -> grid.EntityEvent:
    return await asyncio.wait_for(anext(events), 10)


async def test_a_query_of_what_is_no_kind_is_refused(grid_client: grid.Client) -> None:
    with pytest.raises(ValueError, match="nothing"):
        await grid_client.query("nothing")
    with pytest.raises(ValueError, match="nothing"):
        grid_client.watch("nothing")


async def test_a_watch_tells_what_is_there_and_what_comes_and_goes(
    grid_servers: Servers, grid_client: grid.Client
) -> None:
    first, second = grid_servers(annotations=["n=1"]), grid_servers(annotations=["n=2"])
    await first.start()
    async with grid_client.watch("peer") as events:
        found = await following(events)
        assert isinstance(found, EntityFound)
        assert (found.entity.name, found.entity.annotations) == (first.name, ("n=1",))
        await second.start()
        joined = await following(events)
        assert isinstance(joined, EntityFound)
        assert joined.entity.annotations == ("n=2",)
        assert joined.entity.epoch > found.entity.epoch
        await first.stop()
        assert await following(events) == EntityLost(found.entity)


async def test_a_watch_sees_what_its_block_does_before_it_iterates(
    grid_servers: Servers, grid_client: grid.Client
) -> None:
    first = grid_servers()
    await first.start()
    async with grid_client.watch("peer") as events:
        await first.stop()
        found = await following(events)
        assert isinstance(found, EntityFound)
        assert await following(events) == EntityLost(found.entity)


async def test_entering_a_watch_of_a_client_that_closes_raises(
    grid_namespace: str, grid_etcd: Etcd
) -> None:
    async with FaultProxy(grid_etcd.endpoint) as proxy:
        client = grid.Client(grid_namespace, etcd=proxy.endpoint)
        watch = client.watch("peer")
        proxy.blackhole()
        entering = asyncio.create_task(watch.__aenter__())
        await asyncio.sleep(0)
        await client.close()
        with pytest.raises(ClientClosed):
            await asyncio.wait_for(entering, 10)


async def test_a_watch_of_mailboxes_sees_each_come_and_go(
    grid_server: grid.Server, grid_client: grid.Client
) -> None:
    async with grid_client.watch(grid.Kind.MAILBOX) as events:
        await following(events)
        for name in ("a", "b"):
            async with grid_server.open_mailbox(name) as mailbox:
                found = await following(events)
                assert isinstance(found, EntityFound)
                assert (found.entity.name, found.entity.epoch) == (name, mailbox.epoch)
            assert await following(events) == EntityLost(found.entity)


async def test_an_iterating_watch_ends_when_the_client_closes(
    grid_server: grid.Server, grid_etcd: Etcd, grid_namespace: str
) -> None:
    client = grid.Client(grid_namespace, etcd=grid_etcd.endpoint)
    seen: list[grid.EntityEvent] = []

    async def iterate() -> None:
        async with client.watch("peer") as events:
            async for event in events:
                seen.append(event)
                asyncio.get_running_loop().call_soon(closing.set)

    closing = asyncio.Event()
    iterating = asyncio.create_task(iterate())
    await asyncio.wait_for(closing.wait(), 5)
    await client.close()
    await asyncio.wait_for(iterating, 5)
    assert len(seen) == 1


async def test_a_watch_survives_the_loss_of_its_connection(
    grid_server: grid.Server, grid_etcd: Etcd, grid_namespace: str
) -> None:
    async with (
        FaultProxy(grid_etcd.endpoint) as proxy,
        grid.Client(grid_namespace, etcd=proxy.endpoint) as client,
        client.watch("mailbox") as events,
    ):
        await following(events)
        mailbox = await grid_server.open_mailbox("before")
        await following(events)
        proxy.cut()
        await mailbox.close()
        await grid_server.open_mailbox("after")
        proxy.heal()
        lost, found = await following(events), await following(events)
        assert isinstance(lost, EntityLost)
        assert lost.entity.name == "before"
        assert isinstance(found, EntityFound)
        assert found.entity.name == "after"


async def test_a_watch_without_etcd_raises_in_the_end(
    grid_namespace: str, caplog: pytest.LogCaptureFixture
) -> None:
    with Etcd() as etcd, caplog.at_level(logging.CRITICAL):
        async with (
            grid.Client(grid_namespace, etcd=etcd.endpoint) as client,
            client.watch("peer", patience=0.5) as events,
        ):
            waiting = asyncio.create_task(anext(events))
            await client.query("peer")
            etcd.kill()
            with pytest.raises(EtcdUnavailable):
                await asyncio.wait_for(waiting, 10)


async def test_ten_thousand_names_are_found(
    grid_servers: Servers, grid_client: grid.Client
) -> None:
    grid_server = grid_servers(lease=60)  # one turn of a busy loop must not cost the lease
    await grid_server.start()
    await asyncio.gather(*(grid_server.open_mailbox(f"m{i}") for i in range(10_000)))
    found = await grid_client.query("mailbox")
    assert {one.name for one in found} == {grid_server.name, *(f"m{i}" for i in range(10_000))}
    async with grid_client.watch("mailbox") as events:
        for _ in range(10_001):
            assert isinstance(await following(events), EntityFound)
        await grid_server.stop()
        lost = {(await following(events)).entity.name for _ in range(10_001)}
    assert lost == {one.name for one in found}
