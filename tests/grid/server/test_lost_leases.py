"""A peer that loses its lease cancels, fences itself, and comes back or exits."""

import asyncio
import logging
from collections.abc import Callable

import pytest

import grid
from grid.embedded import Etcd
from grid.errors import LeaseLost
from grid.testing import wait_until
from tests.grid.server.lease_kit import define_holder, lease, revoke

__all__ = ["lease"]

Servers = Callable[..., grid.Server]


async def test_a_peer_that_lost_its_lease_cancels_and_joins_again(
    grid_server: grid.Server, grid_client: grid.Client, caplog: pytest.LogCaptureFixture
) -> None:
    reasons = define_holder(grid_server)
    await grid_client.start_actor("hold")
    outside = await grid_server.open_mailbox("outside")
    (before,) = await grid_client.query("peer")
    with caplog.at_level(logging.CRITICAL):
        await revoke(grid_client, before.lease)
        await wait_until(lambda: reasons, "the actor was cancelled")
        with pytest.raises(LeaseLost):
            await outside.receive()

        async def back() -> bool:
            return bool(await grid_client.query("peer"))

        await wait_until(back, "the peer is back")
    assert isinstance(reasons[0], LeaseLost)
    (after,) = await grid_client.query("peer")
    assert after.name == before.name
    assert after.epoch > before.epoch
    assert not await grid_client.query("actor")
    await grid_client.start_actor("hold")
    async with grid_server.open_mailbox("outside"):
        pass
    await grid_client.stop_actor("hold", grace=0)  # or the peer would wait for it when it stops


async def test_a_peer_may_exit_when_its_lease_is_lost(
    grid_servers: Servers, grid_client: grid.Client, caplog: pytest.LogCaptureFixture
) -> None:
    server = grid_servers(on_lease_lost="exit")
    with caplog.at_level(logging.CRITICAL):
        serving = asyncio.create_task(server.serve())
        await wait_until(lambda: str(server.state) == "serving", "it serves")
        (peer,) = await grid_client.query("peer")
        await revoke(grid_client, peer.lease)
        with pytest.raises(LeaseLost):
            await asyncio.wait_for(serving, 5)


async def test_without_etcd_a_peer_fences_itself_and_comes_back_with_it(
    grid_namespace: str, caplog: pytest.LogCaptureFixture
) -> None:
    with Etcd() as etcd, caplog.at_level(logging.CRITICAL):
        server = grid.Server(grid_namespace, etcd=etcd.endpoint, lease=2.0)
        cancelled = asyncio.Event()

        @server.actor("hold")
        async def holds(ctx: grid.ActorContext) -> None:
            try:
                await asyncio.sleep(3600)
            finally:
                cancelled.set()

        async with server:
            await server.client.start_actor("hold")
            etcd.kill()
            await asyncio.wait_for(cancelled.wait(), 3)
            assert str(server.state) == "fenced"
            etcd.start()
            await wait_until(lambda: str(server.state) == "serving", "it is back", timeout=15)
            await server.client.start_actor("hold")


async def test_a_peer_is_back_soon_after_an_outage_longer_than_its_lease(
    grid_namespace: str, caplog: pytest.LogCaptureFixture
) -> None:
    with Etcd() as etcd, caplog.at_level(logging.CRITICAL):
        server = grid.Server(grid_namespace, etcd=etcd.endpoint, lease=6.0)

        @server.actor("leader")
        async def leads(ctx: grid.ActorContext) -> None:
            await ctx.stopping.wait()

        async with server, grid.Client(grid_namespace, etcd=etcd.endpoint) as client:
            etcd.kill()
            await wait_until(lambda: str(server.state) == "fenced", "it is fenced", timeout=10)
            await asyncio.sleep(2)  # etcd stays away past the lease, as peers see it
            etcd.start()

            async def leader() -> bool:
                # etcd gives the former lease all of its time again: nobody waits for that.
                return [one.name for one in await client.query("actor")] == ["leader"]

            await wait_until(lambda: str(server.state) == "serving", "it serves", timeout=5)
            await wait_until(leader, "the leader is back", timeout=4)
