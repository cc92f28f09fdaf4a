"""Weak mappings by identity, for objects whose classes may define equality.

A machine may be a dataclass: then it is unhashable, or equal to another one. Whoever keeps
values by machine means the object.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar
from weakref import ref

__all__ = ["IdentityMap"]

K = TypeVar("K")
V = TypeVar("V")


class IdentityMap(Generic[K, V]):
    """Values by object, each as long as its object lives."""

    def __init__(self) -> None:
        self._entries: dict[int, tuple[ref[K], V]] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, key: object) -> bool:
        return id(key) in self._entries

    def __setitem__(self, key: K, value: V) -> None:
        self._entries[id(key)] = ref(key, self._forgetting(id(key))), value

    def __getitem__(self, key: K) -> V:
        return self._entries[id(key)][1]

    def get(self, key: K) -> V | None:
        """Return the value of an object, or None."""
        found = self._entries.get(id(key))
        return None if found is None else found[1]

    def pop(self, key: K, default: V | None = None) -> V | None:
        """Remove an object, and return its value, or the default."""
        found = self._entries.pop(id(key), None)
        return default if found is None else found[1]

    def values(self) -> list[V]:
        """Return the values of the objects that live."""
        return [value for _, value in self._entries.copy().values()]

    def clear(self) -> None:
        """Remove all objects."""
        self._entries.clear()

    def _forgetting(self, key: int) -> Callable[[Any], None]:
        entries = self._entries  # not this map, which may go before the object does

        def forget(gone: ref[K]) -> None:
            entry = entries.get(key)
            if entry is not None and entry[0] is gone:  # an id may be used again
                del entries[key]

        return forget
