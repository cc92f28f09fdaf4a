"""The protocol of stores: bytes by key, fenced by epochs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self

__all__ = ["NOT_OPEN", "Store"]

NOT_OPEN = "the store is not open: async with store, or enter=True"


class Store(ABC):
    """Keeps the states of actors; one of them serves all actors of a server.

    Each call carries the epoch of the actor, which is larger for each new owner of its name. A
    store refuses an epoch that is smaller than one that it has seen for the key, of a load too:
    once an owner has loaded a state, no older one can change it. Of an owner's saves that are under
    way together, the one that began last stays, and one that was given up never undoes a later
    one. A call that failed may be made again. `grid.state.conformance` tests a store.

    It is a context manager, so that a server opens and closes it:
    `server.provide(SqliteStore("shop.db"), enter=True)`.
    """

    @abstractmethod
    async def load(self, key: str, epoch: int) -> bytes | None:
        """The stored bytes, None for none; older epochs are refused from now on.

        Raises:
            StateFenced: a newer epoch has loaded or saved.
            StoreUnavailable: the store cannot be reached now.
        """

    @abstractmethod
    async def save(self, key: str, epoch: int, data: bytes) -> None:
        """Store bytes; they are durable when this returns.

        Cancelled, it may have saved them or not.

        Raises:
            StateFenced: a newer epoch has loaded or saved; nothing was changed.
            StoreUnavailable: the store cannot be reached now; the bytes may be saved.
            StateTooLarge: it takes no state of that size; nothing was changed.
        """

    @abstractmethod
    async def delete(self, key: str, epoch: int) -> None:
        """Forget the bytes of a key, but not its fence. Raises as `save` does."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        return None
