"""A client's view of one kind of name, kept up to date by a watch.

A look-up costs a dictionary access. A miss is read from etcd, because the watch
may lag behind a registration that the caller already knows of. While etcd is
away the last view stays in use. An entry is replaced only by one of the same or
a later epoch, whichever of watch and read brings it first.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from grid.aio import being_cancelled
from grid.errors import ClientClosed, EtcdError
from grid.etcd import Change, EtcdClient, KeyValue, WatchBatch
from grid.registry.names import Kind, prefix
from grid.registry.registration import MalformedRegistration, Registration, decode_registration

__all__ = ["Directory"]

_log = logging.getLogger("grid.client")

_FIRST_REST = 0.5  # seconds between a watch that failed and the next
_LONGEST_REST = 30.0


class Directory:
    """Registrations by full name. Nothing is asked of etcd before the first use."""

    def __init__(self, etcd: EtcdClient, namespace: str, kind: Kind) -> None:
        self._etcd = etcd
        self._prefix = prefix(namespace, kind)
        self._known: dict[str, Registration] = {}
        # What the view has for a key. Each request asks, so it is the dictionary's own.
        self.find: Callable[[str], Registration | None] = self._known.get
        self._feed: asyncio.Task[None] | None = None
        self._loaded = False
        self._closed = False
        self._reads: dict[str, asyncio.Task[Registration | None]] = {}

    def __repr__(self) -> str:
        return f"<Directory {self._prefix}* {len(self._known)} known>"

    async def read(self, key: str) -> Registration | None:
        """What etcd has for a key now; many asking at once are one read.

        If etcd cannot be had, what the view has.

        Raises:
            EtcdError: etcd cannot be had, and the view has nothing.
        """
        self._start()
        reading = self._reads.get(key)
        if reading is None:
            reading = asyncio.create_task(self._read(key))
            self._reads[key] = reading
            reading.add_done_callback(lambda _: self._reads.pop(key, None))
        try:
            return await asyncio.shield(reading)
        except asyncio.CancelledError:
            if reading.cancelled() and not being_cancelled():
                raise ClientClosed from None
            raise

    async def all(self) -> list[Registration]:
        """The whole view; read from etcd as long as the watch has not brought it.

        Raises:
            EtcdError: etcd cannot be had, and there is no view yet.
        """
        self._start()
        if not self._loaded:
            for stored in (await self._etcd.get_prefix(self._prefix)).items:
                self._put(stored)
        return list(self._known.values())

    async def close(self) -> None:
        """End the watch and the reads; later ones raise `ClientClosed`."""
        self._closed = True
        tasks = [*self._reads.values(), *([self._feed] if self._feed else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _start(self) -> None:
        if self._closed:
            raise ClientClosed
        if self._feed is None:
            self._feed = asyncio.create_task(self._follow(), name=f"directory {self._prefix}")

    async def _follow(self) -> None:
        rest = _FIRST_REST
        while True:
            try:
                async with self._etcd.watch(self._prefix) as watch:
                    async for batch in watch:
                        self._apply(batch)
                        rest = _FIRST_REST
            except EtcdError as error:
                _log.warning("going on with the last view: %s", error)
            # A refusal comes at once, and again; it shall not be asked for all the time.
            await asyncio.sleep(rest)
            rest = min(2 * rest, _LONGEST_REST)

    async def _read(self, key: str) -> Registration | None:
        before = self._known.get(key)
        try:
            stored = await self._etcd.get(key)
        except EtcdError:
            known = self._known.get(key)
            if known is None:
                raise
            return known
        if stored is None:
            self._known.pop(key, None)
            return None
        # What was known before the read began cannot be later than what it brings,
        # unless etcd lost its data and counts anew.
        outlived = before is not None and before.epoch > stored.create_revision
        if outlived and self._known.get(key) is before:
            del self._known[key]
        self._put(stored)
        return self._known.get(key)

    def _apply(self, batch: WatchBatch) -> None:
        if batch.snapshot:
            there = {change.key for change in batch.changes}
            for key, known in tuple(self._known.items()):
                if known.epoch <= batch.revision and key not in there:
                    del self._known[key]
        for change in batch.changes:
            self._change(change)
        self._loaded = True

    def _change(self, change: Change) -> None:
        if change.current is not None:
            self._put(change.current)
            return
        known = self._known.get(change.key)
        ended = change.previous.create_revision if change.previous else 0
        if known is not None and known.epoch <= ended:
            del self._known[change.key]

    def _put(self, stored: KeyValue) -> None:
        known = self._known.get(stored.key)
        if known is not None and known.epoch > stored.create_revision:
            return
        try:
            self._known[stored.key] = decode_registration(stored)
        except MalformedRegistration as error:
            self._known.pop(stored.key, None)
            _log.warning("skipped, not a registration: %s", error)
