"""Pauses between attempts: doubling, bounded, with jitter, and an end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from grid.numbers import check_seconds

__all__ = ["Backoff", "RetryPolicy"]


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """The pauses and the limit of a client's attempts to connect again.

    Attributes:
        first_pause: seconds before the second attempt; the first follows at once.
        longest_pause: seconds between attempts at most; pauses double up to it.
        timeout: seconds after which it is given up; None: never.
        first_timeout: the same for the first connection, where a name that has no owner may
            be a mistake; None: as `timeout`.

    Raises:
        InvalidArgument: one is no number of seconds.
    """

    first_pause: float = 0.1
    longest_pause: float = 3.0
    timeout: float | None = 60.0
    first_timeout: float | None = None

    def __post_init__(self) -> None:
        check_seconds("first_pause", self.first_pause)
        check_seconds("longest_pause", self.longest_pause)
        for name in ("timeout", "first_timeout"):
            seconds = getattr(self, name)
            if seconds is not None:
                check_seconds(name, seconds, endless=True)


class Backoff:
    """The pauses of one series of attempts.

    Args:
        policy: how long they are.
        started: when the series began, in seconds of any clock.
        jitter: gives numbers from 0 up to 1.
    """

    def __init__(self, policy: RetryPolicy, started: float, jitter: Callable[[], float]) -> None:
        self._policy = policy
        self._started = started
        self._jitter = jitter
        self._attempts = 0
        first = policy.first_timeout
        self._timeout = policy.timeout if first is None else first

    def disconnected(self, now: float, lived: float) -> None:
        """Begin a new series, if the connection that ended was a stable one.

        A source that accepts connections and closes them at once is a failing
        source: only a connection that lived as long as the longest pause ends
        the series.

        Args:
            now: the present time.
            lived: seconds for which the connection was ready.
        """
        if lived:
            self._timeout = self._policy.timeout
        if lived >= self._policy.longest_pause:
            self._started = now
            self._attempts = 0

    def pause(self, now: float) -> float | None:
        """Seconds before the next attempt; None if it is given up."""
        policy = self._policy
        if self._timeout is not None and now - self._started >= self._timeout:
            return None
        self._attempts += 1
        if self._attempts == 1:
            return 0.0
        doublings = min(self._attempts - 2, 64)  # an endless series would leave the floats
        longest = min(policy.first_pause * 2.0**doublings, policy.longest_pause)
        return longest * (0.5 + 0.5 * self._jitter())
