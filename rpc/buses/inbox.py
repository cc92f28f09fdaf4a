"""A mailbox that is registered again after its peer has lost the lease."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from grid.aio import USER_ERRORS, being_cancelled
from grid.errors import GridError, LeaseLost
from grid.mailbox.mailbox import Mailbox
from grid.mailbox.request import Request

__all__ = ["Inbox"]

_log = logging.getLogger("rpc.services")

_REJOIN_PAUSE = 0.2  # seconds between tries to register again after a lost lease


class Inbox:
    """Reads a mailbox in a task of its own.

    Args:
        owner: for logs and the task's name.
        open_mailbox: opens the mailbox, the first time and after each lost lease.
        take: handles a request; the next one waits for it.
        lost: called when the mailbox has lost its name, before it is opened again.
    """

    def __init__(
        self,
        owner: str,
        open_mailbox: Callable[[], Awaitable[Mailbox]],
        take: Callable[[Request[Any]], Awaitable[None]],
        lost: Callable[[], object] = lambda: None,
    ) -> None:
        self._owner = owner
        self._open_mailbox = open_mailbox
        self._take = take
        self._lost = lost
        self._mailbox: Mailbox | None = None
        self._reading: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Register; requests are taken when this returns."""
        self._mailbox = await self._open_mailbox()
        self._reading = asyncio.create_task(self._read(self._mailbox), name=self._owner)

    async def stop(self) -> None:
        """Take no more requests; the name stays until `close`. Idempotent."""
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.wait([self._reading])

    async def close(self) -> None:
        """End the reading and leave the directory. Idempotent; cancelling it frees the name."""
        try:
            await self.stop()
        finally:
            if self._mailbox is not None:
                await self._mailbox.close()

    async def _read(self, mailbox: Mailbox) -> None:
        while True:
            try:
                async for request in mailbox:
                    await self._handle(request)
                return
            except LeaseLost:
                self._lost()
                mailbox = await self._open_again()

    async def _handle(self, request: Request[Any]) -> None:
        try:
            await self._take(request)
        except USER_ERRORS as error:  # one request does not end the service of all others
            if isinstance(error, asyncio.CancelledError) and being_cancelled():
                raise
            _log.exception("the %s could not handle a request", self._owner)

    async def _open_again(self) -> Mailbox:
        while True:
            await asyncio.sleep(_REJOIN_PAUSE)
            try:
                self._mailbox = await self._open_mailbox()
            except GridError as error:
                _log.debug("the %s is not registered again yet: %s", self._owner, error)
            else:
                return self._mailbox
