"""The members of services in etcd, each service's kept up to date by a watch of its own.

The keys are `<namespace>.group.<path>`, beside the names that peers look up, and end with
the lease of the peer that has the member. While etcd is away the last view counts.
"""

from __future__ import annotations

import asyncio
import logging

from grid.errors import EtcdError
from grid.etcd import EtcdClient, KeyValue, WatchBatch
from grid.registry.names import group_key
from grid.registry.registration import MalformedRegistration, decode_registration
from rpc.buses.members import Member, MemberTable, parse_path

__all__ = ["ServiceDirectory"]

_log = logging.getLogger("rpc.services")

_FIRST_REST = 0.5  # seconds between a watch that failed and the next
_LONGEST_REST = 30.0


class ServiceDirectory:
    """The members of one service, as a client sees them.

    Attributes:
        table: the view.
    """

    def __init__(self, etcd: EtcdClient, namespace: str, service: str) -> None:
        self.table = MemberTable()
        self._etcd = etcd
        self._base = group_key(namespace, "")
        self._prefix = group_key(namespace, f"{service}/")
        self._loaded = asyncio.Event()
        self._feed = asyncio.create_task(self._follow(), name=f"members of {service}")

    async def load(self, *, fresh: bool = False) -> MemberTable:
        """The view; read from etcd if the watch has not brought it yet, or if `fresh`.

        Raises:
            EtcdError: etcd cannot be had, and there is no view yet.
        """
        if fresh or not self._loaded.is_set():
            try:
                read = await self._etcd.get_prefix(self._prefix)
            except EtcdError:
                if not self._loaded.is_set():
                    raise
            else:
                self.table.replace(self._members(read.items), read.revision)
        return self.table

    async def close(self) -> None:
        """End the watch."""
        self._feed.cancel()
        await asyncio.gather(self._feed, return_exceptions=True)

    async def _follow(self) -> None:
        rest = _FIRST_REST
        while True:
            try:
                async with self._etcd.watch(self._prefix) as watch:
                    async for batch in watch:
                        self._apply(batch)
                        self._loaded.set()
                        rest = _FIRST_REST
            except EtcdError as error:
                _log.warning("going on with the last view of %s: %s", self._prefix, error)
            await asyncio.sleep(rest)
            rest = min(2 * rest, _LONGEST_REST)

    def _apply(self, batch: WatchBatch) -> None:
        if batch.snapshot:
            there = [change.current for change in batch.changes if change.current is not None]
            self.table.replace(self._members(there), batch.revision)
            return
        for change in batch.changes:
            path = change.key.removeprefix(self._base)
            if change.current is not None:
                for known, member in self._members([change.current]).items():
                    self.table.put(known, member)
            elif change.previous is not None:
                self.table.drop(path, change.previous.create_revision)
            else:
                self.table.drop(path)

    def _members(self, stored: list[KeyValue]) -> dict[str, Member]:
        found: dict[str, Member] = {}
        for one in stored:
            path = one.key.removeprefix(self._base)
            try:
                registered = decode_registration(one)
            except MalformedRegistration as error:
                _log.warning("skipped, not a member of a service: %s", error)
                continue
            member = parse_path(
                path, registered.types, peer=registered.peer, epoch=registered.epoch
            )
            if member is not None:
                found[path] = member
        return found
