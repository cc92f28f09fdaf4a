"""etcd loses its majority, its data or its address, and leases outlive their owner's wish."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from grid.embedded import Etcd
from grid.embedded.ports import free_ports
from grid.errors import EtcdUnavailable
from grid.etcd import EtcdClient, EtcdConfig, Snapshot, Watch, WatchBatch, _channel
from grid.testing import FaultProxy, wait_until
from tests.grid.etcd.etcd_kit import cluster, connect, etcd_and_client, flatten, follow


async def live(watch: Watch) -> asyncio.Task[WatchBatch]:
    """A reader that waits on a connected watch."""
    reader = asyncio.create_task(anext(watch))
    await wait_until(lambda: "live" in repr(watch), "the watch to be live")
    return reader


# -- the majority ---------------------------------------------------------------


async def test_a_watch_waits_for_its_patience_while_there_is_no_majority() -> None:
    async with (
        cluster(3) as members,
        connect(*(one.endpoint for one in members)) as client,
        client.watch("k", patience=3) as watch,
    ):
        await client.put("k", b"1")
        await anext(watch)
        reader = await live(watch)
        began = time.monotonic()
        await asyncio.gather(*(asyncio.to_thread(one.kill) for one in members[:2]))
        with pytest.raises(EtcdUnavailable, match="3 s"):
            await reader
        assert time.monotonic() - began >= 2.9
        following = asyncio.create_task(anext(watch))
        await asyncio.gather(*(asyncio.to_thread(one.start) for one in members[:2]))
        await client.put("k", b"2")
        assert flatten([await following]) == [("k", b"2")]


# -- the data -------------------------------------------------------------------


async def test_a_store_that_lost_its_data_and_has_grown_since_is_listed_again() -> None:
    (port,) = free_ports(1)
    direct = EtcdConfig((f"127.0.0.1:{port}",))
    async with (
        FaultProxy(f"127.0.0.1:{port}") as proxy,
        connect(proxy.endpoint) as client,
        client.watch("k") as watch,
    ):
        kept: dict[str, bytes] = {}
        async with Etcd(port=port):
            await client.put("k1", b"old")
            await follow(watch, await client.put("k2", b"old"), kept)
            reader = await live(watch)
            proxy.cut()
        async with Etcd(port=port), EtcdClient(direct) as writer:
            await writer.put("k3", b"new")
            for _ in range(10):  # more revisions than the watch has seen
                await writer.put("other", b"")
            proxy.heal()
            async with asyncio.timeout(10):
                assert flatten([await reader]) == [("k1", None), ("k2", None), ("k3", b"new")]
            await writer.put("k4", b"")
            assert flatten([await anext(watch)]) == [("k4", b"")]


@pytest.mark.parametrize("known", [0, 1, 3])
async def test_the_same_store_is_not_listed_again(
    known: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with (
        Etcd() as etcd,
        FaultProxy(etcd.endpoint) as proxy,
        connect(etcd.endpoint) as writer,
        connect(proxy.endpoint) as client,
        client.watch("k") as watch,
    ):
        for number in range(known):
            await writer.put(f"k{number}", b"")
        await anext(watch)
        lists: list[Snapshot] = []
        relist = watch._view.relist

        def noted(snapshot: Snapshot) -> WatchBatch | None:
            lists.append(snapshot)
            return relist(snapshot)

        monkeypatch.setattr(watch._view, "relist", noted)
        reader = await live(watch)
        proxy.cut()
        await writer.put("elsewhere", b"")
        await writer.put("k", b"")
        proxy.heal()
        assert flatten([await reader]) == [("k", b"")]
        assert not lists


# -- the address ----------------------------------------------------------------


@pytest.fixture
def old_address(request: pytest.FixtureRequest) -> Iterator[Callable[[int], None]]:
    """Put something at the port of the address that etcd has left, by the parameter."""
    taken: list[socket.socket] = []

    def leave(port: int) -> None:
        if request.param == "silent":
            one = socket.create_server(("127.0.0.2", port))
            taken.append(one)

    yield leave
    for one in taken:
        one.close()


@pytest.mark.parametrize("old_address", ["refused", "silent"], indirect=True)
async def test_an_etcd_that_moves_within_the_lease_costs_no_lease(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, old_address: Callable[[int], None]
) -> None:
    (port,) = free_ports(1)
    hosts = {"etcd": "127.0.0.2"}

    def target(endpoint: str) -> str:
        name, _, port = endpoint.rpartition(":")
        return f"{hosts.get(name, 'absent.invalid')}:{port}"

    def at(host: str) -> Etcd:
        return Etcd(tmp_path, port, [f"--listen-client-urls=http://{host}:{port}"])

    monkeypatch.setattr(_channel, "_target", target)
    async with connect(f"etcd:{port}") as client:
        async with at("127.0.0.2"):
            lease = await client.open_lease(8)
            revision = await client.put("k", b"1", lease=lease.id)
            watch = client.watch("k")
            await follow(watch, revision)
            reader = await live(watch)
        old_address(port)
        del hosts["etcd"]  # the name is gone for a while
        failed = asyncio.create_task(client.get("k", timeout=1))
        with pytest.raises(EtcdUnavailable):
            await failed
        async with at("127.0.0.3"):
            hosts["etcd"] = "127.0.0.3"
            began = time.monotonic()
            found = await client.get("k")
            assert time.monotonic() - began < 4
            assert found is not None
            assert found.create_revision == revision
            first = lease.deadline
            await wait_until(lambda: lease.deadline > first, "a ping at the new address")
            await client.put("k", b"2", lease=lease.id)
            assert flatten([await reader]) == [("k", b"2")]
            assert lease.valid
            await watch.close()


# -- leases that etcd did not hear the end of -----------------------------------------


async def test_a_revoke_that_etcd_did_not_hear_is_made_up_for() -> None:
    async with etcd_and_client() as (etcd, client):
        former = await client.open_lease(60)
        await client.put("k", b"", lease=former.id)
        await asyncio.to_thread(etcd.kill)
        await former.revoke(timeout=0.2)
        await asyncio.to_thread(etcd.start)
        await client.open_lease(5)
        assert await client.get("k") is None


async def test_an_abandoned_lease_is_left_to_its_time() -> None:
    async with etcd_and_client() as (_, client):
        former = await client.open_lease(60)
        await client.put("k", b"", lease=former.id)
        await former.abandon()
        await client.open_lease(5)
        assert await client.get("k") is not None
