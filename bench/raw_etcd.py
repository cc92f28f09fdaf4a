"""etcd without anything of ours in between: the yardstick of names and failover."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from types import TracebackType
from typing import Any, Self

import grpc.aio

from grid.etcd import api_pb2
from grid.etcd.stubs import stub

__all__ = ["RawEtcd"]

_PER_TRANSACTION = 100
_UNDER_WAY = 8


class RawEtcd:
    """Calls straight on the stubs. Use it with `async with`."""

    def __init__(self, endpoint: str) -> None:
        self._channel = grpc.aio.insecure_channel(
            endpoint, options=(("grpc.max_receive_message_length", -1),)
        )
        self._range = stub(self._channel, "KV/Range")
        self._txn = stub(self._channel, "KV/Txn")
        self._grant = stub(self._channel, "Lease/LeaseGrant")
        self._revoke = stub(self._channel, "Lease/LeaseRevoke")
        self._watch = stub(self._channel, "Watch/Watch")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._channel.close()

    async def grant(self, seconds: int) -> int:
        """A lease without a keep-alive loop."""
        response = await self._grant(api_pb2.LeaseGrantRequest(TTL=seconds))
        return int(response.ID)

    async def revoke(self, lease: int) -> None:
        """End a lease and its keys."""
        await self._revoke(api_pb2.LeaseRevokeRequest(ID=lease))

    async def create(self, key: str, value: bytes, lease: int = 0) -> bool:
        """Put a key if it is not there."""
        transaction = api_pb2.TxnRequest()
        _add_create(transaction, key, value, lease)
        return bool((await self._txn(transaction)).succeeded)

    async def create_nested(self, names: list[str], value: bytes, lease: int) -> None:
        """Put each key if it is not there: 100 nested transactions in one, 8 under way."""
        batches = [
            names[start : start + _PER_TRANSACTION]
            for start in range(0, len(names), _PER_TRANSACTION)
        ]
        waiting = iter(batches)

        async def sender() -> None:
            for batch in waiting:
                outer = api_pb2.TxnRequest()
                for name in batch:
                    _add_create(outer.success.add().request_txn, name, value, lease)
                await self._txn(outer)

        async with asyncio.TaskGroup() as tasks:
            for _ in range(_UNDER_WAY):
                tasks.create_task(sender())

    async def count(self, prefix: str) -> int:
        """Read all keys with a prefix, with their values, and count them."""
        key = prefix.encode()
        end = key[:-1] + bytes([key[-1] + 1])
        response = await self._range(api_pb2.RangeRequest(key=key, range_end=end))
        return len(response.kvs)

    async def deletes(self, prefix: str, *, exact: bool = False) -> AsyncGenerator[int, None]:
        """The number of deleted keys in each answer of a watch; first a 0 when it listens."""
        key = prefix.encode()
        create = api_pb2.WatchCreateRequest(key=key)
        if not exact:
            create.range_end = key[:-1] + bytes([key[-1] + 1])
        call: Any = self._watch()
        await call.write(api_pb2.WatchRequest(create_request=create))
        try:
            async for response in call:
                yield sum(event.type == event.DELETE for event in response.events)
        finally:
            call.cancel()


def _add_create(transaction: Any, key: str, value: bytes, lease: int) -> None:
    name = key.encode()
    transaction.compare.add(
        result=api_pb2.Compare.EQUAL, target=api_pb2.Compare.VERSION, key=name, version=0
    )
    put = transaction.success.add().request_put
    put.key, put.value, put.lease = name, value, lease
