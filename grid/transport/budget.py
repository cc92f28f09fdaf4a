"""A budget of bytes: a bound on the memory kept for the other sides of many sessions."""

from __future__ import annotations

__all__ = ["Budget"]


class Budget:
    """Bytes that may be taken, and must be given back.

    Args:
        total: the bytes there are.

    Attributes:
        left: the bytes that are not taken.
    """

    __slots__ = ("left",)

    def __init__(self, total: int) -> None:
        self.left: int = total

    def take(self, size: int) -> bool:
        """Take bytes; False if there are not that many left."""
        if size > self.left:
            return False
        self.left -= size
        return True

    def give(self, size: int) -> None:
        """Give bytes back."""
        self.left += size
