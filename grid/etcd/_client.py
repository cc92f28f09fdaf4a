"""The client of an etcd cluster: reads, writes, leases and watches."""

from __future__ import annotations

import contextlib
import math
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from grid.deadline import Deadline
from grid.errors import (
    ClientClosed,
    EtcdCompacted,
    EtcdPermissionDenied,
    EtcdUnavailable,
    LeaseLost,
)
from grid.etcd import api_pb2
from grid.etcd._calls import EtcdCalls
from grid.etcd._config import EtcdConfig
from grid.etcd._lease import Lease
from grid.etcd._model import KeyValue, Snapshot, encode_key, key_value, prefix_range
from grid.etcd._watch import Watch
from grid.numbers import check_seconds

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

__all__ = ["EndpointStatus", "EtcdClient", "Member"]

_PAGE = 10_000


@dataclass(frozen=True, slots=True)
class EndpointStatus:
    """The status of one endpoint, as its member reports it.

    Attributes:
        endpoint: the address that was asked.
        version: of the etcd server, for example `3.5.21`.
        member_id, leader_id: ids of the member and of the leader it follows, 0 for none.
        revision: of the member's store.
        db_size: size of the store on disk, in bytes.
        errors: alarms, for example that the quota is used up.
    """

    endpoint: str
    version: str
    member_id: int
    leader_id: int
    revision: int
    db_size: int
    errors: tuple[str, ...]

    @property
    def is_leader(self) -> bool:
        """True if this member leads the cluster."""
        return self.leader_id == self.member_id


@dataclass(frozen=True, slots=True)
class Member:
    """A member of the cluster, as the cluster knows it."""

    id: int
    name: str
    client_urls: tuple[str, ...]
    peer_urls: tuple[str, ...]
    is_learner: bool


