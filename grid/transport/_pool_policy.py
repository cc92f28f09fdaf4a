"""The choice of the next session of an address, and the need for one more.

A pool begins with one session. While all of them are busy, or none is there,
one more is wanted, up to a maximum; only one is made at a time. Among those
that are not busy each has its turn.
"""

from __future__ import annotations

from typing import Generic, Protocol, TypeVar

__all__ = ["PoolPolicy"]


class Pooled(Protocol):
    """A session, as far as it matters here."""

    @property
    def busy(self) -> bool:
        """True while it has more to do than it can."""
        ...


P = TypeVar("P", bound=Pooled)


class PoolPolicy(Generic[P]):
    """The sessions of one address.

    Args:
        maximum: the largest number of sessions.

    Attributes:
        members: those in use, the oldest first.
    """

    __slots__ = ("_turn", "maximum", "members")

    def __init__(self, maximum: int) -> None:
        self.maximum = maximum
        self.members: list[P] = []
        self._turn = 0

    def add(self, member: P) -> None:
        """Add a session that is ready."""
        self.members.append(member)

    def remove(self, member: P) -> None:
        """Remove a session that takes nothing new any more."""
        if member in self.members:
            self.members.remove(member)

    def pick(self) -> P | None:
        """The next session to use: of those that are not busy, else of all; None without any."""
        count = len(self.members)
        for step in range(count):
            member = self.members[(self._turn + step) % count]
            if not member.busy:
                self._turn = (self._turn + step + 1) % count
                return member
        if not count:
            return None
        self._turn = (self._turn + 1) % count
        return self.members[self._turn]

    def wants_more(self) -> bool:
        """True if one more session would help."""
        return len(self.members) < self.maximum and all(member.busy for member in self.members)
