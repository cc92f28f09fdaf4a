"""The choice of an endpoint, and the times of attempts and of pauses between rounds."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["Rotation", "attempt_time", "pause"]

_FIRST_PAUSE = 0.05
_LONGEST_PAUSE = 1.0
_SHORTEST_ATTEMPT = 1.0


class Rotation:
    """Stays with one endpoint until it fails, then takes the next one."""

    def __init__(self, endpoints: Sequence[str]) -> None:
        self._endpoints = tuple(endpoints)
        self._index = 0

    def __len__(self) -> int:
        return len(self._endpoints)

    @property
    def current(self) -> str:
        """The endpoint to use now."""
        return self._endpoints[self._index]

    def failed(self, endpoint: str) -> None:
        """Leave `endpoint`, unless an earlier failure has done so already."""
        if endpoint == self.current:
            self._index = (self._index + 1) % len(self._endpoints)


def attempt_time(remaining: float, total: float, endpoints: int) -> float:
    """Seconds for one attempt, so that every endpoint gets its turn in `total`."""
    return min(remaining, max(_SHORTEST_ATTEMPT, total / (endpoints + 1)))


def pause(failures: int, endpoints: int, jitter: float) -> float:
    """Seconds to wait after `failures` in a row: none within a round.

    Args:
        jitter: random, from 0 to 1; spreads the callers of an etcd that returns.
    """
    rounds, rest = divmod(failures, endpoints)
    if rest or not rounds:
        return 0.0
    longest = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2.0 ** min(rounds - 1, 10))
    return longest * (0.5 + jitter / 2)
