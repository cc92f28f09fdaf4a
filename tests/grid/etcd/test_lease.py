"""Leases: kept alive, lost, revoked, and over by the clock alone."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from grid.deadline import now
from grid.embedded import Etcd
from grid.errors import LeaseLost
from grid.etcd import EtcdClient, EtcdConfig, Lease, api_pb2
from grid.testing import FaultProxy, wait_until
from tests.grid.etcd.etcd_kit import cluster, connect, etcd_and_client


async def lost(lease: Lease, timeout: float = 5) -> str:
    async with asyncio.timeout(timeout):
        return await lease.wait_lost()


async def revoke_behind_its_back(client: EtcdClient, lease: Lease) -> None:
    await client._calls.call("Lease/LeaseRevoke", api_pb2.LeaseRevokeRequest(ID=lease.id))


async def test_a_lease_outlives_its_ttl() -> None:
    async with etcd_and_client() as (_, client):
        lease = await client.open_lease(1)
        assert lease.ttl == 1
        assert lease.valid
        await client.put("a", b"1", lease=lease.id)
        first = lease.deadline
        await wait_until(lambda: lease.deadline > first + 1.5, "several pings", timeout=4)
        assert lease.valid
        assert await client.get("a") is not None
        assert "valid for" in repr(lease)


async def test_the_deadline_is_before_etcds() -> None:
    async with etcd_and_client() as (_, client):
        before = now()
        lease = await client.open_lease(10)
        assert before + 9 <= lease.deadline <= now() + 9


async def test_revoking_takes_the_keys_along() -> None:
    async with etcd_and_client() as (_, client):
        lease = await client.open_lease(5)
        await client.put("a", b"1", lease=lease.id)
        await lease.revoke()
        await lease.revoke()
        assert not lease.valid
        assert await client.get("a") is None
        assert await lost(lease) == "revoked"
        with pytest.raises(LeaseLost):
            await client.put("a", b"1", lease=lease.id)


async def test_an_abandoned_lease_ends_by_itself() -> None:
    async with etcd_and_client() as (_, client):
        lease = await client.open_lease(1)
        await client.put("a", b"1", lease=lease.id)
        await lease.abandon()
        assert not lease.valid
        assert await client.get("a") is not None

        async def gone() -> bool:
            return await client.get("a") is None

        await wait_until(gone, "the key to go with its lease")


async def test_a_lease_revoked_by_another_is_lost() -> None:
    async with etcd_and_client() as (etcd, client), connect(etcd.endpoint) as other:
        lease = await client.open_lease(1)
        waiting = [asyncio.create_task(lost(lease)) for _ in range(2)]
        await revoke_behind_its_back(other, lease)
        assert await asyncio.gather(*waiting) == ["etcd does not have it any more"] * 2
        assert not lease.valid
        await lease.revoke()


async def test_closing_the_client_ends_its_leases() -> None:
    async with etcd_and_client() as (_, client):
        lease = await client.open_lease(5)
        await client.close()
        assert await lost(lease) == "the client was closed"
        assert not lease.valid
        await lease.revoke()


async def test_a_blackhole_ends_the_lease_before_etcd_does() -> None:
    async with (
        Etcd() as etcd,
        FaultProxy(etcd.endpoint) as proxy,
        connect(proxy.endpoint) as client,
        connect(etcd.endpoint) as other,
    ):
        lease = await client.open_lease(2)
        await client.put("a", b"1", lease=lease.id)
        proxy.blackhole()
        assert "not confirmed" in await lost(lease)
        assert not lease.valid
        assert now() >= lease.deadline
        assert await other.get("a") is not None


async def test_valid_needs_no_loop() -> None:
    async with etcd_and_client() as (_, client):
        lease = await client.open_lease(1)
        deadline = lease.deadline
        while now() < deadline:
            assert lease.valid
            time.sleep(0.01)  # noqa: ASYNC251  # the stall is what is tested
        assert not lease.valid
        assert "past its deadline" in repr(lease)
        assert "stalled" in await lost(lease)


async def test_another_endpoint_keeps_the_lease() -> None:
    async with (
        Etcd() as etcd,
        FaultProxy(etcd.endpoint) as proxy,
        connect(proxy.endpoint, etcd.endpoint) as client,
    ):
        lease = await client.open_lease(2)
        proxy.blackhole()
        first = lease.deadline
        await wait_until(lambda: lease.deadline > first + 2, "pings by the other way")
        assert lease.valid


async def test_a_short_cut_is_survived() -> None:
    async with (
        Etcd() as etcd,
        FaultProxy(etcd.endpoint) as proxy,
        connect(proxy.endpoint) as client,
    ):
        lease = await client.open_lease(3)
        first = lease.deadline
        proxy.cut()
        await wait_until(lambda: proxy.accepted > 1, "a new attempt")
        proxy.heal()
        await wait_until(lambda: lease.deadline > first, "a confirmed ping")
        assert lease.valid


@pytest.mark.parametrize(("ttl", "each_way"), [(2, 0.3), (5, 0.9)])
async def test_slow_answers_are_answers(ttl: float, each_way: float) -> None:
    async with (
        Etcd() as etcd,
        FaultProxy(etcd.endpoint) as proxy,
        connect(proxy.endpoint) as client,
    ):
        lease = await client.open_lease(ttl)
        proxy.delay(each_way)
        first = lease.deadline
        await wait_until(lambda: lease.deadline > first + ttl / 2, "pings", timeout=2 * ttl)
        assert lease.valid


async def test_a_lease_survives_the_leader() -> None:
    async with cluster(3) as members, connect(*(one.endpoint for one in members)) as client:
        lease = await client.open_lease(5)
        await client.put("a", b"1", lease=lease.id)
        await asyncio.to_thread(members[0].kill)
        first = lease.deadline
        await wait_until(lambda: lease.deadline > first, "a ping after the failover")
        assert lease.valid


async def test_a_restart_within_the_ttl_is_survived() -> None:
    async with etcd_and_client() as (etcd, client):
        lease = await client.open_lease(3)
        await client.put("a", b"1", lease=lease.id)
        await asyncio.to_thread(etcd.kill)
        await asyncio.to_thread(etcd.start)
        first = lease.deadline
        await wait_until(lambda: lease.deadline > first, "a ping after the restart")
        assert await client.get("a") is not None


async def test_cancelling_waiters_changes_nothing() -> None:
    async with etcd_and_client() as (_, client):
        lease = await client.open_lease(5)
        with pytest.raises(TimeoutError):
            await lost(lease, 0.05)
        assert lease.valid


@pytest.mark.parametrize("ttl", [0, -1, float("nan"), float("inf")])
async def test_a_ttl_must_be_above_zero(ttl: Any) -> None:
    async with EtcdClient(EtcdConfig.parse("127.0.0.1:1")) as client:
        with pytest.raises(ValueError, match="ttl"):
            await client.open_lease(ttl)
