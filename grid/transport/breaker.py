"""A circuit breaker: an address that fails again and again is left alone for a while.

    closed ── `failures` in a row ──> open ── `rest` seconds ──> half-open
      ^                                ^                           │   │
      │                                └────── any failure ────────┘   │
      └──────────────────── `probes` successes ────────────────────────┘

A call asks for a `Permit` before it starts and settles it when it ends. A
permit belongs to the state it was given in: how a call ends that began before
the state changed says nothing about the present state of the address, and is
ignored. Nothing here reads a clock or waits; time is an argument, in seconds
on a clock that does not go back.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from grid.errors import BreakerOpen
from grid.numbers import check_count, check_seconds

__all__ = ["Breaker", "BreakerPolicy", "BreakerState", "Permit"]


class BreakerState(enum.StrEnum):
    """The states of a breaker, by its treatment of calls."""

    CLOSED = "closed"  # lets all through
    OPEN = "open"  # refuses all
    HALF_OPEN = "half_open"  # lets a few through, to see how they end


@dataclass(frozen=True, slots=True)
class BreakerPolicy:
    """The conditions under which a breaker opens and closes again.

    Attributes:
        failures: how many failures in a row open it.
        rest: seconds that it then stays open.
        probes: how many calls may be under way at once to try the address out,
            and how many successes close it.

    Raises:
        InvalidArgument: a number is out of its range.
    """

    failures: int = 5
    rest: float = 10.0
    probes: int = 3

    def __post_init__(self) -> None:
        for name, count in (("failures", self.failures), ("probes", self.probes)):
            check_count(f"{name} of a breaker", count)
        check_seconds("rest of a breaker", self.rest, zero=False)


class Permit:
    """Leave for one call, given by `Breaker.admit`, to be settled when the call has ended.

    It counts once: later settlements are ignored, so a `neutral`
    in a `finally` gives back what nothing else has settled. A probe that is never
    settled keeps its place for as long as the breaker is half-open.
    """

    __slots__ = ("_breaker", "_generation")

    def __init__(self, breaker: Breaker, generation: int) -> None:
        self._breaker: Breaker | None = breaker
        self._generation = generation

    def __repr__(self) -> str:
        return f"<Permit {'settled' if self._breaker is None else 'under way'}>"

    def succeeded(self, now: float) -> None:
        """The peer answered, if only with an error of its own."""
        breaker = self._take()
        if breaker is not None:
            breaker._succeeded(now)

    def failed(self, now: float) -> None:
        """The peer could not be reached, broke off, or kept silent."""
        breaker = self._take()
        if breaker is not None:
            breaker._failed(now)

    def neutral(self) -> None:
        """The call ended in a way that says nothing about the peer, e.g. it was cancelled."""
        breaker = self._take()
        if breaker is not None:
            breaker._leave()

    def _take(self) -> Breaker | None:
        """The breaker, if this is the first time and its state is still the same."""
        breaker, self._breaker = self._breaker, None
        if breaker is None or breaker._generation != self._generation:
            return None
        return breaker


class Breaker:
    """The breaker of one address; made closed. To reset it, make another one.

    Attributes:
        address: the address that it guards.
        policy: its numbers.
        since: when it entered its state; 0 while it has not left the first one.
        trips: how many times it has opened.
    """

    __slots__ = (
        "_generation",
        "_state",
        "_successes",
        "_trouble",
        "_under_way",
        "address",
        "policy",
        "since",
        "trips",
    )

    def __init__(self, address: str, policy: BreakerPolicy | None = None) -> None:
        self.address: str = address
        self.policy: BreakerPolicy = policy or BreakerPolicy()
        self.since: float = 0.0
        self.trips: int = 0
        self._state = BreakerState.CLOSED
        self._generation = 0  # of the state; larger at each change
        self._trouble = 0  # closed: failures since the last success
        self._under_way = 0  # half-open: probes not yet settled
        self._successes = 0  # half-open: probes that succeeded

    def __repr__(self) -> str:
        return f"<Breaker {self.address} {self._state} since={self.since:g} trips={self.trips}>"

    def state(self, now: float) -> BreakerState:
        """The state at a time: an open one has rested into half-open without being asked."""
        if self._state is BreakerState.OPEN and self._rest_left(now) <= 0:
            return BreakerState.HALF_OPEN
        return self._state

    def admit(self, now: float) -> Permit:
        """Leave to make one call now; settle the permit when the call has ended.

        Raises:
            BreakerOpen: the call must not be made. It says when to try again.
        """
        if self._state is not BreakerState.CLOSED:
            self._admit_probe(now)
        return Permit(self, self._generation)

    def _admit_probe(self, now: float) -> None:
        if self._state is BreakerState.OPEN:
            left = self._rest_left(now)
            if left > 0:
                raise BreakerOpen(self.address, str(self._state), left)
            self._enter(BreakerState.HALF_OPEN, now)
        if self._under_way >= self.policy.probes:
            raise BreakerOpen(self.address, str(self._state))
        self._under_way += 1

    def _rest_left(self, now: float) -> float:
        return self.since + self.policy.rest - now

    # -- a permit of the present state is settled ----------------------------

    def _succeeded(self, now: float) -> None:
        self._trouble = 0
        if self._state is BreakerState.HALF_OPEN:
            self._under_way -= 1
            self._successes += 1
            if self._successes >= self.policy.probes:
                self._enter(BreakerState.CLOSED, now)

    def _failed(self, now: float) -> None:
        self._trouble += 1
        if self._state is BreakerState.HALF_OPEN or self._trouble >= self.policy.failures:
            self.trips += 1
            self._enter(BreakerState.OPEN, now)

    def _leave(self) -> None:
        if self._state is BreakerState.HALF_OPEN:
            self._under_way -= 1

    def _enter(self, state: BreakerState, now: float) -> None:
        self._state = state
        self._generation += 1
        self._trouble = self._under_way = self._successes = 0
        self.since = now
