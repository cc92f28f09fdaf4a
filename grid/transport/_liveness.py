"""The liveness of the other side of a session, and the idleness of the session.

Liveness has two layers. A process that is dead or stopped is noticed by its wire in seconds:
gRPC's own pings, which it sends and answers from threads of its own, or the kernel. A handler
that merely keeps its event loop busy is not. Above that, while answers are awaited and nothing
comes, the session pings; only if the other side's event loop stays silent for a minute is the
session given up.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from grid.transport.protocol import Session

__all__ = ["Liveness"]

_STOPPED = 3.0  # seconds of silence after which a stopped process is given up


class Liveness:
    """Watches one session, once a second. Times are seconds on the clock of `deadline.now`.

    Args:
        session: the session.
        at: the time of its beginning.

    Attributes:
        idle_limit: seconds without use after which the session is idle.
        last_used: the last tick at which it was in use.
        round_trip: seconds that the last ping took; 0 before the first.
    """

    def __init__(self, session: Session, at: float) -> None:
        self._session = session
        self._frames = 0
        self._silent_since = math.inf
        self._pinged_at = 0.0
        self._deliveries = 0
        self.idle_limit = math.inf
        self.last_used = at
        self.round_trip = 0.0

    def is_idle(self, at: float) -> bool:
        """Note whether the session was used since the last tick; True if not for too long."""
        if self.in_use:
            self._deliveries, self.last_used = self._count(), at
        return at - self.last_used > self.idle_limit

    @property
    def in_use(self) -> bool:
        """True if anything is in flight, or was delivered since the last tick."""
        return bool(self._session.in_flight) or self._count() != self._deliveries

    def _count(self) -> int:
        # Pings and frames without deliveries do not count as use.
        return self._session.sent.deliveries + self._session.received.deliveries

    def lost(self, at: float, limit: float, is_stopped: Callable[[], bool]) -> str | None:
        """The reason to give the other side up, or None.

        Args:
            at: now.
            limit: seconds of silence that are borne while an answer is awaited.
            is_stopped: True if its process is known to stand still.
        """
        frames = self._session.received.frames
        if frames != self._frames or not self._session.awaited:
            self._frames, self._silent_since = frames, at
            return None
        silence = at - self._silent_since
        if silence > limit:
            return f"nothing came for {limit:g} s"
        if silence > _STOPPED and is_stopped():
            return "the other side's process is stopped"
        self.ping(at)
        return None

    def ping(self, at: float) -> None:
        """Ask the other side for a sign, unless it was asked already."""
        if not self._pinged_at:
            self._pinged_at = at
            self._session.ping(1)

    def answered(self, at: float) -> None:
        """Note that the ping came back."""
        self.round_trip, self._pinged_at = at - self._pinged_at, 0.0
