"""The registry in memory answers as a real etcd does, and serves servers and clients."""

from __future__ import annotations

import asyncio
import random
import time
from typing import Any

import pytest

import grid
from grid.errors import AlreadyRegistered, EtcdError, EtcdUnavailable, GridError, LeaseLost
from grid.etcd import EtcdClient, MemoryRegistry, api_pb2
from grid.testing import wait_until
from tests.grid.etcd.etcd_kit import etcd_and_client, nothing_left
from tests.grid.server.lease_kit import define_holder

_KEYS = (b"a", b"b", b"b/1", b"b/2", b"c")
_RANGES = (b"", b"", b"c", b"\0", b"b0")
_LEASES = (11, 12, 13)
_ROUNDS = 400

# -- as etcd ------------------------------------------------------------------------


class Requests:
    """Random requests to etcd."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self.revision = 1

    def next(self) -> tuple[str, Any]:
        """A method and its request."""
        lease = self._chance.choice(_LEASES)
        return self._chance.choice(
            [
                ("KV/Range", self._range()),
                ("KV/Put", self._put()),
                ("KV/Put", self._put()),
                ("KV/DeleteRange", self._delete()),
                ("KV/Txn", self._transaction(2)),
                ("KV/Txn", self._transaction(2)),
                ("Lease/LeaseGrant", api_pb2.LeaseGrantRequest(ID=lease, TTL=60)),
                ("Lease/LeaseGrant", api_pb2.LeaseGrantRequest(ID=lease, TTL=60)),
                ("Lease/LeaseRevoke", api_pb2.LeaseRevokeRequest(ID=lease)),
                ("Lease/LeaseTimeToLive", api_pb2.LeaseTimeToLiveRequest(ID=lease, keys=True)),
            ]
        )

    def _range(self) -> Any:
        pick: Any = self._chance.choice
        target = pick(api_pb2.RangeRequest.SortTarget.values())
        return api_pb2.RangeRequest(
            key=pick((*_KEYS, b"")),
            range_end=pick(_RANGES),
            limit=0 if target else pick((0, 0, 2)),  # equal ones have no order in etcd
            revision=pick((0, 0, self._chance.randint(1, self.revision), self.revision + 9)),
            sort_target=target,
            sort_order=pick(api_pb2.RangeRequest.SortOrder.values()),
            count_only=pick((False, False, True)),
        )

    def _put(self) -> Any:
        pick = self._chance.choice
        return api_pb2.PutRequest(
            key=pick((*_KEYS, *_KEYS, b"")),
            value=pick((b"", b"x", b"y")),
            lease=pick((0, *_LEASES)),
        )

    def _delete(self) -> Any:
        pick = self._chance.choice
        return api_pb2.DeleteRangeRequest(key=pick(_KEYS), range_end=pick(_RANGES))

    def _compare(self) -> Any:
        pick: Any = self._chance.choice
        compare = api_pb2.Compare(
            result=pick(api_pb2.Compare.CompareResult.values()),
            target=pick(api_pb2.Compare.CompareTarget.values()),
            key=pick(_KEYS),
            range_end=pick((b"", b"", b"c")),
        )
        values = {
            api_pb2.Compare.VERSION: ("version", self._chance.randint(0, 2)),
            api_pb2.Compare.CREATE: ("create_revision", self._chance.randint(0, self.revision)),
            api_pb2.Compare.MOD: ("mod_revision", self._chance.randint(0, self.revision)),
            api_pb2.Compare.VALUE: ("value", pick((b"", b"x", b"y"))),
            api_pb2.Compare.LEASE: ("lease", pick((0, *_LEASES))),
        }
        name, value = values[compare.target]
        setattr(compare, name, value)
        return compare

    def _transaction(self, depth: int) -> Any:
        request = api_pb2.TxnRequest()
        for _ in range(self._chance.randint(0, 2)):
            request.compare.append(self._compare())
        for branch in (request.success, request.failure):
            # Without deletes: etcd refuses those that overlap a put, and the grid has none.
            for _ in range(self._chance.randint(0, 2)):
                operation = branch.add()
                kind = self._chance.randint(0, 2 if depth else 1)
                if kind == 0:
                    operation.request_put.CopyFrom(self._put())
                elif kind == 1:
                    operation.request_range.key = self._chance.choice(_KEYS)
                else:
                    operation.request_txn.CopyFrom(self._transaction(depth - 1))
        return request


async def outcome(client: EtcdClient, method: str, request: Any) -> Any:
    """The response, without what differs from one cluster to another, or the error's type."""
    try:
        response = await client._calls.call(method, request)
    except GridError as error:
        return type(error)
    revision = response.header.revision
    _clear(response)
    if isinstance(request, api_pb2.RangeRequest) and request.sort_target:
        response.kvs.sort(key=lambda one: (_value_of(one, request.sort_target), one.key))
    return revision, response


def _value_of(kv: Any, target: int) -> Any:
    return (kv.key, kv.version, kv.create_revision, kv.mod_revision, kv.value)[target]


