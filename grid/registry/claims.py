"""Claims: taking and freeing names in etcd, many in one transaction.

A claim is a transaction "if none of these keys exists, put them all under my
lease, else tell me their owner". Claims and frees that are asked for
together travel as nested transactions inside one outer transaction, each with
its own answer, so a taken name fails its own claim and no other. Up to 8
outer transactions of up to 100 are under way at once.

`Ledger` decides; this sends its batches to etcd and wakes the callers that wait.

Ownership is the lease id, never the address: after a lost answer the claim is
sent again, and if the keys are there under this lease, they are ours from the
first try. A free deletes only the incarnation whose epoch it names, so it can
never free a name that another peer took since. A free that fails is sent again for as
long as the lease could hold the name.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from copy import copy

from grid.errors import AlreadyRegistered, GridError, LeaseLost, OutcomeUnknown
from grid.etcd import EtcdClient, KeyValue, Lease, api_pb2
from grid.registry.ledger import Ledger, Operation
from grid.registry.registration import MalformedRegistration, decode_registration

__all__ = ["Claims"]

_MAX_CONCURRENT = 8  # transactions under way
_FIRST_PAUSE = 0.1  # seconds between a free that failed and the next try; doubles each time
_LONGEST_PAUSE = 2.0


class Claims:
    """The names that one lease holds, and the way to take and free more."""

    def __init__(self, etcd: EtcdClient, lease: Lease, *, peer: str, address: str) -> None:
        self._etcd = etcd
        self._lease = lease
        self._peer = peer
        self._address = address
        self._ledger = Ledger()
        self._held = self._ledger.held
        self._outcomes: dict[Operation, asyncio.Future[int]] = {}
        # Only for pending keys whose outcome a caller waits for: few do.
        self._settled: dict[str, asyncio.Future[None]] = {}
        self._senders: set[asyncio.Task[None]] = set()
        self._pump_scheduled: asyncio.Handle | None = None
        self._resting: dict[Operation, asyncio.TimerHandle] = {}  # frees that failed
        self._pause = _FIRST_PAUSE
        self._trouble: GridError | None = None

    def __repr__(self) -> str:
        return f"<Claims {len(self._held)} held, {len(self._ledger)} waiting, {self._lease!r}>"

    @property
    def held(self) -> Mapping[str, int]:
        """The epoch of each full name that is held; it changes while it is looked at."""
        return self._held

    async def claim(self, values: Mapping[str, bytes]) -> int:
        """Take all the keys, or none; returns their epoch.

        It waits for claims of the same keys that are under way here, whose
        outcome names their owner. Cancelling it frees what the claim still
        brings in.

        Raises:
            AlreadyRegistered: a peer holds one of them (perhaps this one).
            LeaseLost: the lease is over, nothing can be held under it.
            EtcdUnavailable: etcd did not answer; what it may have granted is freed.
        """
        await self.vacant(tuple(values))
        if self._ledger.closed or not self._lease.valid:
            raise LeaseLost
        claim = self._ledger.claim(values)
        outcome = self._await_outcome(claim)
        self._schedule_pump()
        try:
            return await outcome
        except asyncio.CancelledError:
            # If the answer is still to come, `_claimed` or `_fail` sees to it.
            if not outcome.cancelled() and outcome.exception() is None:
                self._ledger.give_back(claim, outcome.result())
                self._schedule_pump()
            raise

    async def rewrite(self, key: str, value: bytes, *, timeout: float | None = None) -> None:
        """Put another value under a name that is held, whose epoch stays.

        Raises:
            EtcdError: etcd does not take it.
        """
        transaction = api_pb2.TxnRequest()
        transaction.compare.add(
            result=api_pb2.Compare.EQUAL,
            target=api_pb2.Compare.CREATE,
            key=key.encode(),
            create_revision=self._held[key],
        )
        put = transaction.success.add().request_put
        put.key, put.value, put.lease = key.encode(), value, self._lease.id
        await self._etcd.txn(transaction, timeout=timeout)

    async def vacant(self, keys: tuple[str, ...]) -> None:
        """Return when this peer neither claims nor holds any of the keys.

        It does not suspend if that is so already.

        Raises:
            AlreadyRegistered: this peer holds one.
        """
        while pending := self._ledger.pending.intersection(keys):
            await asyncio.wait([self._settling(key) for key in pending])
        for key in keys:
            if key in self._held:
                raise AlreadyRegistered(key, self._peer, self._address, self._held[key])

    async def free(self, keys: tuple[str, ...], epoch: int) -> None:
        """Give up keys that one claim took; once the lease is over they are gone anyway.

        It returns when they are free. It goes on when the caller is cancelled: a
        name is not left behind.
        """
        if self._ledger.closed or not self._lease.valid:
            self._ledger.forget(keys)
            self._wake()
            return
        frees = [self._await_outcome(one) for one in self._ledger.free(keys, epoch)]
        self._schedule_pump()
        for freed in frees:
            await freed

    @property
    def trouble(self) -> GridError | None:
        """The error that keeps names from being freed; None once a free got through."""
        return self._trouble

    async def close(self) -> None:
        """Stop sending; callers that still wait get `LeaseLost`."""
        waiting = [*self._ledger.close(), *self._resting]
        for timer in self._resting.values():
            timer.cancel()
        self._resting.clear()
        if self._pump_scheduled is not None:
            self._pump_scheduled.cancel()
        self._fail(waiting, LeaseLost("the peer left"))
        senders = list(self._senders)
        for sender in senders:
            sender.cancel()
        await asyncio.gather(*senders, return_exceptions=True)

    # -- waiting -------------------------------------------------------------------

    def _await_outcome(self, operation: Operation) -> asyncio.Future[int]:
        outcome = self._outcomes[operation] = asyncio.get_running_loop().create_future()
        return outcome

    def _settling(self, key: str) -> asyncio.Future[None]:
        settled = self._settled.get(key)
        if settled is None:
            settled = self._settled[key] = asyncio.get_running_loop().create_future()
        return settled

    def _wake(self) -> None:
        for key in [key for key in self._settled if key not in self._ledger.pending]:
            settled = self._settled.pop(key)
            if not settled.done():
                settled.set_result(None)

    # -- sending -------------------------------------------------------------------

    def _schedule_pump(self) -> None:
        if self._pump_scheduled is None and len(self._ledger):
            # One turn of the loop later, all that was asked for in this turn is here.
            self._pump_scheduled = asyncio.get_running_loop().call_soon(self._pump)

    def _pump(self) -> None:
        if self._pump_scheduled is not None:
            self._pump_scheduled.cancel()
            self._pump_scheduled = None
        while len(self._senders) < _MAX_CONCURRENT and (batch := self._ledger.next_batch()):
            sender = asyncio.create_task(self._send(batch))
            self._senders.add(sender)
            sender.add_done_callback(self._sent)

    def _sent(self, sender: asyncio.Task[None]) -> None:
        self._senders.discard(sender)
        self._pump()

    async def _send(self, batch: list[Operation]) -> None:
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
        self._pause = _FIRST_PAUSE
        revision = response.header.revision
        for operation, answer in zip(batch, response.responses, strict=True):
            if operation.is_claim:
                self._claimed(operation, answer.response_txn, revision)
            else:
                self._freed(operation, revision)
        self._wake()
        self._schedule_pump()

    def _patience(self, batch: list[Operation]) -> float | None:
        # A free is worth trying for as long as the lease could hold the name.
        frees = any(not operation.is_claim for operation in batch)
        return max(self._lease.ttl, 1.0) if frees else None

    # -- outcomes ------------------------------------------------------------------

    def _claimed(self, claim: Operation, answer: api_pb2.TxnResponse, revision: int) -> None:
        outcome = revision if answer.succeeded else self._refused(answer)
        future = self._outcomes.pop(claim)
        if isinstance(outcome, int):
            self._ledger.granted(claim, outcome, wanted=not future.cancelled())
        else:
            self._ledger.refused(claim, outcome)
        _settle(future, outcome)

    def _refused(self, answer: api_pb2.TxnResponse) -> int | AlreadyRegistered:
        held = [kv for one in answer.responses for kv in one.response_range.kvs]
        foreign = next((kv for kv in held if kv.lease != self._lease.id), None)
        return held[0].create_revision if foreign is None else _already_registered(foreign)

    def _freed(self, free: Operation, revision: int) -> None:
        self._trouble = None
        self._ledger.freed(free)
        future = self._outcomes.pop(free, None)  # none if the key was given back without a caller
        if future is not None:
            _settle(future, revision)

    def _fail(self, batch: list[Operation], error: GridError) -> None:
        for operation in batch:
            if operation.is_claim:
                self._ledger.refused(operation, error)
                _settle(self._outcomes.pop(operation), error)
            else:
                self._trouble = error
                self._rest(operation)
        self._wake()
        self._schedule_pump()

    def _rest(self, free: Operation) -> None:
        if self._ledger.closed or not self._lease.valid:
            self._freed(free, 0)  # the lease takes the key along
            return
        loop = asyncio.get_running_loop()
        self._resting[free] = loop.call_later(self._pause, self._retry, free)
        self._pause = min(2 * self._pause, _LONGEST_PAUSE)

    def _retry(self, free: Operation) -> None:
        del self._resting[free]
        self._ledger.retry(free)
        self._schedule_pump()


def _settle(future: asyncio.Future[int], outcome: int | GridError) -> None:
    if future.done():
        return  # its caller was cancelled
    if isinstance(outcome, int):
        future.set_result(outcome)
    else:
        future.set_exception(copy(outcome))  # a batch has one for all its claims


def _transaction(batch: list[Operation], lease: int) -> api_pb2.TxnRequest:
    outer = api_pb2.TxnRequest()
    for operation in batch:
        inner = outer.success.add().request_txn
        if operation.is_claim:
            _add_claim(inner, operation, lease)
        else:
            _add_free(inner, operation, lease)
    return outer


def _add_claim(inner: api_pb2.TxnRequest, operation: Operation, lease: int) -> None:
    for key, value in zip(operation.keys, operation.values, strict=True):
        name = key.encode()
        inner.compare.add(
            result=api_pb2.Compare.EQUAL, target=api_pb2.Compare.VERSION, key=name, version=0
        )
        put = inner.success.add().request_put
        put.key, put.value, put.lease = name, value, lease
        inner.failure.add().request_range.key = name


def _add_free(inner: api_pb2.TxnRequest, operation: Operation, lease: int) -> None:
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
