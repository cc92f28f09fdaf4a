"""A request by the psrpc protocol that is under way."""

from __future__ import annotations

import asyncio
from collections import deque

from grid.deadline import now
from rpc.psrpc_pb2 import ClaimRequest, Response, Stream
from rpc.services.errors import ServiceError

__all__ = ["Pending"]

_Event = ClaimRequest | Response | Stream


class Pending:
    """A request that is under way, and the events that have come for it."""

    def __init__(self, id_: str) -> None:
        self.id = id_
        self._events: deque[_Event | ServiceError] = deque()
        self._arrived: asyncio.Future[None] | None = None

    def put(self, event: _Event | ServiceError) -> None:
        """Take what has come."""
        self._events.append(event)
        if self._arrived is not None and not self._arrived.done():
            self._arrived.set_result(None)

    async def next(self, until: float) -> _Event | None:
        """The next event; None when the time is over."""
        while not self._events:
            self._arrived = asyncio.get_running_loop().create_future()
            try:
                async with asyncio.timeout(max(0.0, min(until - now(), 1e9))):
                    await self._arrived
            except TimeoutError:
                if not self._events:
                    return None
        event = self._events.popleft()
        if isinstance(event, ServiceError):
            raise event
        return event
