"""A transport with a breaker for each address.

Every request, tell and stream asks the breaker of its address before it
starts, and settles with it when it ends:

* An answer of the peer is a success, also an error of an actor, a full mailbox
  or a refusal: only a peer that is alive and reached can say that.
* No connection, a connection that broke, and silence until the deadline are
  failures. A deadline that passed while the peer gave signs of life tells of a
  slow actor and counts neither way. For that the peer is pinged when a call
  starts and nothing has come from it for a second; so from a live peer something
  comes in the second before each call, or during it.
* A lost session is one failure, however many requests it carried: of those
  under way when it was counted no other counts.
* A tell has no answer. That it is written is a success only if something came
  from the peer after the last failure; a frozen one also takes tells.
* All else, such as a cancellation or a message that is too large, counts
  neither way.

There is no fast path here: `ready` stays empty, so that nothing goes around
the breakers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from types import TracebackType

from grid.deadline import Deadline, now
from grid.errors import OutcomeUnknown
from grid.tls import TLS
from grid.transport.answer import Reply
from grid.transport.breaker import Breaker, BreakerPolicy, BreakerState, Permit
from grid.transport.error_class import counts_as_failure, counts_as_success
from grid.transport.error_codec import is_answer
from grid.transport.pool import Pool
from grid.transport.settings import SessionSettings
from grid.transport.statistics import BreakerStatistics, PoolStatistics
from grid.transport.stream_end import StreamEnd
from grid.transport.transport import Destination, Outgoing, Transport

__all__ = ["GuardedTransport", "make_transport"]

_SILENCE = 1.0
_FORGET = 600.0  # seconds without a call after which an address' breaker may go


class _Guarded:
    """An address with a breaker, and the times of its last events."""

    __slots__ = ("answered_at", "breaker", "failed_at", "left_at", "lost_at", "used_at")

    def __init__(self, address: str, policy: BreakerPolicy) -> None:
        self.breaker = Breaker(address, policy)
        self.used_at = 0.0
        self.answered_at = 0.0
        self.failed_at = 0.0
        self.lost_at = 0.0
        self.left_at = -1.0

    @property
    def has_left(self) -> bool:
        """True if its peer has left since the last call."""
        return self.left_at >= self.used_at

    @property
    def forgettable_at(self) -> float:
        """The time from which on nothing that it knows is of use, if no call comes."""
        rest = 2 * self.breaker.policy.rest
        if not self.has_left:
            return self.used_at + max(_FORGET, rest)
        # A peer that was killed and comes back at once is spared as long as was meant.
        closed = self.breaker.state(self.left_at) is BreakerState.CLOSED
        return self.left_at if closed else self.used_at + rest


class _Call:
    """One admitted call; leaving its block settles it."""

    __slots__ = ("_answers", "_guarded", "_permit", "_pools", "_started")

    def __init__(self, guarded: _Guarded, pools: dict[str, Pool], *, answers: bool) -> None:
        self._started = guarded.used_at = now()
        self._permit: Permit = guarded.breaker.admit(self._started)
        self._guarded = guarded
        self._pools = pools
        self._answers = answers
        pool = pools.get(guarded.breaker.address)
        if pool is not None:
            pool.ask_for_sign(_SILENCE)

    def __enter__(self) -> None:
        pass

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            if error is None and not self._answers:
                self._settle_written()
            elif error is None or is_answer(error) or counts_as_success(error):
                self._guarded.answered_at = now()
                self._permit.succeeded(now())
            elif self._is_failure(error):
                self._guarded.failed_at = now()
                self._permit.failed(now())
        finally:
            self._permit.neutral()

    def _settle_written(self) -> None:
        guarded = self._guarded
        if self._heard_at() > max(guarded.failed_at, guarded.breaker.since):
            self._permit.succeeded(now())

    def _is_failure(self, error: BaseException) -> bool:
        if not counts_as_failure(error, heard=self._heard_at() > self._started - _SILENCE):
            return False
        if isinstance(error, OutcomeUnknown):
            if self._started <= self._guarded.lost_at:
                return False
            self._guarded.lost_at = now()
        return True

    def _heard_at(self) -> float:
        pool = self._pools.get(self._guarded.breaker.address)
        return max(self._guarded.answered_at, pool.heard_at if pool is not None else 0.0)


class GuardedTransport(Transport):
    """Sends messages to addresses, unless their breaker is open.

    Its methods raise the errors of `Transport`, and `BreakerOpen` before
    anything is sent.

    Args:
        breaker: when a breaker opens, and how it closes again.
        settings: of each session.
        sessions: how many sessions to keep to one address at most.
        idle: seconds after which an unused session is closed.
        tls: see `Transport`.
    """

    def __init__(
        self,
        *,
        breaker: BreakerPolicy,
        settings: SessionSettings,
        sessions: int,
        idle: float = 60.0,
        tls: TLS | None = None,
    ) -> None:
        super().__init__(settings=settings, sessions=sessions, idle=idle, tls=tls)
        self._policy = breaker
        self._guarded: dict[str, _Guarded] = {}
        self._sweeper: asyncio.TimerHandle | None = None

    async def ask(
        self, to: Destination, outgoing: Outgoing, deadline: Deadline, *, again: bool = False
    ) -> Reply:
        """See `Transport.ask`."""
        with self._admit(to.address):
            return await super().ask(to, outgoing, deadline, again=again)

    async def tell(self, to: Destination, outgoing: Outgoing, deadline: Deadline) -> None:
        """See `Transport.tell`."""
        with self._admit(to.address, answers=False):
            await super().tell(to, outgoing, deadline)

    async def stream(self, to: Destination, outgoing: Outgoing, deadline: Deadline) -> StreamEnd:
        """See `Transport.stream`. The end of an open stream is not counted."""
        with self._admit(to.address):
            return await super().stream(to, outgoing, deadline)

    def forget(self, address: str) -> None:
        """See `Transport.forget`. The breaker of the address goes when it has rested."""
        super().forget(address)
        if address in self._guarded:
            self._guarded[address].left_at = now()
            self._sweep()

    async def close(self) -> None:
        """See `Transport.close`."""
        if self._sweeper is not None:
            self._sweeper.cancel()
        await super().close()

    def _admit(self, address: str, *, answers: bool = True) -> _Call:
        guarded = self._guarded.get(address) or self._guard(address)
        return _Call(guarded, self._pools, answers=answers)

    def _guard(self, address: str) -> _Guarded:
        self._sweep()
        guarded = self._guarded[address] = _Guarded(address, self._policy)
        return guarded

    def _sweep(self) -> None:
        at = now()
        self._guarded = {
            address: one for address, one in self._guarded.items() if one.forgettable_at > at
        }
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None
        left = [one.forgettable_at for one in self._guarded.values() if one.has_left]
        if left:
            loop = asyncio.get_running_loop()
            self._sweeper = loop.call_later(max(0.0, min(left) - at), self._sweep)

    def _changed(self, pool: Pool) -> None:
        pass  # see the head of this file

    def _breaker(self, address: str) -> BreakerStatistics | None:
        breaker = Breaker(address, self._policy)
        if address in self._guarded:
            breaker = self._guarded[address].breaker
        return BreakerStatistics(breaker.state(now()), breaker.trips)

    def _without_pool(self, addresses: Collection[str]) -> dict[str, PoolStatistics]:
        return {
            address: PoolStatistics(address=address, breaker=self._breaker(address))
            for address in self._guarded
            if address not in addresses
        }


def make_transport(
    breaker: BreakerPolicy | None, *, settings: SessionSettings, sessions: int, tls: TLS | None
) -> Transport:
    """A transport, with breakers if there is a policy for them."""
    if breaker is None:
        return Transport(settings=settings, sessions=sessions, tls=tls)
    return GuardedTransport(breaker=breaker, settings=settings, sessions=sessions, tls=tls)
