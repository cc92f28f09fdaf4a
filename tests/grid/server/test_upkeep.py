"""A peer notices names that are deleted, waits for its own name, and shows its limits."""

import asyncio
import contextlib
import logging
import resource
from collections.abc import Callable

import pytest

import grid
from grid.embedded import Etcd
from grid.errors import AlreadyRegistered, LeaseLost, UnknownMailbox
from grid.etcd import EtcdClient, EtcdConfig
from grid.registry.names import address_lock_key
from grid.testing import wait_until
from grid.wire_pb2 import EchoMsg
from tests.grid.server.lease_kit import define_holder, lease

__all__ = ["lease"]

Servers = Callable[..., grid.Server]


async def test_an_actor_whose_name_is_deleted_ends(
    grid_server: grid.Server, grid_client: grid.Client, caplog: pytest.LogCaptureFixture
) -> None:
    reasons = define_holder(grid_server)
    outside = await grid_server.open_mailbox("outside")
    for kind in ("actor", "mailbox"):
        await grid_client.start_actor("hold", name=kind)
    await grid_client.start_actor("hold", name="other")
    prefix = grid_client.namespace
    with caplog.at_level(logging.CRITICAL):
        await grid_client._etcd.delete(f"{prefix}.actor.actor")
        await grid_client._etcd.delete(f"{prefix}.mailbox.mailbox")
        await grid_client._etcd.delete(f"{prefix}.mailbox.outside")
        await wait_until(lambda: len(reasons) == 2, "both actors were cancelled")
        assert all(isinstance(reason, LeaseLost) for reason in reasons)
        with pytest.raises(LeaseLost, match="deleted"):
            await asyncio.wait_for(outside.receive(), 10)

    runner = grid_server._started().runner
    await wait_until(lambda: runner.names() == ["other"], "both actors have ended")
    assert [one.name for one in await grid_client.query("actor")] == ["other"]
    await grid_client.start_actor("hold", name="actor")
    with pytest.raises(UnknownMailbox):
        await grid_client.request("outside", EchoMsg(), timeout=1.0)
    for name in ("actor", "other"):  # or the peer would wait for them when it stops
        await grid_client.stop_actor(name, grace=0)


@pytest.mark.parametrize("kind", ["peer", "mailbox"])
async def test_a_peer_whose_own_name_is_deleted_joins_again(
    grid_server: grid.Server,
    grid_client: grid.Client,
    caplog: pytest.LogCaptureFixture,
    kind: str,
) -> None:
    (before,) = await grid_client.query("peer")
    with caplog.at_level(logging.CRITICAL):
        await grid_client._etcd.delete(f"{grid_client.namespace}.{kind}.{before.name}")

        async def back() -> bool:
            found = await grid_client.query("peer")
            return bool(found) and found[0].epoch > before.epoch

        await wait_until(back, "the peer has joined again")
    await grid_client.wait_until_serving(before.name)


async def test_a_lock_of_an_address_that_is_deleted_is_put_back(
    grid_server: grid.Server,
    grid_client: grid.Client,
    caplog: pytest.LogCaptureFixture,
) -> None:
    key = address_lock_key(grid_server.address)
    epoch = (await grid_client.query("peer"))[0].epoch
    with caplog.at_level(logging.CRITICAL):
        await grid_client._etcd.delete(key)

        async def there() -> bool:
            return await grid_client._etcd.get(key) is not None

        await wait_until(there, "the lock is there again")
    assert (await grid_client.query("peer"))[0].epoch == epoch  # it kept its registration
    await grid_server.stop()
    assert await grid_client._etcd.get(key) is None


async def test_a_peer_whose_address_another_process_has_joins_again(
    grid_server: grid.Server,
    grid_client: grid.Client,
    caplog: pytest.LogCaptureFixture,
) -> None:
    key = address_lock_key(grid_server.address)
    (before,) = await grid_client.query("peer")
    with caplog.at_level(logging.CRITICAL):
        other = await grid_client._etcd.open_lease(20)
        await grid_client._etcd.put(key, b"", lease=other.id)

        async def left() -> bool:
            return not await grid_client.query("peer")

        await wait_until(left, "the peer has left its names")
        await other.revoke()

        async def back() -> bool:
            found = await grid_client.query("peer")
            return bool(found) and found[0].epoch > before.epoch

        await wait_until(back, "the peer has joined again")
    await grid_client.wait_until_serving(before.name)


async def test_names_that_come_and_go_are_not_taken_for_deleted(
    grid_server: grid.Server, grid_client: grid.Client, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR):
        until = asyncio.get_running_loop().time() + 3
        while asyncio.get_running_loop().time() < until:
            opened = [await grid_server.open_mailbox(f"m{i}") for i in range(20)]
            await asyncio.gather(*(one.close() for one in opened))
    assert not caplog.records


async def test_the_same_name_at_a_new_address_waits_for_the_old_lease(
    grid_servers: Servers, grid_etcd: Etcd, grid_namespace: str
) -> None:
    async with EtcdClient(EtcdConfig.parse(grid_etcd.endpoint)) as etcd:
        former = await etcd.open_lease(3)
        await etcd.put(f"{grid_namespace}.peer.first", b"{}", lease=former.id)
        starting = asyncio.create_task(grid_servers(name="first").start())
        await asyncio.wait([starting], timeout=1)
        assert not starting.done()
        await former.revoke()
        await asyncio.wait_for(starting, 10)


async def test_a_name_that_stays_taken_is_told(grid_servers: Servers) -> None:
    first = grid_servers(name="first")
    await first.start()
    assert first.name == "first"
    began = asyncio.get_running_loop().time()
    with pytest.raises(AlreadyRegistered, match="held by peer 'first'"):
        await grid_servers(name="first", lease=2.0).start()
    assert 3.5 < asyncio.get_running_loop().time() - began < 8


async def test_without_a_free_descriptor_a_peer_is_not_healthy(
    grid_server: grid.Server, grid_client: grid.Client, caplog: pytest.LogCaptureFixture
) -> None:
    assert await grid_client.check(grid_server.name) == "SERVING"
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)

    async def says(status: str) -> bool:
        return await grid_client.check(grid_server.name) == status

    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    try:
        await wait_until(lambda: says("NOT_SERVING"), "it says so")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert "no free file descriptor" in caplog.text
    await wait_until(lambda: says("SERVING"), "it is well again")


async def test_thousands_of_starts_at_once_wait_for_their_turn(
    grid_servers: Servers, grid_etcd: Etcd, grid_namespace: str
) -> None:
    server = grid_servers(lease=20.0)

    @server.actor("hold")
    async def holds(ctx: grid.ActorContext) -> None:
        await ctx.stopping.wait()

    await server.start()
    async with contextlib.AsyncExitStack() as stack:
        clients = [
            await stack.enter_async_context(grid.Client(grid_namespace, etcd=grid_etcd.endpoint))
            for _ in range(8)  # one by itself does not fill the mailbox of the peer
        ]
        starts = [
            client.start_actor("hold", name=f"h{one}-{number}", timeout=60)
            for one, client in enumerate(clients)
            for number in range(300)
        ]
        assert set(await asyncio.gather(*starts)) == {server.name}
