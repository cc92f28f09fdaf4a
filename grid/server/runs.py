"""Runs of one actor: its code is called, again after a failed request, and again by its policy.

No caller may end an actor: an error that concerns one request or stream ends that, and the same
run goes on. Any other end of the code ends the run. Whether another one follows, with an actor
that the factory makes again, is for the restart policy to say; name, epoch, context and the
mailbox of the name stay from one run to the next.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
import traceback
from collections.abc import Awaitable, Callable
from typing import cast

from grid import trace_context
from grid.actor import ActorContext
from grid.deadline import now
from grid.errors import FactoryFailed, GridError
from grid.errors.classification import is_of_request, text_of
from grid.mailbox.mailbox import Mailbox
from grid.server.definitions import Act, BlockingAct, Definition, is_blocking
from grid.server.restarts import Restarts
from grid.sync.actors import run_blocking

__all__ = ["ActorRuns", "log_end", "make_actor"]

_log = logging.getLogger("grid.actor")

_SAY_AGAIN_AFTER = 1.0  # seconds between warnings of requests that failed in one actor
_LONGEST_TEXT = 500  # characters of an error that are kept


class ActorRuns:
    """The runs of one actor.

    Args:
        context: the actor's context.
        mailbox: the mailbox of its own name, which stays open between runs; None for none.
        mailboxes: all mailboxes of the actor, that one among them.
        restarts: the count of its restarts.
        make: makes the actor's code for another run.

    Attributes:
        blocking: True while the code runs in a thread.
        restarting: True between two runs.
        error: text of what the last run that failed ended by; empty for none.
        error_at: when that was, in seconds of Unix time.
        failed_start: True if the last run failed before it read a request, by an error that is not
            retryable.
    """

    __slots__ = (
        "_context",
        "_mailbox",
        "_mailboxes",
        "_make",
        "_restarts",
        "blocking",
        "error",
        "error_at",
        "failed_start",
        "restarting",
    )

    def __init__(
        self,
        context: ActorContext,
        mailbox: Mailbox | None,
        mailboxes: list[Mailbox],
        restarts: Restarts,
        make: Callable[[], Act | BlockingAct],
    ) -> None:
        self._context = context
        self._mailbox = mailbox
        self._mailboxes = mailboxes
        self._restarts = restarts
        self._make = make
        self.blocking: bool = False
        self.restarting: bool = False
        self.error: str = ""
        self.error_at: float = 0.0
        self.failed_start: bool = False

    @property
    def restarts(self) -> int:
        """Restarts so far."""
        return self._restarts.count

    async def run(self, act: Act | BlockingAct) -> None:
        """Run the actor until it ends for good; raises what its last run ended by."""
        following: Act | BlockingAct | None = act
        while True:
            read = self._read()
            try:
                if following is None:
                    following = self._make()
                self._context._begin_timers()
                try:
                    await self._run_once(following)
                finally:
                    await self._context._end_run()
                await self._context._save_at_end()
                error = None
            except Exception as failure:  # noqa: BLE001 - it is reported here, or raised
                error = failure
                self._remember(failure)
                retryable = isinstance(failure, GridError) and failure.retryable
                first = self._read() == read and not self._is_to_end()
                self.failed_start = first and not retryable
            pause = None
            if not self._is_to_end():
                pause = self._restarts.pause(failed=error is not None, at=now())
            if pause is None:
                if error is not None:
                    raise error
                return
            self._report(error, pause)
            if error is not None:
                traceback.clear_frames(error.__traceback__)  # they may hold requests
            following, error = None, None
            self.restarting = True
            await self._close_opened()
            if await self._stopped_within(pause):
                return
            self.restarting = False

    def _is_to_end(self) -> bool:
        # A stop that is asked for, and a name that is lost; of a peer that drains, the mailboxes
        # take nothing new before its actors are asked to stop.
        drained = self._mailbox is not None and self._mailbox._draining
        return drained or bool(self._context._stopping)

    def _remember(self, error: Exception) -> None:
        text = f"{type(error).__name__}: {text_of(error)}"
        self.error = text if len(text) <= _LONGEST_TEXT else f"{text[:_LONGEST_TEXT]}..."
        self.error_at = time.time()

    def _report(self, error: BaseException | None, pause: float) -> None:
        _log.log(
            logging.INFO if error is None else logging.ERROR,
            "actor %s ended%s; restart %d follows in %.2f s",
            self._context.id,
            "" if error is None else " by an error",
            self._restarts.count,
            pause,
            exc_info=error,
            extra=self._context._log_fields(),
        )

    async def _close_opened(self) -> None:
        opened = [one for one in self._mailboxes if one is not self._mailbox]
        await asyncio.gather(*(one.close() for one in opened))
        self._mailboxes[:] = [] if self._mailbox is None else [self._mailbox]

    async def _stopped_within(self, pause: float) -> bool:
        refusing = None
        if self._mailbox is not None and self._restarts.policy.requests == "fail":
            refusing = asyncio.create_task(self._refuse(self._mailbox))
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._context._stopping.wait()
        finally:
            if refusing is not None:
                refusing.cancel()
                # Its error is that of a mailbox that lost its name, of which the actor hears, too.
                await asyncio.gather(refusing, return_exceptions=True)
        return self._context._stopping.is_set()

    async def _refuse(self, mailbox: Mailbox) -> None:
        async for request in mailbox:
            request.fail(f"grid: {mailbox.name!r} ended and is being restarted", code="UNAVAILABLE")

    async def _run_once(self, act: Act | BlockingAct) -> None:
        read, said = -1, -_SAY_AGAIN_AFTER
        while True:
            try:
                await self._act(act)
            except (SystemExit, KeyboardInterrupt) as error:
                # asyncio would hand them to the loop, and the peer with all its actors would end.
                raise RuntimeError(
                    f"the actor raised {error!r}; to end, an actor returns"
                ) from error
            except (GridError, BaseExceptionGroup) as error:
                # No caller may end an actor: not by a stream that it takes none of, not by leaving
                # in the midst of one. Without another request read it would fail for ever.
                ends = not is_of_request(error) or self._context._stopping
                if ends or self._read() == read:
                    raise
                read = self._read()
                if now() - said >= _SAY_AGAIN_AFTER:  # callers shall not be able to fill the log
                    said = now()
                    text = "".join(traceback.format_exception(error))
                    _log.warning(
                        "actor %s goes on after a failed request: %s",
                        self._context.id,
                        text,
                        extra=self._context._log_fields(),
                    )
                # They may hold the request, whose caller is answered when it is let go of.
                traceback.clear_frames(error.__traceback__)
            else:
                return

    def _read(self) -> int:
        # The number of requests that it has read from its mailboxes.
        return sum(mailbox._received - len(mailbox) for mailbox in self._mailboxes)

    def _act(self, act: Act | BlockingAct) -> Awaitable[object]:
        # No coroutine of its own: it would stay, and weigh, as long as the actor.
        trace_context.hand_out({})  # what it does is not part of its start
        self.blocking = is_blocking(act)
        if self.blocking:
            return run_blocking(cast("BlockingAct", act), self._context)
        return cast("Act", act)(self._context)


def make_actor(definition: Definition, data: bytes) -> Act | BlockingAct:
    """A new actor of a definition.

    Raises:
        FactoryFailed: the factory raised; its error is logged.
        GridError: what it raised, if that is an error of the grid.
    """
    try:
        return definition.make(data)
    except GridError:
        raise
    except BaseException as error:
        # SystemExit too: it is the factory's error, and must not end the peer.
        _log.exception("the factory of actor type %r failed", definition.type)
        raise FactoryFailed(f"{type(error).__name__}: {text_of(error)}") from error


def log_end(context: ActorContext, acting: asyncio.Task[None]) -> None:
    """Say how the runs of an actor ended, unless they just did."""
    fields = context._log_fields()
    if acting.cancelled():
        reason = context._stopping.reason or "by itself"
        _log.info("actor %s was cancelled: %s", context.id, reason, extra=fields)
    elif (error := acting.exception()) is not None:
        _log.error("actor %s ended by an error", context.id, exc_info=error, extra=fields)
