"""A client's view of one kind of name. Pure: lists, changes and reads go in.

An entry is replaced only by one of the same or a later epoch, whichever of watch and read
brings it first. A read that was begun while an older entry was known may bring less than
that entry: then etcd lost its data and counts from the start, and the read counts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from grid.registry.registration import MalformedRegistration, Registration, decode_registration

if TYPE_CHECKING:
    from grid.etcd import Change, KeyValue, WatchBatch

__all__ = ["RegistryView"]


class Arrival(Protocol):
    """A future, as far as the view needs it."""

    def done(self) -> bool:
        """True once nothing waits for it."""

    def set_result(self, result: None, /) -> None:
        """Wake what waits."""


class RegistryView:
    """Registrations by full name.

    Attributes:
        find: the registration of a full name, or None. Each request asks, so it is the
            dictionary's own method.
        loaded: True once a watch has brought all there are.
        awaited: the futures of those who wait for a name.

    Args:
        on_malformed: called with the error of a stored value that is no registration.
        on_left: called with a registration whose name is gone, or has another owner.
        on_withdrawn: called with a registration that offered actors, and offers none any more.
    """

    def __init__(
        self,
        on_malformed: Callable[[MalformedRegistration], None],
        on_left: Callable[[Registration], None] = lambda _: None,
        on_withdrawn: Callable[[Registration], None] = lambda _: None,
    ) -> None:
        self._known: dict[str, Registration] = {}
        self._rewritten: dict[str, int] = {}  # revisions of values that are not their name's first
        self._addresses: Counter[str] = Counter()  # registrations at each address
        self._on_malformed = on_malformed
        self._on_left = on_left
        self._on_withdrawn = on_withdrawn
        self.find: Callable[[str], Registration | None] = self._known.get
        self.loaded: bool = False
        self.awaited: dict[str, list[Arrival]] = {}

    def __len__(self) -> int:
        return len(self._known)

    def all(self) -> list[Registration]:
        """All registrations that are known."""
        return list(self._known.values())

    def has(self, address: str) -> bool:
        """True if a registration leads to the address."""
        return address in self._addresses

    def apply(self, batch: WatchBatch) -> None:
        """Take a batch of a watch; the first one is a list of all there is."""
        if batch.snapshot:
            there = {change.key for change in batch.changes}
            for key, known in tuple(self._known.items()):
                if known.epoch <= batch.revision and key not in there:
                    self._drop(key)
        for change in batch.changes:
            self._change(change)
        self.loaded = True

    def read(self, key: str, before: Registration | None, stored: KeyValue | None) -> None:
        """Take what a read brought.

        Args:
            key: the full name that was read.
            before: the entry of the key when the read began.
            stored: what etcd has; None for nothing.
        """
        if stored is None:
            self._drop(key)
            return
        # What was known before the read began cannot be later than what it brings,
        # unless etcd lost its data and counts from the start.
        outlived = before is not None and before.epoch > stored.create_revision
        if outlived and self._known.get(key) is before:
            self._drop(key)
        self.put(stored)

    def put(self, stored: KeyValue) -> None:
        """Take a stored registration, unless a later one is known."""
        known = self._known.get(stored.key)
        if known is not None and self._is_older(stored, known):
            return
        try:
            found = decode_registration(stored)
        except MalformedRegistration as error:
            self._drop(stored.key)
            self._on_malformed(error)
            return
        self._known[stored.key] = found
        if stored.mod_revision > stored.create_revision:
            self._rewritten[stored.key] = stored.mod_revision
        else:
            self._rewritten.pop(stored.key, None)
        if stored.key in self.awaited:
            for arrival in self.awaited[stored.key]:
                if not arrival.done():
                    arrival.set_result(None)
        self._addresses[found.address] += 1
        if known is not None:
            self._leave(known.address)
            if known.epoch != stored.create_revision:
                self._on_left(known)
            elif known.types and not found.types:
                self._on_withdrawn(known)

    def _is_older(self, stored: KeyValue, known: Registration) -> bool:
        if known.epoch != stored.create_revision:
            return known.epoch > stored.create_revision
        return stored.mod_revision < self._rewritten.get(stored.key, 0)

    def _change(self, change: Change) -> None:
        if change.current is not None:
            self.put(change.current)
            return
        known = self._known.get(change.key)
        ended = change.previous.create_revision if change.previous else 0
        if known is not None and known.epoch <= ended:
            self._drop(change.key)

    def _drop(self, key: str) -> None:
        known = self._known.pop(key, None)
        self._rewritten.pop(key, None)
        if known is not None:
            self._leave(known.address)
            self._on_left(known)

    def _leave(self, address: str) -> None:
        self._addresses[address] -= 1
        if not self._addresses[address]:
            del self._addresses[address]
