"""Keys, revisions, transactions and leases as etcd has them, as a plain object in memory.

It takes the messages of etcd's API and answers with them. It has no I/O and no clock: each call
says what time it is, and leases that are over by then end first.
"""

from __future__ import annotations

import operator
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from grid.etcd import api_pb2
from grid.etcd._failures import CallFailed

__all__ = ["MemoryKeys"]

_HISTORY = 100_000  # events that watches can go back to
_SHORTEST_LEASE = 2  # seconds; etcd's, with its default election timeout
_CLUSTER = 0x67726964

_COMPARE: dict[int, Callable[[Any, Any], bool]] = {
    api_pb2.Compare.EQUAL: operator.eq,
    api_pb2.Compare.GREATER: operator.gt,
    api_pb2.Compare.LESS: operator.lt,
    api_pb2.Compare.NOT_EQUAL: operator.ne,
}
_TARGETS = {
    api_pb2.Compare.VERSION: "version",
    api_pb2.Compare.CREATE: "create_revision",
    api_pb2.Compare.MOD: "mod_revision",
    api_pb2.Compare.VALUE: "value",
    api_pb2.Compare.LEASE: "lease",
}
_SORTED = {
    api_pb2.RangeRequest.KEY: "key",
    api_pb2.RangeRequest.VERSION: "version",
    api_pb2.RangeRequest.CREATE: "create_revision",
    api_pb2.RangeRequest.MOD: "mod_revision",
    api_pb2.RangeRequest.VALUE: "value",
}


@dataclass(slots=True)
class _Lease:
    ttl: int
    ends: float
    keys: set[bytes] = field(default_factory=set)


@dataclass(slots=True)
class _Writing:
    """One transaction: its revision, and what it has done so far."""

    revision: int
    events: list[Any] = field(default_factory=list)


