"""Sending again, when that is safe, until the caller's deadline.

A first try is made without any of this: tenacity costs more than a request.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from tenacity import (
    AsyncRetrying,
    RetryCallState,
    retry_if_exception,
    stop_after_attempt,
    wait_exponential,
    wait_random,
)

from grid.deadline import Deadline
from grid.errors import GridError, OutcomeUnknown, ReceiverBusy, UnregisteredMailbox

__all__ = ["Retry", "may_resend", "resend"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Retry:
    """How often, and how patiently, a request is sent again.

    Attributes:
        attempts: how many times it is sent at most, the first included; 1 for
            never again, None for as often as the deadline allows.
        first_pause: seconds before the third attempt; doubles each time. The
            second follows at once, with the name resolved anew.
        longest_pause: seconds between attempts at most.
    """

    attempts: int | None = 6
    first_pause: float = 0.05
    longest_pause: float = 1.0


def may_resend(error: GridError, policy: Retry, *, idempotent: bool, wait: bool) -> bool:
    """True if sending again is safe, may help, and is wanted."""
    if policy.attempts == 1 and not (wait and isinstance(error, ReceiverBusy)):
        return False
    if isinstance(error, OutcomeUnknown):
        return idempotent
    return error.retryable and not isinstance(error, UnregisteredMailbox)


async def resend(
    attempt: Callable[[], Awaitable[T]],
    policy: Retry,
    deadline: Deadline,
    *,
    idempotent: bool,
    wait: bool,
) -> T:
    """Make further attempts after a first one failed.

    Args:
        attempt: one attempt.
        policy: how many and how far apart.
        deadline: when to give up; the last error is raised then.
        idempotent: try again after an unknown outcome, too.
        wait: a full mailbox is worth trying until the deadline.
    """

    def is_safe(error: BaseException) -> bool:
        return isinstance(error, GridError) and may_resend(
            error, policy, idempotent=idempotent, wait=wait
        )

    def is_over(state: RetryCallState) -> bool:
        if deadline.remaining() <= state.upcoming_sleep:
            return True
        error = state.outcome.exception() if state.outcome else None
        if policy.attempts is None or (wait and isinstance(error, ReceiverBusy)):
            return False
        return bool(stop_after_attempt(policy.attempts - 1)(state))

    retrying = AsyncRetrying(
        retry=retry_if_exception(is_safe),
        stop=is_over,
        wait=wait_exponential(policy.first_pause, policy.longest_pause)
        + wait_random(0, policy.first_pause),
        reraise=True,
    )

    async def once() -> T:  # tenacity awaits only what it sees to be an async function
        return await attempt()

    return await retrying(once)
