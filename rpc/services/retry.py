"""An interceptor of clients that makes calls again where that is safe, within a budget."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from grid.deadline import now
from grid.errors import GridError, InvalidArgument
from grid.numbers import check_count, check_seconds, is_number
from rpc.services.client_calls import ClientCall
from rpc.services.codes import ErrorCode
from rpc.services.errors import from_handler

__all__ = ["Again", "retry"]

AnswerT = TypeVar("AnswerT")

_UNCLEAR = (ErrorCode.UNAVAILABLE, ErrorCode.DEADLINE_EXCEEDED)
_MOST = 10.0  # calls that may be made again before any has succeeded


@dataclass(frozen=True, slots=True)
class Again:
    """The next attempt of a call.

    Attributes:
        pause: seconds before it; None for the pause of `retry`.
        timeout: seconds that it may take; None for the time-out of `retry`.
    """

    pause: float | None = None
    timeout: float | None = None


def retry(
    *,
    attempts: int = 3,
    timeout: float | None = None,
    backoff: float = 0.0,
    pause: float = 0.05,
    longest_pause: float = 1.0,
    budget: float = 0.2,
    decide: Callable[[Exception, int], Again | None] | None = None,
) -> Callable[[ClientCall, Callable[[ClientCall], Awaitable[AnswerT]]], Awaitable[AnswerT]]:
    """An interceptor that makes a failed call again, or opens a stream again that was not opened.

    A call that no handler has seen is made again; one whose outcome is not known only if it
    is made with `idempotent=True`. All attempts together take no more than the call's timeout.

    Args:
        attempts: of a call, the first one included; 0 for as many as its timeout allows.
        timeout: seconds of the first attempt; None for all that the call has left.
        backoff: seconds by which the time of each further attempt is longer.
        pause: seconds before the second attempt; doubles each time.
        longest_pause: seconds between attempts at most.
        budget: attempts that may be added for each call that succeeds, so that retries do not
            multiply the load on servers that fail; shared by all calls of the interceptor.
        decide: a function of the error and of the number of the attempt that failed, from 1,
            which says whether and how the call is made again, in the place of the rule above.
            It is asked within the attempts and the budget.

    Raises:
        InvalidArgument: a number is out of its range.
    """
    _check(attempts, timeout, backoff, pause, longest_pause, budget)
    left = _MOST

    async def again(
        call: ClientCall, proceed: Callable[[ClientCall], Awaitable[AnswerT]]
    ) -> AnswerT:
        nonlocal left
        until = now() + call.timeout
        rest, allowed, attempt = pause, timeout, 0
        while True:
            attempt += 1
            if allowed is not None:
                call.timeout = min(allowed, until - now())
            try:
                answer = await proceed(call)
            except Exception as error:
                failure = error
                following = _decided(error, call, attempt, decide)
                if following is None or attempt == attempts or left < 1:
                    raise
                wait = rest if following.pause is None else following.pause
                call.timeout = until - now() - wait
                if call.timeout <= 0:
                    raise
                left -= 1
                if following.timeout is not None:
                    allowed = following.timeout
                elif timeout is not None:
                    allowed = timeout + attempt * backoff
            else:
                left = min(_MOST, left + budget)
                return answer
            call.timeout = await _rested(wait, until, failure)
            rest = min(2 * rest, longest_pause)

    return again


async def _rested(pause: float, until: float, failure: Exception) -> float:
    """Pause; the seconds that are left, or the failure if there are none."""
    await asyncio.sleep(pause)
    left = until - now()
    if left <= 0:  # the loop was held up
        raise failure
    return left


def _check(
    attempts: int,
    timeout: float | None,
    backoff: float,
    pause: float,
    longest_pause: float,
    budget: float,
) -> None:
    check_count("attempts", attempts, 0)
    for name, seconds in (("backoff", backoff), ("pause", pause), ("longest_pause", longest_pause)):
        check_seconds(name, seconds)
    if timeout is not None:
        check_seconds("timeout", timeout, zero=False)
    if not is_number(budget) or not budget >= 0:
        raise InvalidArgument("budget", budget, "a number of 0 or more")


def _decided(
    error: Exception,
    call: ClientCall,
    attempt: int,
    decide: Callable[[Exception, int], Again | None] | None,
) -> Again | None:
    if decide is not None:
        return decide(error, attempt)
    if isinstance(error, GridError) and error.retryable:
        return Again()
    # Other errors are of the connection or of an interceptor: `unknown`, or what gRPC says.
    codes = _UNCLEAR if isinstance(error, GridError) else (*_UNCLEAR, ErrorCode.UNKNOWN)
    return Again() if call.idempotent and from_handler(error).code in codes else None
