"""A store in etcd, for small states: they are where the names are, and need nothing else.

A state is two keys, its bytes and its fence, which are compared and written in one transaction.
They have no lease: a state outlives the actor and its peer.
"""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self

from grid.environment import default_etcd
from grid.errors import EtcdError, MessageTooLarge, StateFenced, StoreUnavailable
from grid.etcd import EtcdClient, EtcdConfig, api_pb2
from grid.state.store import Store

__all__ = ["EtcdStore"]

_FENCE = ".epoch"  # after the key of the bytes; names have no dots
_LARGEST = 1024 * 1024  # etcd takes requests of 1.5 MiB


class EtcdStore(Store):
    """States in etcd; use it as a context manager.

    Args:
        etcd: endpoints as `host:port,host:port` or an `EtcdConfig`; by default `GRID_ETCD`, else
            `127.0.0.1:2379`.
        largest: bytes of a state at most. etcd keeps all of its data in memory, and old
            revisions until they are compacted: larger states belong elsewhere.
    """

    def __init__(self, etcd: str | EtcdConfig | None = None, *, largest: int = _LARGEST) -> None:
        self._config = default_etcd(etcd)
        self._largest = largest
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
        found = await self._fenced(key, epoch, read)
        kvs = found.response_range.kvs
        return kvs[0].value if kvs else None

    async def save(self, key: str, epoch: int, data: bytes) -> None:
        """See `Store.save`. Raises `MessageTooLarge` for more bytes than are allowed."""
        if len(data) > self._largest:
            raise MessageTooLarge(len(data), self._largest, "the state")
        write = api_pb2.RequestOp()
        write.request_put.key, write.request_put.value = key.encode(), data
        await self._fenced(key, epoch, write)

    async def delete(self, key: str, epoch: int) -> None:
        """See `Store.delete`."""
        write = api_pb2.RequestOp()
        write.request_delete_range.key = key.encode()
        await self._fenced(key, epoch, write)

    async def _fenced(
        self, key: str, epoch: int, operation: api_pb2.RequestOp
    ) -> api_pb2.ResponseOp:
        """The response of an operation, done unless a newer epoch was here."""
        if self._etcd is None:
            raise StoreUnavailable("the store is not open: async with store, or enter=True")
        fence = (key + _FENCE).encode()
        transaction = api_pb2.TxnRequest()
        # A comparison of a key that is not there fails, so that case has a transaction of its own.
        transaction.compare.add(
            result=api_pb2.Compare.EQUAL, target=api_pb2.Compare.VERSION, key=fence, version=0
        )
        _write(transaction.success, fence, epoch, operation)
        held = transaction.failure.add().request_txn
        held.compare.add(
            result=api_pb2.Compare.LESS,
            target=api_pb2.Compare.VALUE,
            key=fence,
            value=_text(epoch + 1),
        )
        _write(held.success, fence, epoch, operation)
        try:
            response = await self._etcd.txn(transaction)
        except EtcdError as error:
            raise StoreUnavailable(str(error)) from error
        if not response.succeeded:
            response = response.responses[0].response_txn
            if not response.succeeded:
                raise StateFenced(key, epoch)
        return response.responses[1]


def _write(operations: Any, fence: bytes, epoch: int, operation: api_pb2.RequestOp) -> None:
    put = operations.add().request_put
    put.key, put.value = fence, _text(epoch)
    operations.add().CopyFrom(operation)


def _text(epoch: int) -> bytes:
    # etcd compares values as bytes: of one length, they are in the order of the numbers.
    return f"{epoch:020d}".encode()
