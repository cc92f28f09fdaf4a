"""Sending again, when that is safe, until the caller's deadline.

A first try is made without any of this: tenacity costs more than a request.

A breaker that refuses is not a try: nothing was sent, so it is not counted. It
is there to refuse at once, and so it does, unless the caller is patient (`wait`,
or `attempts=None`). Then the next try is made when the breaker may let it
through, if that is before the deadline; if not, the refusal is raised at once.

A name that had an owner seconds ago may be between two owners, as in a rolling
update. It is looked for again, and that is no try either.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from tenacity import (
    AsyncRetrying,
    RetryCallState,
    retry_if_exception,
    wait_exponential,
    wait_random,
)

from grid.deadline import Deadline
from grid.errors import (
    BreakerOpen,
    GridError,
    NotDelivered,
    OutcomeUnknown,
    PeerBusy,
    ReceiverBusy,
    UnknownMailbox,
    UnregisteredMailbox,
)
from grid.numbers import check_count, check_seconds

__all__ = ["Retry", "may_resend", "resend"]

T = TypeVar("T")

_WAITED_FOR = (ReceiverBusy, PeerBusy, BreakerOpen)
_LONGEST_LOOK = 0.2  # seconds between looks for a name that is between two owners


@dataclass(frozen=True, slots=True)
class Retry:
    """The policy by which a request is sent again.

    Attributes:
        attempts: times that it is sent at most, the first included; 1 for
            never again, None for as often as the deadline allows. An attempt that a
            breaker refused, or that found no owner of the name, does not count.
        first_pause: seconds before the third attempt; doubles each time. The
            second follows at once, with the name resolved again.
        longest_pause: seconds between attempts at most.

    Raises:
        InvalidArgument: a number is out of its range.
    """

    attempts: int | None = 6
    first_pause: float = 0.05
    longest_pause: float = 1.0

    def __post_init__(self) -> None:
        if self.attempts is not None:
            check_count("attempts", self.attempts)
        for name in ("first_pause", "longest_pause"):
            check_seconds(name, getattr(self, name))


def may_resend(error: GridError, policy: Retry, *, idempotent: bool, wait: bool) -> bool:
    """True if the policy allows a safe resend."""
    if isinstance(error, BreakerOpen):
        return wait or policy.attempts is None
    if policy.attempts == 1 and not (wait and isinstance(error, ReceiverBusy | PeerBusy)):
        return False
    if isinstance(error, OutcomeUnknown):
        return idempotent
    if isinstance(error, UnregisteredMailbox):
        return policy.attempts is None or error.between_owners
    if isinstance(error, ReceiverBusy | UnknownMailbox) and not error.retryable:
        # Known by its text alone, which an actor of a Go peer may have forwarded.
        return idempotent or (wait and isinstance(error, ReceiverBusy))
    return error.retryable


async def resend(
    attempt: Callable[[], Awaitable[T]],
    policy: Retry,
    deadline: Deadline,
    *,
    idempotent: bool,
    wait: bool,
    after: GridError,
) -> T:
    """Make further attempts after a first one failed.

    Args:
        attempt: one attempt.
        policy: how many and how far apart.
        deadline: when to give up; the last error is raised then, or, if it says
            that nothing arrived but an attempt before may have, `OutcomeUnknown`.
        idempotent: try again after an unknown outcome, too.
        wait: a full mailbox, or an address that is left alone, is worth trying
            until the deadline.
        after: the error of the first one.
    """
    attempts = _Attempts(attempt, after)
    await _rest(after, policy, deadline)

    def is_safe(error: BaseException) -> bool:
        return isinstance(error, GridError) and may_resend(
            error, policy, idempotent=idempotent, wait=wait
        )

    def is_over(state: RetryCallState) -> bool:
        if deadline.remaining() <= state.upcoming_sleep:
            return True
        if policy.attempts is None or _counts_as_none(_error(state), wait=wait):
            return False
        return state.attempt_number - attempts.refused >= policy.attempts - 1

    backoff = wait_exponential(policy.first_pause, policy.longest_pause) + wait_random(
        0, policy.first_pause
    )

    def pause(state: RetryCallState) -> float:
        error = _error(state)
        if isinstance(error, UnregisteredMailbox):
            return min(_LONGEST_LOOK, backoff(state))
        rest = error.retry_in if isinstance(error, BreakerOpen) else 0.0
        return max(rest, backoff(state))

    retrying = AsyncRetrying(
        retry=retry_if_exception(is_safe),
        stop=is_over,
        wait=pause,
        reraise=True,
    )

    try:
        return await retrying(attempts.once)
    except NotDelivered as error:
        if attempts.unknown:
            raise OutcomeUnknown(f"an attempt may have arrived; the last: {error}") from error
        raise


async def _rest(after: GridError, policy: Retry, deadline: Deadline) -> None:
    if isinstance(after, BreakerOpen):
        rest = max(after.retry_in, policy.first_pause)
        if deadline.remaining() <= rest:
            raise after
        await asyncio.sleep(rest)


def _error(state: RetryCallState) -> BaseException | None:
    return state.outcome.exception() if state.outcome else None


def _counts_as_none(error: BaseException | None, *, wait: bool) -> bool:
    return isinstance(error, UnregisteredMailbox) or (wait and isinstance(error, _WAITED_FOR))


class _Attempts(Generic[T]):
    """Makes attempts, and remembers what matters of how they ended.

    Attributes:
        refused: those that count as no try; nothing was sent.
        unknown: True if one may have arrived.
    """

    def __init__(self, attempt: Callable[[], Awaitable[T]], after: GridError) -> None:
        self._attempt = attempt
        self.refused = int(isinstance(after, (BreakerOpen, UnregisteredMailbox)))
        self.unknown = isinstance(after, OutcomeUnknown)

    async def once(self) -> T:
        """One more."""
        try:
            return await self._attempt()
        except (BreakerOpen, UnregisteredMailbox):
            self.refused += 1
            raise
        except OutcomeUnknown:
            self.unknown = True
            raise
