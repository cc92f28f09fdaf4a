"""The state of a watch: the keys as last seen, and the changes that lists and events make.

No I/O: lists and events go in, changes come out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

from grid.etcd._model import Change, KeyValue, Snapshot, WatchBatch, decode_key, key_value

__all__ = ["View", "difference"]

_DELETE = 1  # mvccpb.Event.DELETE


class View:
    """The keys under a prefix as of `revision`."""

    def __init__(self) -> None:
        self._known: dict[str, KeyValue] = {}
        self._listed = False
        self.revision = 0
        self.current: Mapping[str, KeyValue] = MappingProxyType(self._known)

    def relist(self, snapshot: Snapshot) -> WatchBatch | None:
        """The changes that lead from what was known to a list; None if there are none.

        The first list always makes a batch, which may be empty.
        """
        first, self._listed = not self._listed, True
        changes = difference(self._known, snapshot.items)
        self._known.clear()
        self._known.update((item.key, item) for item in snapshot.items)
        self.revision = snapshot.revision
        return WatchBatch(self.revision, changes, first) if changes or first else None

    def apply(self, events: Iterable[Any]) -> WatchBatch | None:
        """The changes that etcd's events mean; None if all of them are known already."""
        known, seen = self._known, self.revision
        changes = []
        for event in events:
            revision = event.kv.mod_revision
            if revision <= seen:
                continue
            if event.type == _DELETE:
                key = decode_key(event.kv.key)
                changes.append(Change(key, None, known.pop(key, None)))
            else:
                item = key_value(event.kv)
                changes.append(Change(item.key, item, known.get(item.key)))
                known[item.key] = item
            self.revision = revision
        return WatchBatch(self.revision, changes, False) if changes else None

    def continued_by(self, newest: KeyValue | None, count: int) -> bool:
        """True if a store that holds this at the view's revision is the one that was viewed.

        Args:
            newest: the key that the store wrote last, as of the view's revision.
            count: number of keys at that revision.

        A store that lost its data and has grown past the revision since differs in one of
        the two: revisions repeat, but leases and values do not.
        """
        if newest is None or count != len(self._known):
            return count == len(self._known) == 0
        return self._known.get(newest.key) == newest

    def advance(self, revision: int) -> None:
        """Nothing happened up to `revision`."""
        self.revision = max(self.revision, revision)


def difference(known: Mapping[str, KeyValue], items: list[KeyValue]) -> list[Change]:
    """The changes from `known` to `items`, deletes first, then puts by revision.

    A key that was deleted and created again in between is both.
    """
    alive = {item.key: item.create_revision for item in items}
    gone = [
        Change(key, None, old)
        for key, old in known.items()
        if alive.get(key) != old.create_revision
    ]
    dead = {change.key for change in gone}
    put = []
    for item in items:
        old = None if item.key in dead else known.get(item.key)
        if old is None or old.mod_revision != item.mod_revision:
            put.append(Change(item.key, item, old))
    if known:
        put.sort(key=_mod_revision)
    return gone + put


def _mod_revision(change: Change) -> int:
    assert change.current is not None  # noqa: S101  # only puts are sorted
    return change.current.mod_revision
