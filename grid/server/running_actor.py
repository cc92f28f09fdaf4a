"""One running actor, and the ways in which it ends: asked first, then cancelled, then given up."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field

from grid.actor import ActorContext
from grid.deadline import Deadline
from grid.errors import ActorStillRunning, LeaseLost, MailboxClosed, OnStartFailed
from grid.mailbox.mailbox import Mailbox
from grid.server.hurry import wait_or_hurry
from grid.server.idleness import Idleness
from grid.server.runs import ActorRuns

__all__ = ["HURRIED_UNWIND", "UNWIND", "RunningActor"]

UNWIND = 2.0  # seconds a cancelled actor may take to unwind before it is given up
HURRIED_UNWIND = 0.2  # the same, when the process shall end at once

_TELL = 1.0  # seconds in which requests are told of a failed start, and start nothing
_TIMER_GRAIN = 0.001  # seconds by which an event loop may call too early


@dataclass(slots=True, eq=False)
class RunningActor:
    """One running actor: `acting` is its own code, `life` that and the clean-up."""

    context: ActorContext
    mailboxes: list[Mailbox]
    runs: ActorRuns
    idleness: Idleness | None = None
    acting: asyncio.Task[None] = field(init=False)
    life: asyncio.Task[None] = field(init=False)

    def hears_stop(self) -> bool:
        """True if the actor can learn of a stop without being cancelled."""
        reads = any(not mailbox.closed for mailbox in self.mailboxes)
        return self.runs.blocking or self.context._watches_stopping or reads

    def lose(self, error: LeaseLost) -> None:
        """Cancel it: its name is no longer its own."""
        self.context._stopping._set(str(error))
        self.acting.cancel(error)

    async def tell_failure(self, *, activated: bool) -> None:
        """Answer what its mailboxes hold by the error that its code ended by.

        Args:
            activated: requests start it. One that failed before it served any keeps its names for
                a while, and tells: each of its callers would start it again otherwise.
        """
        error, told = self.runs.error, MailboxClosed
        if activated and self.runs.failed_start:
            told = OnStartFailed
        for mailbox in self.mailboxes:
            mailbox._ended_by = told(mailbox.name, error)
            mailbox._end(None)
        if told is OnStartFailed:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_TELL):
                    await self.context._stopping.wait()

    async def end(self, reason: str, grace: float, hurried: asyncio.Event) -> None:
        """Ask its code to end, and after the grace cancel it.

        Args:
            reason: why, for the actor and the log.
            grace: seconds it may go on before it is cancelled.
            hurried: set when there is no time for that.

        Raises:
            ActorStillRunning: it goes on though it was cancelled.
        """
        context = self.context
        if context.deadline is None:
            context.deadline = Deadline.after(grace)
        context._stopping._set(reason)
        for mailbox in self.mailboxes:
            mailbox._drain()
        if self.hears_stop():
            over = Deadline.after(grace)
            while not (self.acting.done() or over.passed or hurried.is_set()):
                await wait_or_hurry(self.acting, over.remaining() + _TIMER_GRAIN, hurried)
        if not self.acting.done():
            self.acting.cancel(reason)
        await wait_or_hurry(self.acting, UNWIND, hurried)
        if not self.acting.done() and hurried.is_set():
            await asyncio.wait([self.acting], timeout=HURRIED_UNWIND)
        if not self.acting.done():
            raise ActorStillRunning(context.name)
