"""Calls and streams of clients whose outcome the observers are told."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any, TypeVar

from grid.errors import GridError
from rpc.services.errors import CallTimedOut, ServiceError, from_handler
from rpc.services.observers import CallWatch, EventKind
from rpc.services.streams import ServiceStream, StreamWrapper

__all__ = ["WatchedStream", "kind_of", "told"]

T = TypeVar("T")


async def told(work: Awaitable[T], watch: CallWatch, *, opens: bool = False) -> T:
    """The outcome of a call, of which the observers are told; not of a stream that opens."""
    try:
        outcome = await work
    except asyncio.CancelledError:
        watch.tell(EventKind.CANCELED)
        raise
    except GridError as error:
        member = error.members[0] if isinstance(error, ServiceError) and error.members else ""
        watch.tell(kind_of(error), member, error=error)
        raise
    except Exception as error:  # of a function of the user: `choose`
        watch.tell(EventKind.ENDED, error=from_handler(error))
        raise
    if not opens:
        watch.tell(EventKind.ENDED)
    return outcome


def kind_of(error: GridError | None) -> EventKind:
    """The kind of event of an end."""
    return EventKind.EXPIRED if isinstance(error, CallTimedOut) else EventKind.ENDED


class WatchedStream(StreamWrapper[Any, Any]):
    """A stream whose end the observers are told."""

    def __init__(self, inner: ServiceStream[Any, Any], watch: CallWatch) -> None:
        super().__init__(inner)
        self._watch: CallWatch | None = watch
        self._failed: GridError | None = None

    async def receive(self) -> Any:
        """See `ServiceStream.receive`."""
        try:
            return await self.inner.receive()
        except GridError as error:
            self._failed = error
            raise

    async def close(self, error: BaseException | None = None) -> None:
        """See `ServiceStream.close`."""
        await self.inner.close(error)
        watch, self._watch = self._watch, None
        if watch is not None:
            watch.tell(EventKind.ENDED, self.member, error=self._failed)
