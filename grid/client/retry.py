"""Sending again, when that is safe, until the caller's deadline.

A first try is made without any of this: tenacity costs more than a request.

A breaker that refuses is not a try: nothing was sent, so it is not counted. It
is there to refuse at once, and so it does, unless the caller is patient (`wait`,
or `attempts=None`). Then the next try is made when the breaker may let it
through, if that is before the deadline; if not, the refusal is raised at once.

A name that had an owner seconds ago may be between two owners, as in a rolling
update. It is looked for again, and that is no try either; nor is one at a peer that drains.
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

from grid.client.lookups import came_too_late
from grid.deadline import Deadline, now
from grid.errors import (
    BreakerOpen,
    EtcdUnavailable,
    GridError,
    OutcomeUnknown,
    PeerBusy,
    PeerNotServing,
    ReceiverBusy,
    Retryable,
    UnknownMailbox,
    UnregisteredMailbox,
)
from grid.numbers import check_count, check_seconds

__all__ = ["Retry", "mark_tried", "may_resend", "resend"]

T = TypeVar("T")

_WAITED_FOR = (ReceiverBusy, PeerBusy, BreakerOpen)
_LONGEST_LOOK = 0.2  # seconds between looks for a name that is between two owners
_TICK = 0.02  # seconds by which the timers of a loop may be early, and more
_PROMPT = 0.5  # seconds within which etcd answers; one that had less time has not failed


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


def mark_tried(error: GridError) -> GridError:
    """The error itself, marked as the end of attempts that were enough."""
    error.__dict__["_tried"] = True
    return error


def may_resend(error: GridError, policy: Retry, *, idempotent: bool, wait: bool) -> bool:
    """True if the policy allows a safe resend."""
    if "_tried" in error.__dict__:
        return False
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
    explain: Callable[[GridError], Awaitable[GridError]] | None = None,
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
        explain: makes the error to be raised of the last one; by default it is that.
    """
    attempts = _Attempts(attempt, deadline, after)
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
        if isinstance(error, UnregisteredMailbox) or _drains(error):
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
    except Retryable as error:  # of etcd, too: the name could not be looked up again
        last = error if explain is None else await explain(error)
        if attempts.unknown:
            raise OutcomeUnknown(f"an attempt may have arrived; the last: {last}") from last
        raise last from error.__cause__
    finally:
        attempts.last = None  # its traceback leads back here: no cycle shall hold connections


async def _rest(after: GridError, policy: Retry, deadline: Deadline) -> None:
    if isinstance(after, BreakerOpen):
        rest = max(after.retry_in, policy.first_pause)
        if deadline.remaining() <= rest:
            raise after
        await asyncio.sleep(rest)


def _error(state: RetryCallState) -> BaseException | None:
    return state.outcome.exception() if state.outcome else None


def _counts_as_none(error: BaseException | None, *, wait: bool) -> bool:
    if isinstance(error, UnregisteredMailbox) or _drains(error):
        return True
    return wait and isinstance(error, _WAITED_FOR)


def _drains(error: BaseException | None) -> bool:
    # The name will be free in a moment, and another peer has it then.
    return isinstance(error, PeerNotServing) and error.state == "draining"


class _Attempts(Generic[T]):
    """Makes attempts, and remembers what matters of how they ended.

    Attributes:
        last: the error of the last one.
        refused: those that count as no try; nothing was sent.
        unknown: True if one may have arrived.
    """

    def __init__(
        self, attempt: Callable[[], Awaitable[T]], deadline: Deadline, after: GridError
    ) -> None:
        self._attempt = attempt
        self._deadline = deadline
        self.last: GridError | None = after
        self.refused = int(isinstance(after, (BreakerOpen, UnregisteredMailbox)))
        self.unknown = isinstance(after, OutcomeUnknown)

    async def once(self) -> T:
        """One more. One that is cut as it begins ends as the one before it."""
        began = now()
        try:
            return await self._attempt()
        except EtcdUnavailable as error:
            if self._deadline.remaining() < _TICK and now() - began < _PROMPT:
                raise (self.last or error) from None
            self.last = error
            raise
        except GridError as error:
            if came_too_late(error):
                raise (self.last or error) from None
            self.last = error
            self._count(error)
            raise

    def _count(self, error: GridError) -> None:
        if isinstance(error, (BreakerOpen, UnregisteredMailbox)) or _drains(error):
            self.refused += 1
        elif isinstance(error, OutcomeUnknown):
            self.unknown = True
