"""Watches: nothing lost and nothing twice, whatever happens to the connection."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from grid.embedded import Etcd
from grid.embedded.ports import free_ports
from grid.errors import EtcdUnavailable
from grid.etcd import EtcdClient, EtcdConfig, Watch, WatchBatch, _channel, api_pb2
from grid.testing import FaultProxy, wait_until
from tests.grid.etcd.etcd_kit import cluster, connect, etcd_and_client, flatten, follow


async def fill(client: EtcdClient, count: int, size: int = 100) -> int:
    """Write that many keys under "k/" in few transactions; the last revision."""
    revision = 0
    for start in range(0, count, 100):
        puts = [
            api_pb2.RequestOp(
                request_put=api_pb2.PutRequest(key=f"k/{i:06}".encode(), value=b"x" * size)
            )
            for i in range(start, min(start + 100, count))
        ]
        response: Any = await client.txn(api_pb2.TxnRequest(success=puts))
        revision = response.header.revision
    return revision


async def compact(client: EtcdClient, revision: int) -> None:
    await client._calls.call("KV/Compact", api_pb2.CompactionRequest(revision=revision))


async def live(watch: Watch) -> asyncio.Task[WatchBatch]:
    """A reader that waits on a connected watch."""
    reader = asyncio.create_task(anext(watch))
    await wait_until(lambda: "live" in repr(watch), "the watch to be live")
    return reader


async def test_a_snapshot_then_changes() -> None:
    async with etcd_and_client() as (_, client), client.watch("a/") as watch:
        await client.put("a/1", b"1")
        await client.put("b", b"")
        first = await anext(watch)
        assert first.snapshot
        assert flatten([first]) == [("a/1", b"1")]
        await client.put("a/2", b"2")
        await client.put("a/1", b"3")
        revision = await client.put("a/1", b"4")
        await client.delete("a/1")
        changes = await follow(watch, revision + 1, {"a/1": b"1"})
        assert flatten(changes) == [("a/2", b"2"), ("a/1", b"3"), ("a/1", b"4"), ("a/1", None)]
        assert list(watch.current) == ["a/2"]
        assert not any(batch.snapshot for batch in changes)


async def test_one_key_exactly() -> None:
    async with etcd_and_client() as (_, client), client.watch("a", exact=True) as watch:
        await client.put("a", b"1")
        await client.put("ab", b"")
        assert flatten([await anext(watch)]) == [("a", b"1")]
        await client.put("ab", b"")
        await client.delete("a")
        assert flatten([await anext(watch)]) == [("a", None)]


async def test_an_ended_lease_is_seen_as_deletes() -> None:
    async with etcd_and_client() as (_, client), client.watch("a") as watch:
        lease = await client.open_lease(5)
        await client.put("a1", b"", lease=lease.id)
        await client.put("a2", b"", lease=lease.id)
        await anext(watch)
        await lease.revoke()
        assert flatten([await anext(watch)]) == [("a1", None), ("a2", None)]


async def test_a_cut_connection_loses_nothing() -> None:
    async with (
        Etcd() as etcd,
        FaultProxy(etcd.endpoint) as proxy,
        connect(etcd.endpoint) as writer,
        connect(proxy.endpoint) as client,
        client.watch("k") as watch,
    ):
        kept: dict[str, bytes] = {}
        await follow(watch, 0, kept)
        for i in range(6):
            reader = await live(watch)
            proxy.cut()
            await writer.put("k1", b"%d" % i)
            revision = await writer.put("k2", b"")
            await writer.delete("k2")
            proxy.heal()
            first = await reader
            rest = [] if first.revision > revision else await _rest(watch, revision + 1)
            assert flatten([first, *rest]) == [("k1", b"%d" % i), ("k2", b""), ("k2", None)]


async def _rest(watch: Watch, until: int) -> list[WatchBatch]:
    batches = [await anext(watch)]
    while batches[-1].revision < until:
        batches.append(await anext(watch))
    return batches


async def test_deletes_survive_a_crash_and_compaction() -> None:
    async with Etcd() as etcd, connect(etcd.endpoint) as client, client.watch("k") as watch:
        for key in ("k-gone", "k-again", "k-same"):
            await client.put(key, b"old")
        kept: dict[str, bytes] = {}
        await follow(watch, 1, kept)
        await follow(watch, await client.put("k-new", b"old"), kept)
        # Behind the watch's back: nobody reads it while this happens.
        await asyncio.to_thread(etcd.kill)
        await asyncio.to_thread(etcd.start)
        await client.delete("k-gone")
        await client.delete("k-again")
        await client.put("k-again", b"new")
        revision = await client.put("k-new", b"new")
        await compact(client, revision)
        batches = await follow(watch, revision, kept)
        assert flatten(batches) == [
            ("k-again", None),
            ("k-gone", None),
            ("k-again", b"new"),
            ("k-new", b"new"),
        ]
        assert not batches[0].snapshot
        await follow(watch, await client.put("k-more", b""), kept)


async def test_a_store_that_lost_its_data_is_listed_again() -> None:
    (port,) = free_ports(1)
    async with connect(f"127.0.0.1:{port}") as client, client.watch("k") as watch:
        kept: dict[str, bytes] = {}
        async with Etcd(port=port):
            await client.put("k1", b"")
            await follow(watch, await client.put("k2", b""), kept)
            reader = await live(watch)
        async with Etcd(port=port):
            assert flatten([await reader]) == [("k1", None), ("k2", None)]
            await client.put("k3", b"")
            assert flatten([await anext(watch)]) == [("k3", b"")]


async def test_another_member_goes_on() -> None:
    async with (
        cluster(3) as members,
        connect(*(one.endpoint for one in members)) as client,
        client.watch("k") as watch,
    ):
        await client.put("k1", b"1")
        await anext(watch)
        reader = await live(watch)
        await asyncio.to_thread(members[0].kill)
        await client.put("k1", b"2")
        assert flatten([await reader]) == [("k1", b"2")]


async def test_a_blackhole_is_noticed_when_a_lease_is_kept() -> None:
    async with (
        Etcd() as etcd,
        FaultProxy(etcd.endpoint) as proxy,
        connect(proxy.endpoint, etcd.endpoint) as client,
        client.watch("k") as watch,
    ):
        await client.open_lease(2)
        await anext(watch)
        reader = await live(watch)
        proxy.blackhole()
        # Without a look at tasks: the client around it has new ones once it goes elsewhere.
        async with EtcdClient(EtcdConfig((etcd.endpoint,))) as other:
            await other.put("k", b"1")
        async with asyncio.timeout(4):
            assert flatten([await reader]) == [("k", b"1")]


async def test_a_blackhole_is_noticed_by_pings(monkeypatch: pytest.MonkeyPatch) -> None:
    quick = {"grpc.keepalive_time_ms": 1_000, "grpc.http2.ping_timeout_ms": 500}
    monkeypatch.setattr(_channel, "_OPTIONS", tuple({**dict(_channel._OPTIONS), **quick}.items()))
    async with (
        Etcd() as etcd,
        FaultProxy(etcd.endpoint) as proxy,
        connect(proxy.endpoint, etcd.endpoint) as client,
        client.watch("k") as watch,
    ):
        await anext(watch)
        reader = await live(watch)
        proxy.blackhole()
        # Without a look at tasks: the client around it has new ones once it goes elsewhere.
        async with EtcdClient(EtcdConfig((etcd.endpoint,))) as other:
            await other.put("k", b"1")
        async with asyncio.timeout(6):
            assert flatten([await reader]) == [("k", b"1")]


async def test_patience_ends_and_the_watch_goes_on_after() -> None:
    async with etcd_and_client() as (etcd, client), client.watch("k", patience=0.4) as watch:
        await anext(watch)
        reader = await live(watch)
        await asyncio.to_thread(etcd.kill)
        began = time.monotonic()
        with pytest.raises(EtcdUnavailable, match=r"0\.4 s"):
            await reader
        assert time.monotonic() - began < 5
        await asyncio.to_thread(etcd.start)
        await client.put("k", b"1")
        assert flatten([await anext(watch)]) == [("k", b"1")]


async def test_an_absent_etcd_raises() -> None:
    async with connect(f"127.0.0.1:{free_ports(1)[0]}") as client:
        with pytest.raises(EtcdUnavailable):
            await anext(client.watch("k", patience=0.2))


@pytest.mark.parametrize("by_client", [False, True])
async def test_closing_ends_the_iteration(by_client: bool) -> None:
    async with etcd_and_client() as (_, client):
        watch = client.watch("k")
        await anext(watch)
        reader = await live(watch)
        await (client if by_client else watch).close()
        with pytest.raises(StopAsyncIteration):
            await reader
        with pytest.raises(StopAsyncIteration):
            await anext(watch)


@pytest.mark.parametrize("by_client", [False, True])
async def test_closing_ends_a_watch_that_connects(by_client: bool) -> None:
    async with (
        Etcd() as etcd,
        FaultProxy(etcd.endpoint) as proxy,
        connect(proxy.endpoint) as client,
    ):
        proxy.blackhole()
        watch = client.watch("k")
        reader = asyncio.create_task(anext(watch))
        await wait_until(lambda: proxy.accepted, "a connection")
        await (client if by_client else watch).close()
        with pytest.raises(StopAsyncIteration):
            async with asyncio.timeout(10):
                await reader


async def test_a_cancelled_reader_loses_nothing() -> None:
    async with etcd_and_client() as (_, client), client.watch("k") as watch:
        kept: dict[str, bytes] = {}
        await follow(watch, 0, kept)
        for i in range(15):
            reader = asyncio.create_task(anext(watch))
            for _ in range(i):
                await asyncio.sleep(0.001)
            reader.cancel()
            await asyncio.wait([reader])
            assert reader.cancelled()
            await follow(watch, await client.put("k", b"%d" % i), kept)


async def test_a_cancelled_first_list_is_made_again() -> None:
    async with etcd_and_client() as (_, client):
        await client.put("k", b"")
        for turns in range(12):
            async with client.watch("k") as watch:
                reader = asyncio.create_task(anext(watch))
                for _ in range(turns):
                    await asyncio.sleep(0)
                if not reader.cancel():  # the list came first
                    assert reader.result().snapshot
                    continue
                await asyncio.wait([reader])
                assert reader.cancelled()
                assert (await anext(watch)).snapshot


async def test_ten_thousand_keys() -> None:
    async with etcd_and_client() as (_, client):
        revision = await fill(client, 10_000)
        async with client.watch("k/") as watch:
            worked = time.process_time()  # other processes' load counts for a part only
            batch = await anext(watch)
            assert time.process_time() - worked < 2
            assert len(batch.changes) == 10_000
            assert batch.revision == revision


async def test_responses_in_fragments_are_one_batch() -> None:
    async with etcd_and_client() as (_, client), client.watch("k/") as watch:
        kept: dict[str, bytes] = {}
        await follow(watch, 0, kept)
        # More than etcd puts into one fragment, in few revisions.
        revision = await fill(client, 600, size=12_000)
        batches = await follow(watch, revision, kept)
        assert sum(len(batch.changes) for batch in batches) == 600
        assert len(kept) == 600
