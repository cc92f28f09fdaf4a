"""Subscriptions: those that have lost messages are made again, and updates are unpacked."""

from __future__ import annotations

import asyncio
import logging

from grid.errors import GridError
from rpc.buses.bus import Bus, BusClosed, Channel, Subscription
from rpc.services.psrpc.frames import decode_update

__all__ = ["UpdateFrames", "subscribed_again"]

_log = logging.getLogger("rpc.services")

_FIRST_REST = 0.1  # seconds between tries to subscribe again
_LONGEST_REST = 2.0


async def subscribed_again(
    bus: Bus, channel: Channel, *, queue: bool = False, size: int
) -> Subscription | None:
    """A subscription as `Bus.subscribe` makes it, as soon as the bus is there; None once closed."""
    rest = _FIRST_REST
    while True:
        try:
            return await bus.subscribe(channel, queue=queue, size=size)
        except BusClosed:
            return None
        except GridError as error:
            _log.warning("%s is not subscribed again yet: %s", channel.name, error)
        await asyncio.sleep(rest)
        rest = min(2 * rest, _LONGEST_REST)


class UpdateFrames:
    """The messages in the frames of a subscription; others are skipped."""

    def __init__(self, inner: Subscription, full_name: str) -> None:
        self._inner = inner
        self._full_name = full_name

    def __aiter__(self) -> UpdateFrames:
        return self

    async def __anext__(self) -> bytes:
        while True:
            data = decode_update(await anext(self._inner), self._full_name)
            if data is not None:
                return data

    async def close(self) -> None:
        """See `Subscription`."""
        await self._inner.close()
