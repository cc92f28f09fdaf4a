"""A client of a grid: requests to names, queries, starts and stops."""

from __future__ import annotations

import asyncio

from grid.client.actors import ActorCalls
from grid.client.arguments import kind_of
from grid.client.router import read_registration
from grid.deadline import Deadline
from grid.errors import (
    ClientClosed,
    DeadlineExceeded,
    NotDelivered,
    OutcomeUnknown,
    PeerUnreachable,
)
from grid.etcd import EtcdClient
from grid.registry.entities import Entity, EntityWatch, entities
from grid.registry.names import Kind, full_name, prefix
from grid.transport.statistics import ClientStatistics

__all__ = ["Client"]


class Client(ActorCalls):
    """The way into a grid, from anywhere that reaches etcd and the peers.

    Use it as `async with Client("shop") as client:`, or close it. It connects
    when first used and belongs to the event loop that it is first used on.

    What is sent while a request with a W3C trace context is handled carries that
    on in its metadata (`traceparent`, `tracestate`), or the current span of
    OpenTelemetry if that was imported before, unless it has its own.

    Args:
        namespace: the grid; by default `GRID_NAMESPACE`.
        etcd: endpoints as `host:port,host:port` or an `EtcdConfig`; by default
            `GRID_ETCD`, else `127.0.0.1:2379`.
        timeout: seconds a call may take if it does not say otherwise.
        retry: how often a request is sent again when that is safe.
        sessions_per_peer: how many sessions to have with one peer at most; a
            further one is made when all are busy. Order holds within a session.
        max_message_bytes: the largest message sent or accepted.
        compression: pack larger messages by `zstd`, `gzip`, or the best that
            both sides have (`auto`); by default never.
        checksum: send a checksum with each message.
        breaker: leave an address alone for a while when it fails again and
            again (see `BreakerPolicy`); by default never. A request then takes
            a longer way, which costs about 10 microseconds of CPU.
        filters: async functions that say which messages are sent.
        interceptors: async functions around each message that is sent, the
            first outermost; for both see `grid.interceptors`.
        codec: the message types it knows; by default those of `grid.register`.
    """

    @property
    def etcd(self) -> EtcdClient:
        """The session with etcd that it uses, and closes if it made it."""
        return self._etcd

    @property
    def max_message_bytes(self) -> int:
        """Bytes of the largest message that is sent or accepted."""
        return self._limit

    # -- statistics ---------------------------------------------------------------

    def statistics(self) -> ClientStatistics:
        """A snapshot of its sessions, and totals of all they have carried; also once it is closed.

        It costs a few microseconds for each session. Call it on the client's event loop.
        """
        return self._transport.statistics()

    # -- entities -----------------------------------------------------------

    async def query(self, kind: Kind | str, *, timeout: float | None = None) -> list[Entity]:
        """All peers, actors or mailboxes there are now, in the order of their names.

        Raises:
            InvalidArgument: `kind` is none of `peer`, `actor`, `mailbox`.
            EtcdUnavailable: etcd does not answer.
        """
        self._check_open()
        kind = kind_of(kind)
        start = prefix(self.namespace, kind)
        snapshot = await self._etcd.get_prefix(start, timeout=timeout)
        return list(entities(kind, snapshot.items, len(start)))

    def watch(self, kind: Kind | str, *, patience: float = 30.0) -> EntityWatch:
        """Watch a kind of entity: all there are, then every change; see `EntityWatch`.

        Args:
            kind: `peer`, `actor` or `mailbox`.
            patience: seconds that etcd may be away before the watch raises.
        """
        if self._closed:
            raise ClientClosed
        # Not bound to a loop yet: blocking clients make their watches outside of any.
        return EntityWatch(self._etcd, self.namespace, kind_of(kind), patience=patience)

    async def check(self, peer: str, *, timeout: float | None = None) -> str:
        """The health of a peer in its own words: `SERVING` or `NOT_SERVING`.

        Raises:
            UnregisteredMailbox: there is no such peer.
            PeerUnreachable, OutcomeUnknown, DeadlineExceeded: it does not answer.
        """
        self._check_open()
        deadline = Deadline.after(self.timeout if timeout is None else timeout)
        key = full_name(self.namespace, Kind.PEER, peer)
        found = self._peers.find(key) or await read_registration(self._peers, key, deadline)
        try:
            return await self._transport.health(found.address, deadline)
        except PeerUnreachable:
            # It may be gone, or back at another address.
            found = await read_registration(self._peers, key, deadline)
            return await self._transport.health(found.address, deadline)

    async def wait_until_serving(self, peer: str, *, timeout: float | None = None) -> None:
        """Return once a peer is registered, reachable and SERVING.

        Raises:
            DeadlineExceeded: it was not within the timeout.
        """
        deadline = Deadline.after(self.timeout if timeout is None else timeout)
        pause = 0.02
        while not deadline.passed:
            try:
                if await self.check(peer, timeout=deadline.remaining()) == "SERVING":
                    return
            except (NotDelivered, OutcomeUnknown):
                pass  # not there yet, not reachable yet, or its connection broke
            await asyncio.sleep(min(pause, deadline.remaining()))
            pause = min(2 * pause, 0.5)
        raise DeadlineExceeded(f"peer {peer!r} to serve", deadline.timeout)
