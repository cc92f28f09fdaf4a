"""The number of jobs that are sent to a worker ahead of their turn.

Short jobs are sent ahead, so that the worker need not wait for the next one; of long
jobs one is sent at a time, so that none waits behind another while a worker is free.
"""

from __future__ import annotations

__all__ = ["Window"]

_AHEAD = 0.02  # seconds of work that are sent ahead
_LARGEST = 256
_WEIGHT = 0.2  # of the latest job in the average


class Window:
    """Window of one worker.

    Args:
        concurrency: jobs that the worker runs at once.

    Attributes:
        in_flight: jobs that were sent and are not done.
    """

    def __init__(self, concurrency: int = 1) -> None:
        self.in_flight = 0
        self._concurrency = concurrency
        self._seconds: float | None = None

    @property
    def size(self) -> int:
        """Number of jobs that may be in flight."""
        if self._seconds is None:
            return self._concurrency
        ahead = int(_AHEAD / max(self._seconds, 1e-9))
        return min(self._concurrency * (1 + ahead), max(_LARGEST, self._concurrency))

    @property
    def room(self) -> int:
        """Number of jobs that may be sent now."""
        return max(0, self.size - self.in_flight)

    def done(self, seconds: float) -> None:
        """Note that a job is done, and the time that it took."""
        self.in_flight -= 1
        before = self._seconds
        if before is None:
            self._seconds = seconds
        else:
            # A long job counts at once: what is sent behind it would wait.
            weight = 1.0 if seconds > _AHEAD and seconds > before else _WEIGHT
            self._seconds = before + weight * (seconds - before)
