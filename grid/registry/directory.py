"""A client's registrations of one kind, kept up to date by a watch.

A look-up costs a dictionary access. A miss is read from etcd, because the watch
may lag behind a registration that the caller already knows of. While etcd is
away the last view stays in use. `RegistryView` decides what counts; here it is fed.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from grid.aio import being_cancelled
from grid.errors import (
    ClientClosed,
    EtcdError,
    GridError,
    PeerNotServing,
    UnregisteredMailbox,
)
from grid.etcd import EtcdClient
from grid.registry.names import Kind, prefix
from grid.registry.registration import MalformedRegistration, Registration
from grid.registry.view import RegistryView

__all__ = ["Directory"]

T = TypeVar("T")

_log = logging.getLogger("grid.client")

_FIRST_REST = 0.5  # seconds between a watch that failed and the next
_LONGEST_REST = 30.0


class Directory:
    """Registrations by full name. Nothing is asked of etcd before the first use.

    Attributes:
        etcd: where the names are.
        find: the registration of a full name, as the view has it.
        has: True if a registration leads to an address, as the view has it.
        on_left: called with each registration whose name is gone, or has another owner. An
            error that it raises is logged: neither the watch nor a read ends by it.
    """

    def __init__(self, etcd: EtcdClient, namespace: str, kind: Kind) -> None:
        self.etcd = etcd
        self._prefix = prefix(namespace, kind)
        self._view = RegistryView(_warn, self._has_left, self._tell_departures)
        self.on_left: Callable[[Registration], None] = _ignore
        # Without frames of their own: each request asks.
        self.find: Callable[[str], Registration | None] = self._view.find
        self.has: Callable[[str], bool] = self._view.has
        self._feed: asyncio.Task[None] | None = None
        self._closed = False
        self._reads: dict[str, asyncio.Task[Registration | None]] = {}
        self._departures: dict[str, list[asyncio.Future[None]]] = {}

    def __repr__(self) -> str:
        return f"<Directory {self._prefix}* {len(self._view)} known>"

    async def read(self, key: str) -> Registration | None:
        """Read a key in etcd; reads of one key at one time are one.

        While etcd cannot be had, the view's entry counts.

        Raises:
            EtcdError: etcd cannot be had, and the view has nothing.
        """
        self._start()
        reading = self._reads.get(key)
        if reading is None:
            reading = asyncio.create_task(self._read(key))
            self._reads[key] = reading
            reading.add_done_callback(lambda done: self._has_read(key, done))
        try:
            return await asyncio.shield(reading)
        except asyncio.CancelledError:
            if reading.cancelled() and not being_cancelled():
                raise ClientClosed from None
            raise

    async def all(self, *, fresh: bool = False) -> list[Registration]:
        """The whole view; read from etcd as long as the watch has not brought it.

        Args:
            fresh: read it from etcd in any case: the view may lag behind.

        Raises:
            EtcdError: etcd cannot be had, and there is no view yet.
        """
        self._start()
        if fresh or not self._view.loaded:
            for stored in (await self.etcd.get_prefix(self._prefix)).items:
                self._view.put(stored)
        return self._view.all()

    @property
    def loaded(self) -> bool:
        """True once the watch has brought all there are."""
        return self._view.loaded

    async def coming(self, key: str, seconds: float) -> Registration | None:
        """The registration of a key, once the watch brings it; None if it does not in time."""
        if self.find(key) is None and self.loaded:
            arrival = asyncio.get_running_loop().create_future()
            arrivals = self._view.awaited.setdefault(key, [])
            arrivals.append(arrival)
            try:
                async with asyncio.timeout(seconds):
                    await arrival
            except TimeoutError:
                pass
            finally:
                arrivals.remove(arrival)
                if not arrivals:
                    self._view.awaited.pop(key, None)
        return self.find(key)

    async def while_there(self, owner: Registration, doing: Coroutine[Any, Any, T]) -> T:
        """Return what is done at an owner of `all`, unless that leaves or drains meanwhile.

        What was done there is cancelled then.

        Raises:
            UnregisteredMailbox: it has left.
            PeerNotServing: it drains: it offers no actors any more.
        """
        if (departed := self._departed(owner)) is not None:
            doing.close()
            raise departed
        task = asyncio.create_task(doing, name=f"at {owner.peer}")
        departures = self._departures.setdefault(owner.key, [])
        try:
            while departed is None:
                departure = asyncio.get_running_loop().create_future()
                departures.append(departure)
                try:
                    await asyncio.wait([task, departure], return_when=asyncio.FIRST_COMPLETED)
                finally:
                    departures.remove(departure)
                if task.done():
                    return task.result()
                departed = self._departed(owner)
            raise departed
        finally:
            if not departures:
                self._departures.pop(owner.key, None)
            if not task.done():
                task.cancel()
                await asyncio.wait([task])

    def _departed(self, owner: Registration) -> GridError | None:
        found = self.find(owner.key)
        if found is None:
            return _unregistered(owner)
        # One that is there under another epoch had lost its lease, and has come back: what is
        # done there may have reached it as it is now.
        if owner.types and not found.types:
            return PeerNotServing(owner.peer, "draining")
        return None

    def _has_left(self, left: Registration) -> None:
        self._tell_departures(left)
        try:
            self.on_left(left)
        except Exception as error:  # noqa: BLE001 - all requests need the view that calls it
            _log.error("the loss of %s could not be handed on", left.key, exc_info=error)

    def _tell_departures(self, of: Registration) -> None:
        for departure in self._departures.get(of.key, ()):
            if not departure.done():
                departure.set_result(None)

    async def close(self) -> None:
        """End the watch and the reads; later ones raise `ClientClosed`."""
        self._closed = True
        tasks = [*self._reads.values(), *([self._feed] if self._feed else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        # An ended task holds the frames of its last call, which keep the connection to etcd.
        self._feed = None

    def _has_read(self, key: str, reading: asyncio.Task[Registration | None]) -> None:
        del self._reads[key]
        if not reading.cancelled():
            reading.exception()  # all callers may have left: it is not to be logged then

    def _start(self) -> None:
        if self._closed:
            raise ClientClosed
        if self._feed is None:
            self._feed = asyncio.create_task(self._follow(), name=f"directory {self._prefix}")

    async def _follow(self) -> None:
        rest = _FIRST_REST
        while True:
            try:
                async with self.etcd.watch(self._prefix) as watch:
                    async for batch in watch:
                        self._view.apply(batch)
                        rest = _FIRST_REST
            except EtcdError as error:
                _log.warning("going on with the last view: %s", error)
            except Exception as error:  # noqa: BLE001 - a view that stands still misleads for good
                _log.error("the names are read again after a defect", exc_info=error)
            # A refusal comes at once, and again; it shall not be asked for all the time.
            await asyncio.sleep(rest)
            rest = min(2 * rest, _LONGEST_REST)

    async def _read(self, key: str) -> Registration | None:
        before = self.find(key)
        try:
            stored = await self.etcd.get(key)
        except EtcdError:
            known = self.find(key)
            if known is None:
                raise
            return known
        self._view.read(key, before, stored)
        return self.find(key)


def _ignore(_: Registration) -> None:
    pass


def _warn(error: MalformedRegistration) -> None:
    _log.warning("skipped, not a registration: %s", error)


def _unregistered(owner: Registration) -> UnregisteredMailbox:
    namespace, _, name = owner.key.split(".")
    return UnregisteredMailbox(name, namespace)
