"""The way to other processes: sessions where the peer has them, single calls where not."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Collection, Mapping
from typing import NamedTuple, Protocol

from grid.deadline import Deadline, request_overdue
from grid.errors import (
    ClientClosed,
    DeadlineExceeded,
    GridError,
    PeerUnreachable,
    SecurityError,
    StreamsUnsupported,
    TlsNotOffered,
    TlsRequired,
)
from grid.tls import TLS
from grid.transport._credentials import DialCredentials
from grid.transport._targets import targets
from grid.transport.answer import Reply
from grid.transport.link import Link, Overdue
from grid.transport.pool import NoSessions, Pool
from grid.transport.protocol import Unwritten
from grid.transport.settings import SessionSettings
from grid.transport.statistics import (
    BreakerStatistics,
    ClientStatistics,
    Counters,
    PoolStatistics,
    counted,
    total,
)
from grid.transport.stream_end import StreamEnd
from grid.transport.stream_ports import SessionPort
from grid.transport.unary import UnaryTransport
from grid.wire_pb2 import Delivery, Frame

__all__ = ["Destination", "Outgoing", "Transport"]

_MAX_CONCURRENT_DIALS = 4


class Destination(NamedTuple):
    """The ways to a peer.

    Attributes:
        address: the address that the peer advertises.
        unix_socket: the path of its socket, if it is on this host; else empty.
        sessions: False if it is known to have none.
        tls: True if the peer says that it speaks TLS.
    """

    address: str
    unix_socket: str
    sessions: bool
    tls: bool = False


class Outgoing(NamedTuple):
    """A message on its way.

    Attributes:
        receiver: the full name of the mailbox.
        epoch: its registration's, 0 for not known.
        type_name: of the message.
        data: the encoded message.
        metadata: for the receiver to read.
    """

    receiver: str
    epoch: int
    type_name: str
    data: bytes
    metadata: Mapping[str, str] | None


class Cancellable(Protocol):
    """A session, or a peer of this process, with open exchanges."""

    def cancel(self, number: int) -> bool:
        """Give up an exchange; False if it is not open here."""
        ...


class Transport:
    """Sends messages to addresses.

    Args:
        settings: of each session.
        sessions: the largest number of sessions to one address.
        idle: seconds after which an unused session is closed.
        tls: speak TLS, and no cleartext unless that is allowed; None for cleartext only.

    Attributes:
        ready: the session of each address that has only one, for the fast path.
    """

    def __init__(
        self,
        *,
        settings: SessionSettings,
        sessions: int,
        idle: float = 60.0,
        tls: TLS | None = None,
    ) -> None:
        self._settings = settings
        self._maximum = sessions
        self._idle = idle
        self._credentials = None if tls is None else DialCredentials(tls)
        self._unary = UnaryTransport(
            limit=settings.max_message_bytes, credentials=self._credentials
        )
        self._pools: dict[str, Pool] = {}
        self._without_sessions: set[str] = set()
        self._closed = False
        self._past: list[Pool] = []  # ended with this
        self._dropped = Counters()
        self._dials = asyncio.Semaphore(_MAX_CONCURRENT_DIALS)
        self.ready: dict[str, Link] = {}

    def __repr__(self) -> str:
        return f"<Transport to {len(self._pools)} addresses>"

    @property
    def pools(self) -> tuple[Pool, ...]:
        """The pools of all addresses."""
        return tuple(self._pools.values())

    async def ask(
        self, to: Destination, outgoing: Outgoing, deadline: Deadline, *, again: bool = False
    ) -> Reply:
        """Send a request and return its answer.

        Args:
            to: the peer.
            outgoing: the message.
            deadline: the time by which the answer must be there.
            again: also send it again when the outcome is unknown.

        Raises:
            PeerUnreachable: it was never sent.
            OutcomeUnknown: the connection broke before the answer.
            DeadlineExceeded: no answer in time.
            GridError: the error that the peer answered with.
        """
        link = await self._link(to, deadline)
        if link is None:
            return await self._ask_unary(to, outgoing, deadline)
        left = max(1, math.ceil(deadline.remaining() * 1000))
        future, number = link.request(*outgoing, deadline.at, left, again)
        try:
            return await future
        except Overdue:
            raise request_overdue(outgoing.receiver, to.address, deadline.timeout) from None
        except asyncio.CancelledError:
            self.cancel(to.address, link, number, future)
            raise

    async def tell(self, to: Destination, outgoing: Outgoing, deadline: Deadline) -> None:
        """Send a message that has no answer; returns when it is written.

        A peer without sessions answers all the same: then it returns when it did,
        whatever the answer was.
        """
        link = await self._link(to, deadline)
        if link is None:
            await self._tell_unary(to, outgoing, deadline)
            return
        written = asyncio.get_running_loop().create_future()
        number = link.open(Unwritten(written, Frame.TELL, *outgoing, deadline.at))
        try:
            await written
        except Overdue:
            raise request_overdue(outgoing.receiver, to.address, deadline.timeout) from None
        except asyncio.CancelledError:
            self.cancel(to.address, link, number, written)
            raise

    async def stream(self, to: Destination, outgoing: Outgoing, deadline: Deadline) -> StreamEnd:
        """Open a stream; returns when the other side has taken it."""
        link = await self._link(to, deadline)
        if link is None:
            raise StreamsUnsupported(to.address)
        end = StreamEnd()
        number = link.open(Unwritten(end, Frame.OPEN, *outgoing, deadline.at))
        end.bind(SessionPort(link.session, number))
        try:
            await end.opened
        except Overdue:
            raise request_overdue(outgoing.receiver, to.address, deadline.timeout) from None
        except asyncio.CancelledError:
            end.close(None)
            raise
        return end

    def cancel(self, address: str, link: Cancellable, number: int, token: object) -> None:
        """Give up an exchange, on whichever session it is by now."""
        if link.cancel(number):
            return
        pool = self._pools.get(address)
        if pool is not None:
            for other in pool.links:
                other.session.cancel_token(token)

    def moved(self, address: str) -> None:
        """Note that a name that an address had is elsewhere now.

        Requests that wait for a connection to it end as `PeerUnreachable` at once, so that
        their names are resolved again; a session that stands goes on.
        """
        pool = self._pools.get(address)
        if pool is not None:
            pool.moved()
        self._unary.moved(address)

    def forget(self, address: str) -> None:
        """Note that no peer is registered at an address any more; what is under way goes on."""
        self._without_sessions.discard(address)
        self._unary.forget(address)
        pool = self._pools.get(address)
        if pool is not None:
            pool.drop_when_unused(self._drop)

    async def health(self, to: Destination, deadline: Deadline) -> str:
        """The answer of the health service of a peer, e.g. `SERVING`."""
        self._check_security(to)
        return await self._unary.health(to.address, deadline, secure=to.tls)

    def statistics(self) -> ClientStatistics:
        """A snapshot of the pools, by address, and the sums of all sessions there were."""
        pools = {
            pool.address: pool.statistics(self._breaker(pool.address))
            for pool in (*self._past, *self._pools.values())
        }
        pools.update(self._without_pool(pools.keys()))
        return ClientStatistics(**counted(total((self._dropped, *pools.values()))), pools=pools)

    async def close(self) -> None:
        """Close all connections; requests under way end as `OutcomeUnknown`."""
        self._closed = True
        pools = self._past = list(self._pools.values())
        self._pools.clear()
        for pool in pools:
            await pool.close()
        await self._unary.close()

    # -- inside -----------------------------------------------------------------------

    async def _link(self, to: Destination, deadline: Deadline) -> Link | None:
        link = self.ready.get(to.address)
        if link is not None:
            return link
        self._check_security(to)
        if not to.sessions or to.address in self._without_sessions:
            return None
        pool = self._pools.get(to.address) or self._new_pool(to)
        pool.targets = targets(to.address, to.unix_socket, tls=to.tls)
        link = pool.pick()
        if link is not None:
            return link
        try:
            async with asyncio.timeout(deadline.remaining()):
                return await pool.ready()
        except TimeoutError:
            raise DeadlineExceeded(f"a session to {to.address}", deadline.timeout) from None
        except NoSessions:
            self._without_sessions.add(to.address)
            return None

    def _check_security(self, to: Destination) -> None:
        if self._credentials is None:
            if to.tls:
                raise TlsRequired(to.address)
        elif not to.tls and not self._credentials.tls.allow_cleartext:
            raise TlsNotOffered(to.address)

    def _new_pool(self, to: Destination) -> Pool:
        if self._closed:
            raise ClientClosed
        for unused in [pool for pool in self._pools.values() if pool.unused]:
            self._drop(unused)
        pool = Pool(
            to.address,
            targets(to.address, to.unix_socket, tls=to.tls),
            settings=self._settings,
            maximum=self._maximum,
            idle=self._idle,
            dials=self._dials,
            changed=self._changed,
            credentials=self._credentials,
        )
        self._pools[to.address] = pool
        return pool

    def _drop(self, pool: Pool) -> None:
        if self._pools.get(pool.address) is pool:
            del self._pools[pool.address]
            self._dropped = total((self._dropped, pool.statistics()))
            pool.dropped = True

    def _changed(self, pool: Pool) -> None:
        link = pool.single
        if link is not None:
            self.ready[pool.address] = link
        else:
            self.ready.pop(pool.address, None)

    def _breaker(self, address: str) -> BreakerStatistics | None:
        return None

    def _without_pool(self, addresses: Collection[str]) -> dict[str, PoolStatistics]:
        return {}

    async def _tell_unary(self, to: Destination, outgoing: Outgoing, deadline: Deadline) -> None:
        try:
            await self._ask_unary(to, outgoing, deadline)
        except GridError as error:
            if isinstance(error, PeerUnreachable | ClientClosed | SecurityError):
                raise  # it was never sent

    async def _ask_unary(self, to: Destination, outgoing: Outgoing, deadline: Deadline) -> Reply:
        receiver, epoch, type_name, data, metadata = outgoing
        delivery = Delivery(
            receiver=receiver, epoch=epoch, typeName=type_name, data=data, metadata=metadata
        )
        answer = await self._unary.ask(to.address, delivery, deadline, secure=to.tls)
        return answer.typeName, answer.data