class MemoryKeys:
    """The data of an etcd of one member.

    Attributes:
        revision: of the last change.
        on_events: called with the events of each change.
    """

    def __init__(self) -> None:
        self.revision = 1
        self.on_events: Callable[[list[Any]], None] = _ignore
        self._keys: dict[bytes, Any] = {}
        self._leases: dict[int, _Lease] = {}
        self._last_lease = 0
        self._history: deque[Any] = deque(maxlen=_HISTORY)
        self._calls: dict[str, Callable[[Any, float], Any]] = {
            "KV/Range": lambda request, _: self._range(request),
            "KV/Put": lambda request, _: self._write(self._put, request),
            "KV/DeleteRange": lambda request, _: self._write(self._delete, request),
            "KV/Txn": lambda request, _: self._transaction(request),
            "Lease/LeaseGrant": self._grant,
            "Lease/LeaseRevoke": lambda request, _: self._revoke(request),
            "Lease/LeaseTimeToLive": self._time_to_live,
            "Cluster/MemberList": lambda _, __: self._members(),
            "Maintenance/Status": lambda _, __: self._status(),
        }

    def call(self, method: str, request: Any, now: float) -> Any:
        """The response of a method; raises `CallFailed` as etcd refuses."""
        found = self._calls.get(method)
        if found is None:
            raise CallFailed("UNIMPLEMENTED", f"{method} is not there in memory")
        self.expire(now)
        return found(request, now)

    def header(self) -> Any:
        """The header of a response."""
        return api_pb2.ResponseHeader(cluster_id=_CLUSTER, member_id=1, revision=self.revision)

    def since(self, revision: int) -> list[Any] | None:
        """The events from a revision on; None if some of them are forgotten."""
        if len(self._history) == _HISTORY and revision <= self._history[0].kv.mod_revision:
            return None
        return [one for one in self._history if one.kv.mod_revision >= revision]

    # -- leases ----------------------------------------------------------------

    def expire(self, now: float) -> None:
        """End the leases whose time is over."""
        for one in [one for one, lease in self._leases.items() if lease.ends <= now]:
            self.end_lease(one)

    def next_end(self) -> float | None:
        """The time at which the next lease ends; None if there is none."""
        return min((lease.ends for lease in self._leases.values()), default=None)

    def leases(self) -> list[int]:
        """The ids of all leases."""
        return list(self._leases)

    def begin_leases_again(self, now: float) -> None:
        """Give each lease its whole time, as an etcd that was started again does."""
        for lease in self._leases.values():
            lease.ends = now + lease.ttl

    def keep_alive(self, lease: int, now: float) -> Any:
        """The answer to a ping of a lease, whose time begins again."""
        self.expire(now)
        found = self._leases.get(lease)
        if found is not None:
            found.ends = now + found.ttl
        ttl = 0 if found is None else found.ttl
        return api_pb2.LeaseKeepAliveResponse(header=self.header(), ID=lease, TTL=ttl)

    def end_lease(self, lease: int) -> None:
        """End a lease, and its keys with it, in one revision."""
        found = self._leases.pop(lease)
        writing = _Writing(self.revision + 1)
        for key in sorted(found.keys):
            self._drop(key, writing)
        self._written(writing)

    def _grant(self, request: Any, now: float) -> Any:
        if request.ID in self._leases:
            raise CallFailed("FAILED_PRECONDITION", "etcdserver: lease already exists")
        self._last_lease += 1
        lease, ttl = request.ID or self._last_lease, max(request.TTL, _SHORTEST_LEASE)
        self._leases[lease] = _Lease(ttl, now + ttl)
        return api_pb2.LeaseGrantResponse(header=self.header(), ID=lease, TTL=ttl)

    def _revoke(self, request: Any) -> Any:
        self._known(request.ID)
        self.end_lease(request.ID)
        return api_pb2.LeaseRevokeResponse(header=self.header())

    def _time_to_live(self, request: Any, now: float) -> Any:
        found = self._leases.get(request.ID)
        answer = api_pb2.LeaseTimeToLiveResponse(header=self.header(), ID=request.ID, TTL=-1)
        if found is not None:
            answer.TTL, answer.grantedTTL = int(found.ends - now), found.ttl
            if request.keys:
                answer.keys.extend(sorted(found.keys))
        return answer

    def _known(self, lease: int) -> None:
        if lease and lease not in self._leases:
            raise CallFailed("NOT_FOUND", "etcdserver: requested lease not found")

    # -- reads -----------------------------------------------------------------

    def _range(self, request: Any) -> Any:
        _check_key(request.key)
        found = _chosen(self._at(request.revision), request)
        order = _SORTED[request.sort_target]
        found.sort(
            key=operator.attrgetter(order),
            reverse=request.sort_order == api_pb2.RangeRequest.DESCEND,
        )
        answer = api_pb2.RangeResponse(header=self.header(), count=len(found))
        if not request.count_only:
            most = request.limit or len(found)
            answer.more = len(found) > most
            answer.kvs.extend(found[:most])
        return answer

    def _at(self, revision: int) -> dict[bytes, Any]:
        if revision <= 0 or revision == self.revision:
            return self._keys
        if revision > self.revision:
            raise CallFailed(
                "OUT_OF_RANGE", "etcdserver: mvcc: required revision is a future revision"
            )
        undone = self.since(revision + 1)
        if undone is None:
            raise CallFailed("OUT_OF_RANGE", "etcdserver: required revision has been compacted")
        keys = dict(self._keys)
        for event in reversed(undone):
            if event.prev_kv.mod_revision:
                keys[event.kv.key] = event.prev_kv
            else:
                keys.pop(event.kv.key, None)
        return keys

    # -- writes ----------------------------------------------------------------

    def _write(self, work: Callable[[Any, _Writing], Any], request: Any) -> Any:
        _check_key(request.key)
        self._known(getattr(request, "lease", 0))
        writing = _Writing(self.revision + 1)
        answer = work(request, writing)
        self._written(writing)
        answer.header.CopyFrom(self.header())
        return answer

    def _put(self, request: Any, writing: _Writing) -> Any:
        before = self._keys.get(request.key)
        kept = api_pb2.KeyValue(
            key=request.key,
            value=request.value,
            lease=request.lease,
            create_revision=writing.revision if before is None else before.create_revision,
            mod_revision=writing.revision,
            version=1 if before is None else before.version + 1,
        )
        if before is not None and before.lease:
            self._leases[before.lease].keys.discard(request.key)
        if request.lease:
            self._leases[request.lease].keys.add(request.key)
        self._keys[request.key] = kept
        event = api_pb2.Event(type=api_pb2.Event.PUT, kv=kept)
        if before is not None:
            event.prev_kv.CopyFrom(before)
        writing.events.append(event)
        return api_pb2.PutResponse()

    def _delete(self, request: Any, writing: _Writing) -> Any:
        keys = sorted(one.key for one in _chosen(self._keys, request))
        for key in keys:
            self._drop(key, writing)
        return api_pb2.DeleteRangeResponse(deleted=len(keys))

    def _drop(self, key: bytes, writing: _Writing) -> None:
        before = self._keys.pop(key)
        if before.lease in self._leases:
            self._leases[before.lease].keys.discard(key)
        gone = api_pb2.KeyValue(key=key, mod_revision=writing.revision)
        writing.events.append(api_pb2.Event(type=api_pb2.Event.DELETE, kv=gone, prev_kv=before))

    def _written(self, writing: _Writing) -> None:
        if writing.events:
            self.revision = writing.revision
            self._history.extend(writing.events)
            self.on_events(writing.events)

    # -- transactions ----------------------------------------------------------

    def _transaction(self, request: Any) -> Any:
        # As etcd does: all comparisons are of the keys before the first write, and what
        # cannot be written refuses the whole.
        for branch in (request.success, request.failure):
            _put_keys(branch)
        path = list(self._path(request))
        for one in path:
            if isinstance(one, api_pb2.RequestOp) and one.HasField("request_put"):
                self._known(one.request_put.lease)
        writing = _Writing(self.revision + 1)
        answer = self._follow(request, iter(path), writing)
        self._written(writing)
        answer.header.CopyFrom(self.header())
        return answer

    def _path(self, request: Any) -> Iterator[Any]:
        succeeded = all(map(self._holds, request.compare))
        yield succeeded
        for one in request.success if succeeded else request.failure:
            if one.HasField("request_txn"):
                yield from self._path(one.request_txn)
            else:
                yield one

    def _holds(self, compare: Any) -> bool:
        wanted = getattr(compare, _TARGETS[compare.target])
        check = _COMPARE[compare.result]
        found = _chosen(self._keys, compare)
        if not found:
            if compare.target == api_pb2.Compare.VALUE:
                return False  # there is no value, not even an empty one
            found = [api_pb2.KeyValue()]
        return all(check(getattr(one, _TARGETS[compare.target]), wanted) for one in found)

    def _follow(self, request: Any, path: Iterator[Any], writing: _Writing) -> Any:
        answer = api_pb2.TxnResponse(succeeded=next(path))
        for one in request.success if answer.succeeded else request.failure:
            response = answer.responses.add()
            if one.HasField("request_txn"):
                response.response_txn.CopyFrom(self._follow(one.request_txn, path, writing))
                continue
            next(path)
            if one.HasField("request_range"):
                response.response_range.CopyFrom(self._range(one.request_range))
            elif one.HasField("request_put"):
                response.response_put.CopyFrom(self._put(one.request_put, writing))
            else:
                deleted = self._delete(one.request_delete_range, writing)
                response.response_delete_range.CopyFrom(deleted)
        return answer

    # -- the cluster -----------------------------------------------------------

    def _members(self) -> Any:
        answer = api_pb2.MemberListResponse(header=self.header())
        answer.members.add(ID=1, name="memory")
        return answer

    def _status(self) -> Any:
        return api_pb2.StatusResponse(
            header=self.header(), version="3.5.0", dbSize=len(self._keys) + 1, leader=1
        )


def _check_key(key: bytes) -> None:
    if not key:
        raise CallFailed("INVALID_ARGUMENT", "etcdserver: key is not provided")


def _put_keys(operations: Any) -> set[bytes]:
    """The keys that operations put; refuses one that is put twice, or is empty."""
    keys: set[bytes] = set()
    for one in operations:
        if one.HasField("request_put"):
            _check_key(one.request_put.key)
            found = {one.request_put.key}
        elif one.HasField("request_txn"):
            inner = one.request_txn
            found = _put_keys(inner.success) | _put_keys(inner.failure)
        else:
            continue
        if keys & found:
            raise CallFailed("INVALID_ARGUMENT", "etcdserver: duplicate key given in txn request")
        keys |= found
    return keys


def _chosen(keys: dict[bytes, Any], request: Any) -> list[Any]:
    start, end = request.key, request.range_end
    if not end:
        return [keys[start]] if start in keys else []
    return [one for key, one in keys.items() if key >= start and (end == b"\0" or key < end)]


def _ignore(_: list[Any]) -> None:
    pass
