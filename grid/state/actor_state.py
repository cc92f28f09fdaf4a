"""The state of one actor: a message in a store, under the actor's name and epoch."""

from __future__ import annotations

import asyncio
from typing import TypeVar

from grid.codec import Codec
from grid.errors import GridError, InvalidArgument, StoreUnavailable, UnexpectedState
from grid.plain import AnyMessage, type_name
from grid.state.store import Store
from grid.wire_pb2 import SavedState

__all__ = ["ActorState"]

M = TypeVar("M", bound=AnyMessage)


class ActorState:
    """The state of an actor, kept by the store that its server was given.

    It is any message: of protobuf, or a registered dataclass or model. Load it when the actor
    begins, which also keeps older owners of the name from writing, and save it when it shall last.
    Handlers and streams that run beside each other may save at once: the last call's state lasts,
    and those that wait for the store are written by one.

    Args:
        store: where it is kept.
        key: of this actor.
        epoch: the actor's.
        codec: the message types that are known.
        limit: bytes of a state at most.
    """

    def __init__(self, store: Store, key: str, epoch: int, codec: Codec, limit: int) -> None:
        self._store = store
        self._key = key
        self._epoch = epoch
        self._codec = codec
        self._limit = limit
        self._kept: AnyMessage | None = None
        self._changing = asyncio.Lock()
        self._newest: bytes | None = None  # what the last call wants to be stored; None for nothing
        self._asked = 0  # calls to change the state
        self._stored = 0  # of these, the last one whose outcome is stored

    def __repr__(self) -> str:
        return f"<ActorState {self._key} epoch={self._epoch}>"

    async def load(self, cls: type[M]) -> M | None:
        """The state that was saved last; None if there is none.

        Args:
            cls: the class that it must be of.

        Raises:
            StateFenced: another owner of the name, a newer one, has the state.
            StoreUnavailable: the store cannot be reached; try again.
            UnexpectedState: it is of another class, or cannot be read as this one.
        """
        if not isinstance(cls, type):
            raise InvalidArgument("the class of a state", cls, "a class of messages")
        async with self._changing:
            data = await self._store.load(self._key, self._epoch)
        if data is None:
            return None
        saved = SavedState.FromString(data)
        try:
            found = self._codec.decode(saved.type_name, saved.data)
        except GridError as error:
            raise UnexpectedState(self._key, type_name(cls), str(error)) from error
        if not isinstance(found, cls):
            raise UnexpectedState(self._key, type_name(cls), type_name(type(found)))
        return found

    async def save(self, state: AnyMessage) -> None:
        """Save the state as it is now; it, or what a later call saves, is durable on return.

        Cancelled, it may have been saved or not.

        Raises:
            StateFenced: another owner of the name has the state; nothing was changed.
            StoreUnavailable: the store cannot be reached; it may be saved. Saving again is safe.
            UnsupportedMessage, MessageTooLarge: it cannot be saved; `StateTooLarge`, which is one,
                if the store does not take it.
        """
        name, data = self._codec.encode(state, limit=self._limit)
        saved = SavedState(type_name=name, data=data).SerializeToString()
        await self._change(saved)

    def save_at_end(self, state: AnyMessage) -> None:
        """Save the state, as it is then, when the actor has ended without an error.

        It is for an object that the actor changes while it runs; call it once. What was not
        saved is lost if the process or the machine fails before that.

        Raises:
            UnsupportedMessage, MessageTooLarge: it cannot be saved as it is now.
        """
        self._codec.encode(state, limit=self._limit)
        self._kept = state

    async def delete(self) -> None:
        """Forget the saved state. Raises `StateFenced` and `StoreUnavailable` as `save` does."""
        self._kept = None
        await self._change(None)

    async def _change(self, data: bytes | None) -> None:
        self._newest = data
        self._asked += 1
        mine = self._asked
        async with self._changing:
            if mine <= self._stored:
                return
            newest = self._asked
            if self._newest is None:
                await self._store.delete(self._key, self._epoch)
            else:
                await self._store.save(self._key, self._epoch, self._newest)
            self._stored = newest
            if newest == self._asked:
                self._newest = None  # or each actor would keep a copy of its state

    def _cut(self, reason: str) -> None:
        """Let nothing more reach the store."""
        self._store = _Gone(reason)

    async def _end(self) -> None:
        if self._kept is not None:
            await self.save(self._kept)


class _Gone(Store):
    """A store that cannot be reached any more."""

    def __init__(self, reason: str) -> None:
        self._reason = reason

    async def load(self, key: str, epoch: int) -> bytes | None:
        raise StoreUnavailable(self._reason)

    async def save(self, key: str, epoch: int, data: bytes) -> None:
        raise StoreUnavailable(self._reason)

    async def delete(self, key: str, epoch: int) -> None:
        raise StoreUnavailable(self._reason)
