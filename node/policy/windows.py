"""The number of jobs that are sent to a worker ahead of their turn.

Short jobs are sent ahead, so that the worker need not wait for the next one. Long jobs are sent
one at a time, so that none waits behind another while a worker is free; while more jobs wait than
there are workers, each worker has one more at hand.
"""

from __future__ import annotations

__all__ = ["Window"]

_AHEAD = 0.02  # seconds of work that are sent ahead
_LARGEST = 256
_LONGEST = 1.0  # seconds of a job behind which one more is at hand; the way is short beside it
_WEIGHT = 0.2  # of the latest job in the average


class Window:
    """Window of one worker.

    Args:
        concurrency: jobs that the worker runs at once.

    Attributes:
        in_flight: jobs that were sent and are not done.
        concurrency: jobs that the worker runs at once.
        size: number of jobs that may be in flight.
    """

    def __init__(self, concurrency: int = 1) -> None:
        self.in_flight = 0
        self.concurrency = self.size = concurrency
        self._seconds: float | None = None

    def widen(self, concurrency: int) -> None:
        """Note the number of jobs that the worker runs at once."""
        self.concurrency = concurrency
        self._resize()

    def _resize(self) -> None:
        if self._seconds is None:
            self.size = self.concurrency
        else:
            ahead = int(_AHEAD / max(self._seconds, 1e-9))
            self.size = min(self.concurrency * (1 + ahead), max(_LARGEST, self.concurrency))

    @property
    def room(self) -> int:
        """Number of jobs that may be sent now."""
        return max(0, self.size - self.in_flight)

    @property
    def idle(self) -> int:
        """Number of jobs that would begin at once."""
        return max(0, self.concurrency - self.in_flight)

    @property
    def takes_one_ahead(self) -> bool:
        """True if one job more may be sent, provided that enough are left for other workers."""
        known = self._seconds is not None and self._seconds <= _LONGEST
        return known and self.in_flight <= self.concurrency

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
        self._resize()
