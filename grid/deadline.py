"""A deadline: made once from a caller's timeout, then passed on.

Time is read from the clock that goes on while the machine sleeps, so a lease
or a deadline does not grow by the length of a suspend.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

from grid.errors import DeadlineExceeded, GridError, InvalidArgument
from grid.numbers import FOREVER, is_number

__all__ = ["FOREVER", "Deadline", "check_timeout", "now", "request_overdue", "reschedule", "within"]

T = TypeVar("T")

_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


# Seconds on a clock that never goes back and runs through a suspend. A partial is
# called without a frame of its own, and this is read several times a request.
now: Callable[[], float] = partial(time.clock_gettime, _CLOCK)


def check_timeout(seconds: float) -> float:
    """The seconds themselves; raises `InvalidArgument` if they are not a number.

    Infinity is endless. Below 0 the time is over, as it is for a caller that worked out how much
    was left.
    """
    if not is_number(seconds):
        raise InvalidArgument("timeout", seconds, "a number of seconds")
    return seconds


@dataclass(frozen=True, slots=True, order=True)
class Deadline:
    """A point in time by which something must be done.

    Attributes:
        at: when, on the clock of `now`.
        timeout: the seconds it was made from, to be named when it has passed.
    """

    at: float
    timeout: float = field(default=0.0, compare=False)

    @classmethod
    def after(cls, seconds: float) -> Deadline:
        """The deadline `seconds` from now; endless ones are in 30 years.

        Raises:
            InvalidArgument: it is not a number.
        """
        return cls(now() + min(check_timeout(seconds), FOREVER), seconds)

    def remaining(self) -> float:
        """Seconds left, never below 0."""
        return max(0.0, self.at - now())

    @property
    def passed(self) -> bool:
        """True once the time is over."""
        return now() >= self.at


async def within(deadline: Deadline, what: str, doing: Awaitable[T]) -> T:
    """Return the result of `doing`, or cancel it and raise `DeadlineExceeded` for `what`."""
    try:
        async with asyncio.timeout(deadline.remaining()):
            return await doing
    except TimeoutError as error:
        if isinstance(error, GridError):
            raise
        raise DeadlineExceeded(what, deadline.timeout) from None


def reschedule(limit: asyncio.Timeout, at: float) -> None:
    """Let a limit end at another time of the event loop. One that is over stays so.

    Its body may have ended, or be about to, without its task having run on: then asyncio
    raises, in the place of whoever wants it to end.
    """
    with contextlib.suppress(RuntimeError):
        limit.reschedule(at)


def request_overdue(receiver: str, address: str, seconds: float) -> DeadlineExceeded:
    """The error of a request that had no answer in time.

    Args:
        receiver: the full name of the mailbox.
        address: the peer that was asked.
        seconds: the time that the caller gave.
    """
    name = receiver.rpartition(".")[2]
    return DeadlineExceeded(f"request to {name!r} at {address}", seconds)
