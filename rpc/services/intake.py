"""The tasks that read a mailbox: as many as there is work for, up to a limit.

A task serves one request after the other. One more task is made when all are busy, and one
ends when too many wait, so a steady load makes no tasks.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from grid.errors import GridError
from grid.mailbox.mailbox import Mailbox
from grid.mailbox.request import Request

__all__ = ["Intake"]

_WAITING = 16  # tasks that may wait for a request


class Intake:
    """Serves the requests of one mailbox.

    Args:
        mailbox: where they come.
        serve: called with each; it raises nothing but cancellation.
        limit: requests that are served at once.
        lost: called once if the mailbox loses its name.
    """

    def __init__(
        self,
        mailbox: Mailbox,
        serve: Callable[[Request[Any]], Awaitable[None]],
        *,
        limit: int,
        lost: Callable[[GridError], object],
    ) -> None:
        self.mailbox = mailbox
        self._serve = serve
        self._limit = limit
        self._lost: Callable[[GridError], object] | None = lost
        self._tasks: set[asyncio.Task[None]] = set()
        self._idle = 0
        self._grow()

    async def drain(self, timeout: float) -> None:
        """Leave the directory, serve what is here, and close the mailbox.

        After `timeout` seconds what still runs is cancelled; its callers get an error.
        """
        self._lost = None
        await self.mailbox.leave()
        if self._tasks:
            await asyncio.wait(tuple(self._tasks), timeout=timeout)
        await self.kill()

    async def kill(self) -> None:
        """Cancel what runs and close the mailbox."""
        self._lost = None
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.mailbox.close()

    def _grow(self) -> None:
        self._idle += 1
        task = asyncio.create_task(self._work(), name=f"service {self.mailbox.name}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _work(self) -> None:
        serve = self._serve
        busy = False
        try:
            async for request in self.mailbox:
                busy = True
                self._idle -= 1
                if not self._idle and len(self._tasks) < self._limit:
                    self._grow()
                await serve(request)
                del request  # an unanswered one is told so now, not with the next request
                busy = False
                self._idle += 1
                if self._idle > _WAITING:
                    return
        except GridError as error:
            if self._lost is not None:
                lost, self._lost = self._lost, None
                lost(error)
        finally:
            if not busy:
                self._idle -= 1
