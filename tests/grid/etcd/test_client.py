"""Calls of `EtcdClient` against real etcd processes."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time

import pytest

from grid.embedded import Etcd
from grid.embedded.ports import free_ports
from grid.errors import ClientClosed, EtcdError, EtcdUnavailable, LeaseLost
from grid.etcd import EtcdClient, EtcdConfig, api_pb2
from grid.etcd import _client as client_module
from grid.testing import FaultProxy, wait_until
from tests.grid.etcd.etcd_kit import cluster, connect, etcd_and_client, nothing_left


async def test_keys_are_written_read_and_deleted() -> None:
    async with etcd_and_client() as (_, client):
        revision = await client.put("a/1", b"one")
        found = await client.get("a/1")
        assert found is not None
        assert (found.key, found.value, found.mod_revision, found.lease) == (
            "a/1",
            b"one",
            revision,
            0,
        )
        await client.put("a/2", b"two")
        await client.put("b", b"three")
        snapshot = await client.get_prefix("a/")
        assert [one.key for one in snapshot.items] == ["a/1", "a/2"]
        assert snapshot.revision == revision + 2
        assert len((await client.get_prefix("")).items) == 3
        assert await client.delete("a/1")
        assert not await client.delete("a/1")
        assert await client.get("a/1") is None


async def test_a_transaction_is_etcds_own() -> None:
    compare = api_pb2.Compare(
        key=b"k", target=api_pb2.Compare.CREATE, result=api_pb2.Compare.EQUAL, create_revision=0
    )
    put = api_pb2.RequestOp(request_put=api_pb2.PutRequest(key=b"k", value=b"v"))
    request = api_pb2.TxnRequest(compare=[compare], success=[put])
    async with etcd_and_client() as (_, client):
        assert (await client.txn(request)).succeeded
        assert not (await client.txn(request)).succeeded


async def test_long_lists_come_in_pages_of_one_revision(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "_PAGE", 3)
    async with etcd_and_client() as (_, client):
        for i in range(10):
            await client.put(f"k/{i}", b"")
        snapshot = await client.get_prefix("k/")
        assert [one.key for one in snapshot.items] == [f"k/{i}" for i in range(10)]


async def test_refusals_are_typed() -> None:
    async with etcd_and_client() as (_, client):
        with pytest.raises(LeaseLost):
            await client.put("a", b"", lease=4711)
        with pytest.raises(EtcdError, match="key is not provided"):
            await client.put("", b"")


async def test_status_members_and_ping() -> None:
    async with etcd_and_client() as (etcd, client):
        await client.ping()
        status = await client.status(etcd.endpoint)
        assert status.is_leader
        assert status.version.startswith("3.")
        assert status.db_size > 0
        (member,) = await client.members()
        assert member.id == status.member_id
        with pytest.raises(EtcdUnavailable):
            await client.status(f"127.0.0.1:{free_ports(1)[0]}", timeout=1)


async def test_no_proxy_stands_before_etcd(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "grpc_proxy", "HTTP_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    for name in ("no_proxy", "NO_PROXY", "no_grpc_proxy"):
        monkeypatch.delenv(name, raising=False)
    async with etcd_and_client() as (_, client):
        await client.put("k", b"v")


async def test_an_absent_etcd_is_named() -> None:
    one, other = (f"127.0.0.1:{port}" for port in free_ports(2))
    async with connect(one, other) as client:
        began = time.monotonic()
        with pytest.raises(EtcdUnavailable, match="refused") as caught:
            await client.get("a", timeout=0.3)
        assert time.monotonic() - began < 3
    assert one in str(caught.value)
    assert other in str(caught.value)


async def test_a_closed_client_says_so() -> None:
    async with etcd_and_client() as (_, client):
        await client.put("a", b"")
        await client.close()
        await client.close()
        with pytest.raises(ClientClosed):
            await client.get("a")
        with pytest.raises(ClientClosed):
            client.watch("a")


async def test_closing_ends_calls_that_run() -> None:
    async with Etcd() as etcd, FaultProxy(etcd.endpoint) as proxy, nothing_left():
        client = EtcdClient(EtcdConfig.parse(proxy.endpoint))
        await client.ping()
        proxy.blackhole()
        call = asyncio.create_task(client.get("a"))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        await client.close()
        with pytest.raises(ClientClosed):
            await asyncio.wait_for(call, 10)


async def test_a_cancelled_call_leaves_nothing() -> None:
    async with (
        Etcd() as etcd,
        FaultProxy(etcd.endpoint) as proxy,
        connect(proxy.endpoint) as client,
    ):
        await client.ping()
        proxy.blackhole()
        taken = proxy.taken
        call = asyncio.create_task(client.get("a"))
        await wait_until(lambda: proxy.taken > taken, "the call to be sent")
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        proxy.heal()
        assert await client.get("a") is None


async def test_a_blackholed_endpoint_is_left() -> None:
    async with (
        Etcd() as etcd,
        FaultProxy(etcd.endpoint) as proxy,
        connect(proxy.endpoint, etcd.endpoint, timeout=3) as client,
    ):
        proxy.blackhole()
        began = time.monotonic()
        await client.put("a", b"1")
        assert time.monotonic() - began < 2
        began = time.monotonic()
        await client.put("a", b"2")
        assert time.monotonic() - began < 1


async def test_a_connection_that_died_silently_is_replaced() -> None:
    async with (
        Etcd() as etcd,
        FaultProxy(etcd.endpoint) as proxy,
        connect(proxy.endpoint) as client,
    ):
        await client.ping()
        proxy.blackhole()
        with pytest.raises(EtcdUnavailable):
            await client.get("a", timeout=1.2)
        proxy.heal()
        await client.ping()
        assert proxy.accepted >= 2


async def test_a_restart_is_ridden_out() -> None:
    async with etcd_and_client() as (etcd, client):
        await client.put("a", b"1")
        await asyncio.to_thread(etcd.kill)
        call = asyncio.create_task(client.get("a"))
        await asyncio.to_thread(etcd.start)
        found = await call
        assert found is not None
        assert found.value == b"1"


async def test_any_member_may_go() -> None:
    async with cluster(3) as members:
        endpoints = [one.endpoint for one in members]
        async with connect(*endpoints) as client:
            await client.put("a", b"1")
            statuses = [await client.status(one) for one in endpoints]
            leader = next(i for i, one in enumerate(statuses) if one.is_leader)
            await asyncio.to_thread(members[leader].kill)
            await client.put("a", b"2")
            await asyncio.to_thread(members[leader].start)
            other = (leader + 1) % 3
            await asyncio.to_thread(members[other].kill)
            found = await client.get("a")
            assert found is not None
            assert found.value == b"2"


async def test_without_a_quorum_calls_fail_in_time() -> None:
    async with cluster(3) as members, connect(*(one.endpoint for one in members)) as client:
        await client.put("a", b"1")
        await asyncio.gather(*(asyncio.to_thread(one.kill) for one in members[1:]))
        began = time.monotonic()
        with pytest.raises(EtcdUnavailable):
            await client.put("a", b"2", timeout=1.5)
        assert time.monotonic() - began < 4


def test_importing_the_package_does_not_import_grpc() -> None:
    code = "import sys, grid.etcd; sys.exit('grpc' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
