"""Claims: taking and freeing names in etcd, many in one transaction.

A claim is a transaction "if none of these keys exists, put them all under my
lease, else tell me who holds them". Claims and frees that are asked for
together travel as nested transactions inside one outer transaction, each with
its own answer, so a taken name fails its own claim and no other. Up to 8
outer transactions of up to 100 are under way at once.

Ownership is the lease id, never the address: after a lost answer the claim is
sent again, and if the keys are there under this lease, they are ours from the
first try. A free deletes only the incarnation whose epoch it names, so it can
never free a name that somebody else took since.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

from grid.errors import AlreadyRegistered, GridError, LeaseLost, OutcomeUnknown
from grid.etcd import EtcdClient, KeyValue, Lease, api_pb2
from grid.registry.registration import MalformedRegistration, decode_registration

__all__ = ["Claims"]

_OPERATIONS_PER_TRANSACTION = 100  # etcd allows 128 by default
_BYTES_PER_TRANSACTION = 512 * 1024  # etcd allows 1.5 MiB by default
_TRANSACTIONS_UNDER_WAY = 8


@dataclass(slots=True, eq=False)
class _Operation:
    """One nested transaction: a claim, or (with an epoch) a free."""

    keys: tuple[str, ...]
    values: tuple[bytes, ...]
    epoch: int
    done: asyncio.Future[int]
    size: int = field(init=False)

    def __post_init__(self) -> None:
        self.size = 64 + sum(map(len, self.keys)) * 3 + sum(map(len, self.values))


class Claims:
    """The names that one lease holds, and the way to take and free more."""

    def __init__(self, etcd: EtcdClient, lease: Lease, *, peer: str, address: str) -> None:
        self._etcd = etcd
        self._lease = lease
        self._peer = peer
        self._address = address
        self._held: dict[str, int] = {}  # key -> epoch
        # Claimed, not answered yet; with a future if somebody waits for the outcome.
        self._pending: dict[str, asyncio.Future[None] | None] = {}
        self._waiting: deque[_Operation] = deque()
        self._senders: set[asyncio.Task[None]] = set()
        self._pump_scheduled = False
        self._closed = False

    def __repr__(self) -> str:
        return f"<Claims {len(self._held)} held, {len(self._waiting)} waiting, {self._lease!r}>"

    async def claim(self, values: Mapping[str, bytes]) -> int:
        """Take all the keys, or none; returns their epoch.

        It waits for claims of the same keys that are under way here, whose
        outcome says who holds them. Cancelling it frees what the claim still
        brings in.

        Raises:
            AlreadyRegistered: somebody holds one of them (perhaps this peer).
            LeaseLost: the lease is over, nothing can be held under it.
            EtcdUnavailable: etcd did not answer; what it may have granted is freed.
        """
        keys = tuple(values)
        await self.vacant(keys)
        if self._closed or not self._lease.valid:
            raise LeaseLost
        self._pending.update(dict.fromkeys(keys))
        done = self._submit(keys, tuple(values.values()), epoch=0)
        try:
            epoch = await done
        except asyncio.CancelledError:
            # If the answer is still to come, `_claimed` or `_fail` sees to it.
            if not done.cancelled():
                self._undo(keys, done)
            raise
        except GridError:
            self._undo(keys, done)
            raise
        self._held.update(dict.fromkeys(keys, epoch))
        self._settle_pending(keys)
        return epoch

    async def vacant(self, keys: tuple[str, ...]) -> None:
        """Return when this peer neither claims nor holds any of the keys.

        It does not suspend if that is so already.

        Raises:
            AlreadyRegistered: this peer holds one.
        """
        while pending := [self._outcome(key) for key in keys if key in self._pending]:
            await asyncio.wait(pending)
        for key in keys:
            if key in self._held:
                raise AlreadyRegistered(key, self._peer, self._address, self._held[key])

    async def free(self, keys: tuple[str, ...], epoch: int) -> None:
        """Give up keys that one claim took; once the lease is over they are gone anyway.

        It goes on when the caller is cancelled: a name is not left behind.
        """
        if self._closed or not self._lease.valid:
            self._forget(keys)
            return
        for freed in self._free(keys, epoch):
            await freed

    async def close(self) -> None:
        """Stop sending; who still waits gets `LeaseLost`."""
        self._closed = True
        waiting = list(self._waiting)
        self._waiting.clear()
        self._fail(waiting, LeaseLost("the peer left"))
        senders = list(self._senders)
        for sender in senders:
            sender.cancel()
        await asyncio.gather(*senders, return_exceptions=True)

    def _free(self, keys: tuple[str, ...], epoch: int) -> list[asyncio.Future[int]]:
        # One operation a key: a key that is gone already must not keep the others.
        return [self._submit((key,), (), epoch=epoch) for key in keys]

    def _undo(self, keys: tuple[str, ...], claim: asyncio.Future[int]) -> None:
        error = claim.exception()
        self._give_back(keys, claim.result() if error is None else error)

    def _give_back(self, keys: tuple[str, ...], outcome: int | BaseException) -> None:
        """Free what a claim brought in that nobody waits for any more."""
        if self._closed or isinstance(outcome, AlreadyRegistered | LeaseLost):
            self._forget(keys)
        else:
            # Without an epoch the free goes by lease: it may have been granted.
            self._free(keys, outcome if isinstance(outcome, int) else 0)

    def _forget(self, keys: tuple[str, ...]) -> None:
        for key in keys:
            self._held.pop(key, None)
        self._settle_pending(keys)

    def _outcome(self, key: str) -> asyncio.Future[None]:
        pending = self._pending[key]
        if pending is None:
            pending = self._pending[key] = asyncio.get_running_loop().create_future()
        return pending

    def _settle_pending(self, keys: tuple[str, ...]) -> None:
        for key in keys:
            pending = self._pending.pop(key, None)
            if pending is not None and not pending.done():
                pending.set_result(None)

    def _submit(
        self, keys: tuple[str, ...], values: tuple[bytes, ...], *, epoch: int
    ) -> asyncio.Future[int]:
        loop = asyncio.get_running_loop()
        operation = _Operation(keys, values, epoch, loop.create_future())
        self._waiting.append(operation)
        if not self._pump_scheduled:
            # One turn of the loop later, all that was asked for in this turn is here.
            self._pump_scheduled = True
            loop.call_soon(self._pump)
        return operation.done

    def _pump(self) -> None:
        self._pump_scheduled = False
        while self._waiting and len(self._senders) < _TRANSACTIONS_UNDER_WAY:
            sender = asyncio.create_task(self._send(self._next_batch()))
            self._senders.add(sender)
            sender.add_done_callback(self._sent)

    def _sent(self, sender: asyncio.Task[None]) -> None:
        self._senders.discard(sender)
        self._pump()

    def _next_batch(self) -> list[_Operation]:
        batch: list[_Operation] = []
        size = operations = 0
        while self._waiting:
            following = self._waiting[0]
            operations += len(following.keys)
            size += following.size
            full = operations > _OPERATIONS_PER_TRANSACTION or size > _BYTES_PER_TRANSACTION
            if full and batch:
                break
            batch.append(self._waiting.popleft())
        return batch

    async def _send(self, batch: list[_Operation]) -> None:
        try:
            response = await self._etcd.txn(
                _transaction(batch, self._lease.id), timeout=self._patience(batch)
            )
        except asyncio.CancelledError:
            self._fail(batch, OutcomeUnknown("the peer left while etcd was asked"))
            raise
        except GridError as error:
            self._fail(batch, error)
            return
        revision = response.header.revision
        for operation, answer in zip(batch, response.responses, strict=True):
            if operation.values:
                self._claimed(operation, answer.response_txn, revision)
            else:
                self._freed(operation, revision)

    def _patience(self, batch: list[_Operation]) -> float | None:
        # A free is worth trying for as long as the lease could hold the name.
        frees = any(not operation.values for operation in batch)
        return max(self._lease.ttl, 1.0) if frees else None

    def _claimed(self, operation: _Operation, answer: api_pb2.TxnResponse, revision: int) -> None:
        outcome = revision if answer.succeeded else self._refused(answer)
        if operation.done.cancelled():
            self._give_back(operation.keys, outcome)
        elif isinstance(outcome, int):
            operation.done.set_result(outcome)
        else:
            operation.done.set_exception(outcome)

    def _refused(self, answer: api_pb2.TxnResponse) -> int | AlreadyRegistered:
        held = [kv for one in answer.responses for kv in one.response_range.kvs]
        foreign = next((kv for kv in held if kv.lease != self._lease.id), None)
        return held[0].create_revision if foreign is None else _already_registered(foreign)

    def _freed(self, operation: _Operation, revision: int) -> None:
        self._forget(operation.keys)
        if not operation.done.done():
            operation.done.set_result(revision)

    def _fail(self, batch: list[_Operation], error: GridError) -> None:
        for operation in batch:
            if not operation.values:
                # A free fails only when the lease is over or etcd is gone for as
                # long as the lease lasts; either way the lease takes the key along.
                self._freed(operation, 0)
            elif operation.done.cancelled():
                self._give_back(operation.keys, error)
            else:
                operation.done.set_exception(error)


def _transaction(batch: list[_Operation], lease: int) -> api_pb2.TxnRequest:
    outer = api_pb2.TxnRequest()
    for operation in batch:
        inner = outer.success.add().request_txn
        if operation.values:
            _add_claim(inner, operation, lease)
        else:
            _add_free(inner, operation, lease)
    return outer


def _add_claim(inner: api_pb2.TxnRequest, operation: _Operation, lease: int) -> None:
    for key, value in zip(operation.keys, operation.values, strict=True):
        name = key.encode()
        inner.compare.add(
            result=api_pb2.Compare.EQUAL, target=api_pb2.Compare.VERSION, key=name, version=0
        )
        put = inner.success.add().request_put
        put.key, put.value, put.lease = name, value, lease
        inner.failure.add().request_range.key = name


def _add_free(inner: api_pb2.TxnRequest, operation: _Operation, lease: int) -> None:
    for key in operation.keys:
        name = key.encode()
        compare = inner.compare.add(result=api_pb2.Compare.EQUAL, key=name)
        if operation.epoch:
            compare.target = api_pb2.Compare.CREATE
            compare.create_revision = operation.epoch
        else:
            compare.target = api_pb2.Compare.LEASE
            compare.lease = lease
        inner.success.add().request_delete_range.key = name


def _already_registered(owner: api_pb2.KeyValue) -> AlreadyRegistered:
    key = owner.key.decode()
    stored = KeyValue(key, owner.value, owner.create_revision, owner.mod_revision, owner.lease)
    try:
        holder = decode_registration(stored)
    except MalformedRegistration:
        return AlreadyRegistered(key, epoch=owner.create_revision)
    return AlreadyRegistered(key, holder.peer, holder.address, holder.epoch)