def _clear(response: Any) -> None:
    response.ClearField("header")
    if isinstance(response, api_pb2.LeaseTimeToLiveResponse):
        response.TTL = min(response.TTL, 1)
        response.keys.sort()  # etcd has them in no order
    if isinstance(response, api_pb2.TxnResponse):
        for one in response.responses:
            _clear(getattr(one, one.WhichOneof("response")))


async def events(client: EtcdClient, count: int) -> list[Any]:
    """The first changes since there are revisions."""
    stream = await client._calls.stream("Watch/Watch", 10)
    try:
        create = api_pb2.WatchCreateRequest(key=b"\0", range_end=b"\0", start_revision=1)
        await stream.send(api_pb2.WatchRequest(create_request=create))
        found: list[Any] = []
        while len(found) < count:
            found.extend((await asyncio.wait_for(stream.receive(), 10)).events)
    finally:
        await stream.close()
    for one in found:
        one.ClearField("prev_kv")
    return found


async def test_random_requests_are_answered_as_by_a_real_etcd() -> None:
    seed = random.randrange(1_000_000)
    requests = Requests(random.Random(seed))
    registry = MemoryRegistry()
    async with etcd_and_client() as (_, real), EtcdClient(registry) as memory:
        for turn in range(_ROUNDS):
            method, request = requests.next()
            wanted = await outcome(real, method, request)
            got = await outcome(memory, method, request)
            assert got == wanted, f"seed {seed}, turn {turn}: {method} {request}"
            if isinstance(wanted, tuple):
                requests.revision = max(requests.revision, wanted[0])
        every = registry._shared.keys.since(0) or []
        assert await events(memory, len(every)) == await events(real, len(every))


# -- as a registry ------------------------------------------------------------------


async def test_what_it_does_not_have_is_refused() -> None:
    async with EtcdClient(MemoryRegistry()) as client:
        with pytest.raises(EtcdError, match="not there in memory"):
            await client._calls.call("Auth/UserList", api_pb2.AuthUserListRequest())


async def test_a_lease_that_is_not_kept_alive_ends_in_time() -> None:
    async with nothing_left(), EtcdClient(MemoryRegistry()) as client:
        lease = await client.open_lease(2)
        await client.put("a", b"", lease=lease.id)
        await lease.abandon()
        began = time.monotonic()
        async with client.watch("a", exact=True) as watch:
            async for _ in watch:  # no other request is made
                if not watch.current:
                    break
        assert time.monotonic() - began > 1
        with pytest.raises(LeaseLost):
            await client.put("a", b"", lease=lease.id)


async def test_only_what_nobody_keeps_alive_expires() -> None:
    registry = MemoryRegistry()
    async with EtcdClient(registry) as client:
        dead, alive = await client.open_lease(60), await client.open_lease(60)
        async with EtcdClient(registry) as other:
            await other.put("b", b"", lease=(await other.open_lease(60)).id)
            await client.put("a", b"", lease=alive.id)
            assert registry.expire() == 0
        assert registry.expire() == 1
        registry.leave()
        assert registry.expire() == 0
        registry.come_back()
        assert await client.get("b") is None
        assert await client.get("a") is not None
        assert dead.valid


async def test_a_registry_that_is_away_fences_its_peers_and_takes_them_back() -> None:
    registry = MemoryRegistry()
    server = grid.Server("n", etcd=registry, lease=2.0)
    reasons = define_holder(server)
    async with server, grid.Client("n", etcd=registry) as client:
        await client.start_actor("hold")
        registry.leave()
        with pytest.raises(EtcdUnavailable):
            await client._etcd.get("a", timeout=0.2)
        await wait_until(lambda: reasons, "the actor is cancelled")
        registry.come_back()
        await wait_until(lambda: str(server.state) == "serving", "it is back")
        # The first client may still ask the peer as it was before, and not know the outcome.
        async with grid.Client("n", etcd=registry) as other:
            await other.start_actor("hold")
            await other.stop_actor("hold", grace=0)


async def test_threads_share_it() -> None:
    registry = MemoryRegistry()
    server = grid.Server("n", etcd=registry)
    define_holder(server)

    def from_a_thread() -> list[str]:
        with grid.sync.Client("n", etcd=registry) as client:
            client.start_actor("hold")
            with pytest.raises(AlreadyRegistered):
                client.start_actor("hold")
            found = [one.name for one in client.query("actor")]
            client.stop_actor("hold", grace=0)
            return found

    async with server:
        assert await asyncio.to_thread(from_a_thread) == ["hold"]


async def test_a_grid_in_memory_starts_in_no_time() -> None:
    async def start() -> float:
        began = time.perf_counter()
        registry = MemoryRegistry()
        async with grid.Server("n", etcd=registry), grid.Client("n", etcd=registry) as client:
            (peer,) = await client.query("peer")
            assert peer.epoch > 1
        return time.perf_counter() - began

    # The best of some: the machine may be busy. It is about 20 milliseconds.
    assert min([await start() for _ in range(5)]) < 1