class EtcdClient:
    """A client of an etcd cluster.

    Making one does no I/O; it connects and logs in at the first call, and goes
    to another endpoint when one fails. Use it in one event loop, as an async
    context manager or with `close`.

    Every call takes `timeout` in seconds (the configuration's by default) and
    may be cancelled at any time: nothing runs on, but a write that was sent may
    take effect. All calls are sent again after a lost connection, so a write may
    be made twice: `put` and `delete` bring about the same state then.

    Every call may raise:
        EtcdUnavailable: no endpoint answered in time; whether a write took effect
            is unknown.
        EtcdAuthFailed, EtcdPermissionDenied: user, password or role.
        EtcdOutOfSpace: etcd takes no writes.
        EtcdRequestTooLarge: etcd takes no request of that size.
        EtcdError: any other refusal.
        ClientClosed: the client was closed, before or meanwhile.
        WrongEventLoop: its first call was on another event loop.
        OSError: a file of the TLS configuration cannot be read.
    """

    def __init__(self, config: EtcdConfig) -> None:
        self.config = config
        self._calls = EtcdCalls(config)
        self._leases: set[Lease] = set()
        self._unrevoked: set[int] = set()  # leases that etcd should have ended and may still hold
        self._watches: set[Watch] = set()

    def __repr__(self) -> str:
        state = "closed" if self._calls.closed else f"at {self._calls.rotation.current}"
        return f"<EtcdClient {','.join(self.config.endpoints)} {state}>"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    def unanswered(self, what: str, seconds: float) -> EtcdUnavailable:
        """The error for a call that its caller gave up: endpoints, and the last failure.

        Args:
            what: the work that needed the answer.
            seconds: the time the caller waited.
        """
        return self._calls.unanswered(what, seconds)

    # -- keys -----------------------------------------------------------------

    async def get(self, key: str, *, timeout: float | None = None) -> KeyValue | None:
        """The key as it is now (linearizable), None if there is none."""
        request = api_pb2.RangeRequest(key=encode_key(key))
        response = await self._calls.call("KV/Range", request, timeout)
        return key_value(response.kvs[0]) if response.kvs else None

    async def get_prefix(self, prefix: str, *, timeout: float | None = None) -> Snapshot:
        """All keys that start with `prefix` (`""`: all) at one revision."""
        start, end = prefix_range(prefix)
        deadline = Deadline.after(self.config.timeout if timeout is None else timeout)
        while True:
            try:
                return await self._pages(start, end, deadline)
            except EtcdCompacted:
                if deadline.passed:
                    raise

    async def _pages(self, start: bytes, end: bytes, deadline: Deadline) -> Snapshot:
        items: list[KeyValue] = []
        revision, more = 0, True
        while more:
            request = api_pb2.RangeRequest(key=start, range_end=end, limit=_PAGE, revision=revision)
            response = await self._calls.call("KV/Range", request, deadline.remaining())
            revision = revision or response.header.revision
            items.extend(map(key_value, response.kvs))
            more = response.more
            if more:
                start = response.kvs[-1].key + b"\0"
        return Snapshot(revision, items)

    async def put(
        self, key: str, value: bytes, *, lease: int = 0, timeout: float | None = None
    ) -> int:
        """Write a key; the revision at which it was written.

        Args:
            lease: id of the lease that the key ends with, 0 for none.

        Raises:
            LeaseLost: etcd does not know the lease.
        """
        request = api_pb2.PutRequest(key=encode_key(key), value=value, lease=lease)
        response = await self._calls.call("KV/Put", request, timeout)
        revision: int = response.header.revision
        return revision

    async def delete(self, key: str, *, timeout: float | None = None) -> bool:
        """Delete a key; True if it was there.

        False as well if a first attempt deleted it and its answer was lost.
        """
        request = api_pb2.DeleteRangeRequest(key=encode_key(key))
        response = await self._calls.call("KV/DeleteRange", request, timeout)
        return bool(response.deleted)

    async def txn(
        self, request: api_pb2.TxnRequest, *, timeout: float | None = None
    ) -> api_pb2.TxnResponse:
        """The response to a transaction, given as etcd's message (of `grid.etcd.api_pb2`).

        It is sent again after a lost connection, so it must be idempotent: its
        compares must tell "done by me already" from "taken by another", for
        example by the lease of the key or by its value.

        Raises:
            LeaseLost: etcd does not know a lease that a put names.
        """
        response: api_pb2.TxnResponse = await self._calls.call("KV/Txn", request, timeout)
        return response

    # -- leases and watches ---------------------------------------------------

    async def open_lease(self, ttl: float, *, timeout: float | None = None) -> Lease:
        """A new lease, kept alive from the moment it is granted.

        Leases of this client that were revoked while etcd was away are revoked now:
        an etcd that was restarted gives each of them its whole time again.

        Args:
            ttl: seconds, rounded up to whole ones; etcd may grant more.

        A resend may leave a lease without keys behind, which ends by itself.
        """
        request = api_pb2.LeaseGrantRequest(TTL=math.ceil(check_seconds("ttl", ttl, zero=False)))
        sent, response = await self._calls.timed_call("Lease/LeaseGrant", request, timeout)
        lease = Lease(self._calls, response.ID, float(response.TTL), sent, self._unrevoked.add)
        self._leases.add(lease)
        lease.start(self._leases.discard)
        try:
            await self._revoke_former(timeout)
        except BaseException:
            await lease.revoke()
            raise
        return lease

    async def _revoke_former(self, timeout: float | None) -> None:
        while self._unrevoked:
            former = next(iter(self._unrevoked))
            with contextlib.suppress(EtcdPermissionDenied):
                await self.revoke(former, timeout=timeout)
            self._unrevoked.discard(former)

    async def revoke(self, lease: int, *, timeout: float | None = None) -> None:
        """End any lease, and with it all its keys, at once; nothing if etcd does not know it."""
        with contextlib.suppress(LeaseLost):
            request = api_pb2.LeaseRevokeRequest(ID=lease)
            await self._calls.call("Lease/LeaseRevoke", request, timeout)

    async def lease_time(self, lease: int, *, timeout: float | None = None) -> tuple[float, float]:
        """Seconds that a lease has left, and seconds that it was granted, for any lease.

        Raises:
            LeaseLost: etcd does not know the lease.
        """
        request = api_pb2.LeaseTimeToLiveRequest(ID=lease)
        response = await self._calls.call("Lease/LeaseTimeToLive", request, timeout)
        if response.TTL < 0:
            raise LeaseLost(f"etcd does not know the lease {lease:x}")
        return float(response.TTL), float(response.grantedTTL)

    async def lease_keys(self, lease: int, *, timeout: float | None = None) -> frozenset[str]:
        """The keys that are bound to a lease.

        Raises:
            LeaseLost: etcd does not know the lease.
        """
        request = api_pb2.LeaseTimeToLiveRequest(ID=lease, keys=True)
        response = await self._calls.call("Lease/LeaseTimeToLive", request, timeout)
        if response.TTL < 0:
            raise LeaseLost(f"etcd does not know the lease {lease:x}")
        return frozenset(map(bytes.decode, response.keys))

    def watch(self, prefix: str, *, exact: bool = False, patience: float = 30.0) -> Watch:
        """A watch of all keys that start with `prefix`, or of the one key `exact`ly.

        Args:
            patience: seconds without any connection to etcd after which the
                watch raises `EtcdUnavailable`.
        """
        if self._calls.closed:
            raise ClientClosed
        check_seconds("patience", patience, zero=False, endless=True)
        read: Callable[[float], Coroutine[Any, Any, Snapshot]]
        if exact:
            start, end = encode_key(prefix), b""

            async def read(timeout: float) -> Snapshot:
                return await self._pages(start, end, Deadline.after(timeout))
        else:
            start, end = prefix_range(prefix)

            async def read(timeout: float) -> Snapshot:
                return await self.get_prefix(prefix, timeout=timeout)

        watch = Watch(self._calls, prefix, start, end, read, patience, self._watches.discard)
        self._watches.add(watch)
        return watch

    # -- the cluster ----------------------------------------------------------

    async def ping(self, *, timeout: float | None = None) -> None:
        """Return when the cluster answers a linearizable read."""
        request = api_pb2.RangeRequest(key=b"\0", count_only=True)
        await self._calls.call("KV/Range", request, timeout)

    async def members(self, *, timeout: float | None = None) -> list[Member]:
        """The members of the cluster."""
        request = api_pb2.MemberListRequest()
        response = await self._calls.call("Cluster/MemberList", request, timeout)
        return [_member(one) for one in response.members]

    async def status(self, endpoint: str, *, timeout: float | None = None) -> EndpointStatus:
        """The status of one endpoint; no other endpoint is asked in its place."""
        response = await self._calls.status(endpoint, timeout)
        return EndpointStatus(
            endpoint=endpoint,
            version=response.version,
            member_id=response.header.member_id,
            leader_id=response.leader,
            revision=response.header.revision,
            db_size=response.dbSize,
            errors=tuple(response.errors),
        )

    async def close(self) -> None:
        """Close the connections; idempotent.

        Calls that still run raise `ClientClosed`, watches end, and leases are
        abandoned: revoke them first if their keys are to go at once.
        """
        self._calls.check_loop(closing=True)
        for lease in list(self._leases):
            await lease.abandon("the client was closed")
        for watch in list(self._watches):
            await watch.close()
        await self._calls.close()


def _member(member: Any) -> Member:
    return Member(
        id=member.ID,
        name=member.name,
        client_urls=tuple(member.clientURLs),
        peer_urls=tuple(member.peerURLs),
        is_learner=member.isLearner,
    )
