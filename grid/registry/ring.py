"""Consistent hashing: which of the members a key belongs to.

Each member stands at many points of a circle; a key belongs to the member
whose point comes next after the key's own. When a member leaves, only its keys
move; when one comes, it takes its share from all others and nothing else
moves (Karger et al., 1997). Points are BLAKE2b hashes, so every process and
every run agrees.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from hashlib import blake2b

from grid.errors import InvalidArgument
from grid.numbers import check_count

__all__ = ["Ring"]


class Ring:
    """An immutable ring of members.

    Args:
        members: their names; order and repeats do not matter.
        points: how many points each has; more spreads keys more evenly.

    Raises:
        InvalidArgument: a member, or later a key, is not a string; points are not 1 or more.
    """

    def __init__(self, members: Iterable[str], *, points: int = 128) -> None:
        given = tuple(members)
        for member in given:
            _check_text("member of a ring", member)
        self.members: tuple[str, ...] = tuple(sorted(set(given)))
        check_count("points of a ring", points)
        circle = sorted(
            (_hash(f"{member}#{i}"), member) for member in self.members for i in range(points)
        )
        self._points = [point for point, _ in circle]
        self._owners = [member for _, member in circle]

    def __repr__(self) -> str:
        return f"<Ring of {len(self.members)}>"

    def __len__(self) -> int:
        return len(self.members)

    def owner(self, key: str) -> str:
        """The member a key belongs to. Raises `LookupError` on an empty ring."""
        for member in self.owners(key):
            return member
        raise LookupError("the ring has no members")

    def owners(self, key: str) -> Iterator[str]:
        """All members in the order of their claim to a key; the owner comes first."""
        _check_text("key of a ring", key)
        start = bisect_right(self._points, _hash(key))
        seen: set[str] = set()
        for i in range(len(self._owners)):
            member = self._owners[(start + i) % len(self._owners)]
            if member not in seen:
                seen.add(member)
                yield member


def _check_text(what: str, text: object) -> None:
    if not isinstance(text, str):
        raise InvalidArgument(what, text, "a string")


def _hash(text: str) -> int:
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest())
