"""A lease that is kept alive, and that knows by itself when it is over.

Theory of operation. One task pings etcd every third of the TTL on one stream:
it sends a ping, reads its answer, sleeps. Because there is never more than one
ping under way, the answer belongs to the ping; an attempt that takes too long
closes its stream, so that no late answer can be taken for another's.

etcd counts the TTL from the time it handled a ping, which is after the ping was
sent. So *sent + TTL - margin* is a time at which etcd still holds the lease, on
any clock that runs at the same pace. That is the deadline; it moves only when a
ping is confirmed. `valid` compares it with the clock, so that a stalled event
loop, a stopped process or a suspended machine finds its lease over before it
does anything in its name.
"""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Callable

from grid.deadline import now
from grid.errors import ClientClosed, EtcdError, EtcdUnavailable, GridError, LeaseLost
from grid.etcd import api_pb2
from grid.etcd._calls import EtcdCalls
from grid.etcd._channel import EtcdStream
from grid.etcd._failures import CallFailed, Kind, cause
from grid.etcd._rotation import pause

__all__ = ["Lease", "lease_deadline", "ping_time"]

_SMALLEST_MARGIN = 0.2
_SHORTEST_PING = 0.1


def lease_deadline(sent: float, ttl: float) -> float:
    """Time until which a lease may be relied on, if its last ping was sent at `sent`."""
    return sent + ttl - max(_SMALLEST_MARGIN, ttl / 10)


def ping_time(remaining: float, endpoints: int) -> float:
    """Seconds to wait for the answer to a ping.

    A slow etcd needs the time, a dead connection must leave some for another
    one: half of what remains, and more where there is no other endpoint.
    """
    share = 0.5 if endpoints > 1 else 0.75
    return max(min(_SHORTEST_PING, remaining), share * remaining)


class Lease:
    """A lease in etcd, kept alive until it is revoked, abandoned or lost.

    Attributes:
        id: etcd's id of the lease, to bind keys to.
        ttl: seconds, as granted.
    """

    def __init__(
        self,
        calls: EtcdCalls,
        lease_id: int,
        ttl: float,
        sent: float,
        on_unrevoked: Callable[[int], object],
    ) -> None:
        self.id = lease_id
        self.ttl: float = ttl
        self._calls = calls
        self._sent = sent
        self._on_unrevoked = on_unrevoked
        self._deadline = self._valid_until = lease_deadline(sent, ttl)
        self._reason = ""
        self._ended = asyncio.Event()
        self._revoked = False
        self._stream: EtcdStream | None = None
        self._task: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        left = self._valid_until - now()
        state = self._reason or (f"valid for {left:.1f} s" if left > 0 else "past its deadline")
        return f"<Lease {self.id:x} ttl={self.ttl:g} {state}>"

    @property
    def deadline(self) -> float:
        """The end of the lease unless a ping is confirmed first, on `grid.deadline.now`."""
        return self._deadline

    @property
    def valid(self) -> bool:
        """True while what is bound to the lease is surely still there."""
        return now() < self._valid_until

    async def wait_lost(self) -> str:
        """Wait until the lease is over; why it is. Cancelling changes nothing."""
        self._calls.check_loop()
        await self._ended.wait()
        return self._reason

    async def revoke(self, *, timeout: float | None = None) -> None:
        """End the lease, and with it all its keys, at once; idempotent.

        Best effort: if etcd cannot be had within `timeout` seconds (by default
        the lease's TTL, at most the client's timeout), the keys go when the TTL
        is over, or when the client is granted its next lease. Cancelled, it leaves
        them to that as well.
        """
        await self.abandon("revoked")
        if self._revoked or self._calls.closed:
            return
        limit = min(self.ttl, self._calls.config.timeout) if timeout is None else timeout
        request = api_pb2.LeaseRevokeRequest(ID=self.id)
        try:
            await self._calls.call("Lease/LeaseRevoke", request, limit)
            self._revoked = True
        except LeaseLost:
            self._revoked = True
        except (EtcdUnavailable, ClientClosed):
            pass
        finally:
            if not self._revoked:
                self._on_unrevoked(self.id)

    async def abandon(self, reason: str = "abandoned") -> None:
        """Stop keeping the lease alive; its keys go when the TTL is over; idempotent."""
        self._calls.check_loop(closing=True)
        self._end(reason)
        task, self._task = self._task, None
        if task is not None and task is not asyncio.current_task():
            task.cancel()
            await asyncio.wait([task])

    # -- keep-alive -----------------------------------------------------------

    def start(self, on_end: Callable[[Lease], object]) -> None:
        """Keep the lease alive from now on (called once, by the client)."""
        self._task = asyncio.create_task(self._keep(), name=f"etcd-lease-{self.id:x}")
        self._task.add_done_callback(lambda _: on_end(self))

    def _end(self, reason: str) -> None:
        self._valid_until = -math.inf
        if not self._ended.is_set():
            self._reason = reason
            self._ended.set()

    async def _keep(self) -> None:
        try:
            while not self._ended.is_set():
                due = self._sent + self.ttl / 3 - now()
                await asyncio.sleep(max(0.0, min(due, self._deadline - now())))
                await self._confirm()
        except GridError as error:
            self._end(str(error))
        finally:
            self._end("its keep-alive ended")
            await self._hang_up()

    async def _confirm(self) -> None:
        """Ping until one ping is confirmed or the deadline has passed."""
        failures = 0
        last: CallFailed | None = None
        while (remaining := self._deadline - now()) > 0:
            limit = ping_time(remaining, len(self._calls.rotation))
            try:
                await self._ping(limit)
            except CallFailed as failure:
                failures, last = failures + 1, cause(last, failure, limit)
                await self._recover(failure, limit)
                rest = pause(failures, len(self._calls.rotation), random.random())
                await asyncio.sleep(max(0.0, min(rest, self._deadline - now(), self.ttl / 10)))
            else:
                return
        reason = last.text if last is not None else "the process stalled"
        self._end(f"not confirmed by etcd for {now() - self._sent:.1f} s: {reason}")

    async def _ping(self, limit: float) -> None:
        try:
            async with asyncio.timeout(limit):
                stream = self._stream
                if stream is None:
                    stream = await self._calls.stream("Lease/LeaseKeepAlive", limit)
                    self._stream = stream
                sent = now()
                await stream.send(api_pb2.LeaseKeepAliveRequest(ID=self.id))
                response = await stream.receive()
        except TimeoutError:
            raise CallFailed(
                "DEADLINE_EXCEEDED", f"no answer within {round(limit, 3):g} s"
            ) from None
        if response.TTL <= 0:
            self._end("etcd does not have it any more")
        elif not self._ended.is_set():
            self.ttl, self._sent = float(response.TTL), sent
            self._deadline = self._valid_until = lease_deadline(sent, self.ttl)

    async def _recover(self, failure: CallFailed, waited: float) -> None:
        stream = self._stream
        await self._hang_up()
        if failure.kind is Kind.TOKEN:
            self._calls.forget_login(stream.metadata if stream else None)
            return
        channel = stream.channel if stream is not None else self._calls.channel()
        try:
            await self._calls.give_up_on(channel, failure, waited)
        except EtcdError:
            # The deadline decides whether the lease is over, not an odd answer.
            return
        if failure.kind is Kind.TIMED_OUT:
            await self._calls.retire(channel)

    async def _hang_up(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            await stream.close()
