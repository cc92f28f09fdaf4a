"""The tasks that read a mailbox: as many as there is work for, up to a limit.

A task serves one request after the other. One more task is made when all are busy, and one
ends when too many wait, so a steady load makes no tasks. A request whose caller no longer
waits, because it left or its time is over, is cancelled in its task, which goes on with the next.
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

        After `timeout` seconds, or if this is cancelled, what still runs is cancelled; its
        callers get an error.
        """
        self._lost = None
        try:
            await self.mailbox.leave()
            if self._tasks:
                await asyncio.wait(tuple(self._tasks), timeout=timeout)
        finally:
            await self.kill()

    async def kill(self) -> None:
        """Cancel what runs and close the mailbox."""
        self._lost = None
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        try:
            await asyncio.gather(*tasks, return_exceptions=True)
        finally:
            await self.mailbox.close()

    def _grow(self) -> None:
        if len(self._tasks) >= self._limit:
            return
        self._idle += 1
        task = asyncio.create_task(self._work(), name=f"service {self.mailbox.name}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _work(self) -> None:
        serve, caller = self._serve, _Caller()
        busy = False
        try:
            async for request in self.mailbox:
                busy = True
                self._idle -= 1
                if not self._idle:
                    self._grow()
                request.served_by(caller)
                try:
                    await serve(request)
                except asyncio.CancelledError:
                    if not caller.took_back():
                        raise
                if caller.left:  # it was served to its end
                    await caller.forget()
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


class _Caller:
    """The caller of the request that a task serves: when it leaves, the task is cancelled.

    Attributes:
        left: the task was cancelled for it, and that was not taken back yet.
    """

    __slots__ = ("_task", "left")

    def __init__(self) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - made in a coroutine
        self._task = task
        self.left = False

    def abandoned(self) -> None:
        """Cancel the task; see `Request.served_by`."""
        self.left = True
        self._task.cancel()

    def took_back(self) -> bool:
        """Take the cancellation back; False if there is another reason to be cancelled."""
        left, self.left = self.left, False
        return left and self._task.uncancel() == 0

    async def forget(self) -> None:
        """Take the cancellation back, which may not have arrived yet; raises another one.

        Before Python 3.13 `uncancel` leaves it there, for the next `await` of the task.
        """
        if not self.took_back():
            raise asyncio.CancelledError
        try:
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            if self._task.cancelling():
                raise
