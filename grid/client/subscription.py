"""Subscriptions: streams of one direction that are opened again after they break.

A stream breaks when its actor moves, its peer dies or the session is lost. A subscription then
opens another one, with a message that its author makes of the last item, so that it goes on
where it was. The first stream, and a stream that is open, cost nothing of this.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from tenacity import (
    AsyncRetrying,
    RetryCallState,
    retry_if_exception,
    wait_exponential,
    wait_random,
)

from grid.client.retry import Retry
from grid.deadline import now
from grid.errors import (
    ActorEnded,
    DeadlineExceeded,
    Filtered,
    GridError,
    LeaseLost,
    OutcomeUnknown,
    RequestFailed,
    Retryable,
    SecurityError,
    UnregisteredMailbox,
)
from grid.plain import AnyMessage, of_type
from grid.stream import Stream

__all__ = ["Subscription", "may_reopen"]

M = TypeVar("M", bound=AnyMessage)
T = TypeVar("T")

_log = logging.getLogger("grid.client")

_LEAST = 1.0  # seconds that an attempt has, also when the patience is over before that


def may_reopen(error: BaseException) -> bool:
    """True if another stream may do better than the one that ended by this error."""
    if isinstance(error, RequestFailed):  # an actor gave up: over a store that is down, say
        return isinstance(error.cause, Retryable)
    if isinstance(error, Filtered | SecurityError):
        return False
    return isinstance(error, Retryable | OutcomeUnknown | DeadlineExceeded | ActorEnded | LeaseLost)


class Subscription(Generic[M]):
    """The items of a stream that is opened again when it breaks; see `Client.subscribe`.

    Iterate over it, as `async with client.subscribe(...) as items: async for item in items:`.
    Entering opens the stream; without `async with` the first item does, and `close` ends it.
    Cancelling what waits for an item loses none, and the next wait goes on.

    Attributes:
        openings: streams that were opened up to now.
        last: the last item; None before the first one.
    """

    def __init__(
        self,
        name: str,
        open: Callable[[AnyMessage, float], Awaitable[Stream]],  # noqa: A002
        first: AnyMessage,
        *,
        item: type[M] | None,
        resume: Callable[[M], AnyMessage] | None,
        retry: Retry,
        patience: float,
    ) -> None:
        self.openings: int = 0
        self.last: M | None = None
        self._name = name
        self._open = open
        self._first = first
        self._item: type[Any] = object if item is None else item
        self._resume = resume
        self._retry = retry
        self._patience = patience
        self._stream: Stream | None = None
        self._opened_at = 0.0
        self._held = False  # the last stream that broke, for longer than the longest pause
        self._give_up_at = math.inf  # on the clock of `now`, while no stream holds
        self._over = False

    def __repr__(self) -> str:
        state = "over" if self._over else "broken" if self._stream is None else "open"
        return f"<Subscription to {self._name!r} {state}>"

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> M:
        item = None if self._over else await self._lasting(self._receive)
        if item is None:
            self._over = True
            raise StopAsyncIteration
        return item

    async def receive(self) -> M | None:
        """The next item; None when the actor has finished or closed the stream.

        Raises:
            GridError: the reason for which the actor closed it, or, once the patience is
                over, the last error. The subscription is over then.
            UnexpectedReply: the item is not of the class `item`.
        """
        return await anext(self, None)

    async def close(self) -> None:
        """End it, and the stream for both sides. Idempotent."""
        self._over = True
        await self._let_go()

    async def __aenter__(self) -> Self:
        await self._lasting(self._opened)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def _opened(self) -> Stream:
        if self._stream is None:
            last = self.last
            first = self._first if last is None or self._resume is None else self._resume(last)
            self._stream = await self._open(first, max(self._give_up_at - now(), _LEAST))
            self._opened_at = now()
            self.openings += 1
        return self._stream

    async def _receive(self) -> M | None:
        received = await (await self._opened()).receive()
        self._give_up_at = math.inf
        if received is None:
            return None
        self.last = of_type(self._item, received)
        return self.last

    # -- after a break -----------------------------------------------------------

    async def _lasting(self, attempt: Callable[[], Awaitable[T]]) -> T:
        try:
            try:
                return await attempt()
            except GridError as error:
                await self._check(error)
            while True:  # a series of attempts each time
                try:
                    return await self._series()(self._attempt, attempt)
                except GridError as error:
                    if not self._held:
                        raise
                    await self._check(error)
        except Exception:
            await self.close()
            raise

    async def _check(self, error: GridError) -> None:
        """Raise the error unless another stream may do better; else let go of this one."""
        unknown = isinstance(error, UnregisteredMailbox) and not self.openings
        if unknown or self._patience == 0 or not may_reopen(error):
            raise error
        if self._stream is not None:
            _log.info("the stream to %r broke and is opened again: %s", self._name, error)
        await self._let_go()
        if now() > self._give_up_at:  # since before this wait
            raise error

    async def _attempt(self, attempt: Callable[[], Awaitable[T]]) -> T:
        try:
            return await attempt()
        except GridError:
            await self._let_go()
            raise

    async def _let_go(self) -> None:
        stream, self._stream = self._stream, None
        self._held = stream is not None and now() - self._opened_at > self._retry.longest_pause
        if self._held:
            self._give_up_at = math.inf
        if stream is not None:
            await stream.close()

    def _series(self) -> AsyncRetrying:
        """Attempts until one succeeds, until one held for long, or until the patience is over."""
        policy = self._retry
        lost = self._give_up_at == math.inf  # just now, and not in a wait that was cancelled
        if lost:
            self._give_up_at = now() + self._patience

        def is_over(state: RetryCallState) -> bool:
            return now() + state.upcoming_sleep > self._give_up_at

        def tell(state: RetryCallState) -> None:
            if lost and state.attempt_number == 1 and state.outcome is not None:  # once for a loss
                error = state.outcome.exception()
                _log.warning("the stream to %r cannot be opened yet: %s", self._name, error)

        return AsyncRetrying(
            retry=retry_if_exception(lambda error: may_reopen(error) and not self._held),
            stop=is_over,
            wait=wait_exponential(policy.first_pause, policy.longest_pause)
            + wait_random(0, policy.first_pause),
            after=tell,
            reraise=True,
        )
