"""A store in etcd, for small states: they are where the names are, and need nothing else.

A state is two keys, its bytes and its fence, which are compared and written in one transaction.
They have no lease: a state outlives the actor and its peer. The fence also has the turn of the
last write, because a write that was given up may be done late, by another member of etcd: it must
not undo a later one of the same owner.
"""

from __future__ import annotations

import itertools
import secrets
from types import TracebackType
from typing import Any, Self

from grid.environment import default_etcd
from grid.errors import (
    EtcdError,
    EtcdRequestTooLarge,
    StateFenced,
    StateTooLarge,
    StoreUnavailable,
)
from grid.etcd import EtcdClient, EtcdConfig, api_pb2
from grid.numbers import check_count
from grid.state.store import NOT_OPEN, Store

__all__ = ["EtcdStore"]

_FENCE = ".epoch"  # after the key of the bytes; names have no dots
_LARGEST = 1024 * 1024  # etcd takes requests of 1.5 MiB
_ADVICE = "keep less in it, or use another store"
_ADVICE_OF_STORE = f"EtcdStore(largest=...) sets it: {_ADVICE}"
_ADVICE_OF_ETCD = (
    "etcd takes requests of 1.5 MiB, unless --max-request-bytes of its members says "
    f"otherwise: {_ADVICE}"
)


class EtcdStore(Store):
    """States in etcd; use it as a context manager.

    Args:
        etcd: endpoints as `host:port,host:port` or an `EtcdConfig`; by default `GRID_ETCD`, else
            `127.0.0.1:2379`.
        largest: bytes of a state at most. etcd keeps all of its data in memory, and old
            revisions until they are compacted: larger states belong elsewhere. More than 1.5 MiB
            needs an etcd with a larger `--max-request-bytes`, on each of its members.
    """

    def __init__(self, etcd: str | EtcdConfig | None = None, *, largest: int = _LARGEST) -> None:
        self._config = default_etcd(etcd)
        self._largest = check_count("largest", largest)
        self._writer = secrets.token_hex(8)
        self._turns = itertools.count(1)
        self._etcd: EtcdClient | None = None

    async def __aenter__(self) -> Self:
        self._etcd = EtcdClient(self._config)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        etcd, self._etcd = self._etcd, None
        if etcd is not None:
            await etcd.close()

    async def load(self, key: str, epoch: int) -> bytes | None:
        """See `Store.load`."""
        read = api_pb2.RequestOp()
        read.request_range.key = key.encode()
        # As if it came before all writes of its owner: none shall give way to a load.
        found = await self._fenced(key, epoch, 0, read)
        kvs = found.response_range.kvs
        return kvs[0].value if kvs else None

    async def save(self, key: str, epoch: int, data: bytes) -> None:
        """See `Store.save`. Raises `StateTooLarge` also for what etcd does not take."""
        if len(data) > self._largest:
            raise StateTooLarge(len(data), self._largest, advice=_ADVICE_OF_STORE)
        write = api_pb2.RequestOp()
        write.request_put.key, write.request_put.value = key.encode(), data
        try:
            await self._fenced(key, epoch, next(self._turns), write)
        except EtcdRequestTooLarge as error:
            raise StateTooLarge(len(data), advice=_ADVICE_OF_ETCD) from error

    async def delete(self, key: str, epoch: int) -> None:
        """See `Store.delete`."""
        write = api_pb2.RequestOp()
        write.request_delete_range.key = key.encode()
        await self._fenced(key, epoch, next(self._turns), write)

    async def _fenced(
        self, key: str, epoch: int, turn: int, operation: api_pb2.RequestOp
    ) -> api_pb2.ResponseOp:
        """The response of an operation, done unless a newer epoch was here."""
        fence = (key + _FENCE).encode()
        owner = f"{epoch:020d}"
        mine = f"{owner}/{self._writer}/"
        written = f"{mine}{turn:020d}"
        # A comparison of a key that is not there fails, so that case has a transaction of its own.
        transaction = _unless_fenced(fence)
        if turn == 0:
            _write(transaction.success, fence, written, operation)
        held = transaction.failure.add().request_txn
        # etcd compares values as bytes. All fences of this owner begin with the same text, which
        # is smaller than that of any later one.
        _compare(held, api_pb2.Compare.LESS, fence, f"{owner}0")
        later = held.success.add().request_txn
        _compare(later, api_pb2.Compare.GREATER, fence, written)
        _compare(later, api_pb2.Compare.LESS, fence, f"{mine}9")
        if turn == 0:
            later.success.append(operation)
        _write(later.failure, fence, written, operation)
        response = await self._txn(transaction)
        if response.succeeded and turn > 0:
            # Not a part of the transaction above: with the state twice in it, etcd would refuse
            # large ones. The fence is there already when an owner has loaded its state first.
            first = _unless_fenced(fence)
            _write(first.success, fence, written, operation)
            response = await self._txn(first)
            if not response.succeeded:  # another owner was first in between
                return await self._fenced(key, epoch, turn, operation)
        if response.succeeded:
            return response.responses[-1]
        response = response.responses[0].response_txn
        if not response.succeeded:
            raise StateFenced(key, epoch)
        response = response.responses[0].response_txn
        return response.responses[-1] if response.responses else api_pb2.ResponseOp()

    async def _txn(self, transaction: api_pb2.TxnRequest) -> api_pb2.TxnResponse:
        if self._etcd is None:
            raise StoreUnavailable(NOT_OPEN)
        try:
            return await self._etcd.txn(transaction)
        except EtcdRequestTooLarge:
            raise
        except EtcdError as error:
            raise StoreUnavailable(str(error)) from error


def _unless_fenced(fence: bytes) -> api_pb2.TxnRequest:
    """A transaction that succeeds while no owner has loaded or written the state."""
    transaction = api_pb2.TxnRequest()
    transaction.compare.add(
        result=api_pb2.Compare.EQUAL, target=api_pb2.Compare.VERSION, key=fence, version=0
    )
    return transaction


def _compare(transaction: Any, result: Any, fence: bytes, value: str) -> None:
    transaction.compare.add(
        result=result, target=api_pb2.Compare.VALUE, key=fence, value=value.encode()
    )


def _write(operations: Any, fence: bytes, value: str, operation: api_pb2.RequestOp) -> None:
    put = operations.add().request_put
    put.key, put.value = fence, value.encode()
    operations.append(operation)
