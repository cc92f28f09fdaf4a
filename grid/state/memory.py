"""A store in memory, for tests: it lasts as long as its object."""

from __future__ import annotations

from grid.errors import StateFenced
from grid.state.store import Store

__all__ = ["MemoryStore"]


class MemoryStore(Store):
    """States in the memory of this process; share one among the servers of a test."""

    def __init__(self) -> None:
        self._stored: dict[str, tuple[int, bytes | None]] = {}

    async def load(self, key: str, epoch: int) -> bytes | None:
        """See `Store.load`."""
        data = self._checked(key, epoch)
        self._stored[key] = epoch, data
        return data

    async def save(self, key: str, epoch: int, data: bytes) -> None:
        """See `Store.save`."""
        self._checked(key, epoch)
        self._stored[key] = epoch, bytes(data)

    async def delete(self, key: str, epoch: int) -> None:
        """See `Store.delete`."""
        self._checked(key, epoch)
        self._stored[key] = epoch, None

    def _checked(self, key: str, epoch: int) -> bytes | None:
        fence, data = self._stored.get(key, (0, None))
        if epoch < fence:
            raise StateFenced(key, epoch)
        return data
