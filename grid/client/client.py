"""A client of a grid: requests to names, queries, starts and stops."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Mapping
from typing import Any, TypeVar, overload

from google.protobuf.message import Message

from grid.client.actor_ref import ItemsMethod
from grid.client.arguments import kind_of
from grid.client.lookups import read_registration
from grid.client.moving import MovingCalls
from grid.client.subscription import Subscription
from grid.deadline import Deadline, check_timeout
from grid.errors import (
    ClientClosed,
    DeadlineExceeded,
    InvalidArgument,
    NotDelivered,
    OutcomeUnknown,
    PeerUnreachable,
    SecurityError,
)
from grid.etcd import EtcdClient
from grid.handlers import ItemsCall
from grid.numbers import check_seconds
from grid.plain import AnyMessage, check_reply
from grid.registry.entities import Entity, EntityWatch, entities
from grid.registry.names import Kind, check_name, full_name, prefix
from grid.stream import Stream
from grid.tls import TLS
from grid.transport.statistics import ClientStatistics

__all__ = ["Client"]

F = TypeVar("F", bound=AnyMessage)
M = TypeVar("M", bound=AnyMessage)


class Client(MovingCalls):
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
        tls: speak TLS with peers, and no cleartext; see `grid.TLS`. By default what the variables
            `GRID_TLS_CA`, `GRID_TLS_CERT`, `GRID_TLS_KEY` say, if anything.
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

    @property
    def tls(self) -> TLS | None:
        """The TLS that it speaks; None for cleartext."""
        return self._tls

    # -- subscriptions ------------------------------------------------------------

    @overload
    def subscribe(
        self,
        source: ItemsCall[F, M],
        first: F,
        *,
        resume: Callable[[M], F] | None = None,
        patience: float = math.inf,
        timeout: float | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> Subscription[M]: ...

    @overload
    def subscribe(
        self,
        source: str,
        first: AnyMessage,
        *,
        item: type[M],
        resume: Callable[[M], AnyMessage] | None = None,
        patience: float = math.inf,
        timeout: float | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> Subscription[M]: ...

    @overload
    def subscribe(
        self,
        source: str,
        first: AnyMessage,
        *,
        resume: Callable[[Message], AnyMessage] | None = None,
        patience: float = math.inf,
        timeout: float | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> Subscription[Message]: ...

    def subscribe(
        self,
        source: Any,
        first: AnyMessage,
        *,
        item: type[M] | None = None,
        resume: Callable[[M], Any] | None = None,
        patience: float = math.inf,
        timeout: float | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> Subscription[M]:
        """Receive the items of a stream, and open it again when its actor moves or is lost.

            async with client.subscribe(
                "feed", Follow(), item=Line, resume=lambda last: Follow(after=last.number)
            ) as lines:
                async for line in lines:
                    ...

        A stream that ends by itself ends it, and so does an error that the actor answers with.
        Pauses between attempts are those of the client's `retry`, with jitter.

        Args:
            source: the mailbox's name, or a handler that yields items, as in
                `client.actor(Feed, "feed").lines`.
            first: the message that opens the first stream.
            item: the class that items must have.
            resume: makes the opening message of a further stream of the last item; by default, and
                before the first item, it is `first`, so that items may be missed or come twice.
            patience: seconds without a stream after which the last error is raised; 0 opens
                one stream only.
            timeout: seconds until a stream must be accepted; by default the client's.
            metadata: what the receiving actor shall know about each stream.

        Raises (once entered or iterated):
            UnregisteredMailbox: the name has no owner when the first stream is opened.
            What `stream` raises, unless another stream may do better.
        """
        self._check_open()
        if isinstance(source, ItemsMethod):
            source, item = source.actor, source.item
        elif not isinstance(source, str):
            expected = "a name, or a handler that yields items: client.actor(Feed, 'feed').lines"
            raise InvalidArgument("source", source, expected)
        check_name(source, Kind.MAILBOX)
        if item is not None:
            check_reply(item, "item")
        if resume is not None and not callable(resume):
            raise InvalidArgument("resume", resume, "a function of the last item")
        check_seconds("patience", patience, endless=True)
        seconds = self.timeout if timeout is None else check_timeout(timeout)

        async def opened(message: AnyMessage, left: float) -> Stream:
            return await self.stream(source, message, timeout=min(seconds, left), metadata=metadata)

        return Subscription(
            source,
            opened,
            first,
            item=item,
            resume=resume,
            retry=self._router.retry,
            patience=patience,
        )

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
            SecurityError: the two sides do not agree on security.
        """
        self._check_open()
        deadline = Deadline.after(self.timeout if timeout is None else timeout)
        key = full_name(self.namespace, Kind.PEER, peer)
        found = self._peers.find(key) or await read_registration(self._peers, key, deadline)
        try:
            return await self._transport.health(self._router.destination(found), deadline)
        except PeerUnreachable:
            # It may be gone, or back at another address.
            found = await read_registration(self._peers, key, deadline)
            return await self._transport.health(self._router.destination(found), deadline)

    async def wait_until_serving(self, peer: str, *, timeout: float | None = None) -> None:
        """Return once a peer is registered, reachable and SERVING.

        Raises:
            DeadlineExceeded: it was not within the timeout.
            SecurityError: the two sides do not agree on security; waiting would not help.
        """
        deadline = Deadline.after(self.timeout if timeout is None else timeout)
        pause = 0.02
        while not deadline.passed:
            try:
                if await self.check(peer, timeout=deadline.remaining()) == "SERVING":
                    return
            except SecurityError:
                raise
            except (NotDelivered, OutcomeUnknown):
                pass  # not there yet, not reachable yet, or its connection broke
            await asyncio.sleep(min(pause, deadline.remaining()))
            pause = min(2 * pause, 0.5)
        raise DeadlineExceeded(f"peer {peer!r} to serve", deadline.timeout)
