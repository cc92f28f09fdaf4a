"""Deliveries over unary `Process` calls: channels by address, and their errors.

gRPC reports a call that it could not send and a receiver that answers UNAVAILABLE in the same
way, and a receiver may say any text. So a text decides nothing here. A channel is connected
first; only if that fails was the delivery surely not sent (`PeerUnreachable`). After that, an
error is the receiver's if the channel is still connected, and otherwise the outcome is unknown.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from typing import TypeVar

import grpc
import grpc.aio
from google.protobuf.message import Message
from grpc_health.v1 import health_pb2, health_pb2_grpc

from grid.aio import being_cancelled
from grid.deadline import Deadline, now, request_overdue, reschedule
from grid.errors import (
    ClientClosed,
    GridError,
    OutcomeUnknown,
    PeerUnreachable,
    SecurityError,
    TokenRefused,
)
from grid.grpc_calls import ChannelCalls
from grid.transport._credentials import DialCredentials
from grid.transport._grpc_dial import open_channel
from grid.transport._handshakes import diagnose
from grid.transport._token_gate import token_refused
from grid.transport.error_codec import decode_error
from grid.transport.service import ENVELOPE_ROOM, SERVICE
from grid.wire_pb2 import Delivery

__all__ = ["UnaryTransport"]

T = TypeVar("T")

_Process = grpc.aio.UnaryUnaryMultiCallable[Message, Delivery]

_READY = grpc.ChannelConnectivity.READY
_FAILED = (
    grpc.ChannelConnectivity.TRANSIENT_FAILURE,
    grpc.ChannelConnectivity.SHUTDOWN,
)
_UNAVAILABLE = grpc.StatusCode.UNAVAILABLE
# The code and the text of a Go peer's gate whose caller left before the answer.
_LEFT = (grpc.StatusCode.UNKNOWN, "grid: context finished")
# A timer of gRPC, or of the peer, may be ahead of the deadline by this many seconds.
_EARLY = 0.05
_IDLE = 60.0  # seconds without use after which connections may be closed
_MOVED = "a name that it had has moved"


class _Connection:
    """One channel to an address."""

    def __init__(
        self,
        address: str,
        options: tuple[tuple[str, int], ...],
        credentials: DialCredentials | None,
    ) -> None:
        self._channel = open_channel(address, options, credentials)
        self._metadata = None if credentials is None else credentials.metadata
        self._calls = ChannelCalls(self._channel)
        self._health = health_pb2_grpc.HealthStub(self._channel)
        self._was_connected = False
        self._process: _Process = self._channel.unary_unary(
            f"/{SERVICE}/Process",
            request_serializer=Delivery.SerializeToString,
            response_deserializer=Delivery.FromString,
        )

    @property
    def connected(self) -> bool:
        """True while the channel has a connection."""
        return self._channel.get_state() is _READY

    @property
    def lost(self) -> bool:
        """True if it had a connection that is gone."""
        return self._was_connected and not self.connected

    async def connect(self) -> bool:
        """Wait for a connection, or for the first attempt to fail; True if there is one."""
        channel = self._channel
        state = channel.get_state(try_to_connect=True)
        while state is not _READY:
            if state in _FAILED:
                return False
            await self._calls.state_change(state)
            state = channel.get_state(try_to_connect=True)
        self._was_connected = True
        return True

    async def process(self, delivery: Delivery, timeout: float) -> Delivery:
        """Send an envelope; its answer."""
        call = self._process(delivery, timeout=timeout, metadata=self._metadata)
        return await self._calls.response(call)

    async def check(self, timeout: float) -> health_pb2.HealthCheckResponse:
        """Ask the health service."""
        request = health_pb2.HealthCheckRequest()
        call = self._health.Check(request, timeout=timeout)
        answer: health_pb2.HealthCheckResponse = await self._calls.response(call)
        return answer

    async def close(self) -> None:
        await self._calls.close()


class _Address:
    """The connections to one address, used in turn.

    Attributes:
        credentials: those of TLS; None for cleartext.
        under_way: the calls that use it.
        used_at: when the last call ended, on the clock of `deadline.now`.
        connecting: the limits of those that wait for a connection.
        moved: True once a name that it had is elsewhere.
        dropped: True once a new one has taken its place; its last call closes it.
        closed: True once its channels are closed.
    """

    def __init__(
        self,
        address: str,
        connections: int,
        options: tuple[tuple[str, int], ...],
        credentials: DialCredentials | None,
    ) -> None:
        self.address = address
        self.credentials = credentials
        self.under_way = 0
        self.used_at = now()
        self.connecting: set[asyncio.Timeout] = set()
        self.moved = False
        self.dropped = False
        self.closed = False
        self.connections = [_Connection(address, options, credentials) for _ in range(connections)]
        self.next: Callable[[], _Connection] = itertools.cycle(self.connections).__next__

    def leave(self) -> bool:
        """End the use by a call; True if it was the last one and the address is dropped."""
        self.under_way -= 1
        self.used_at = now()
        return self.dropped and not self.under_way

    @property
    def lost(self) -> bool:
        """True if one of its connections is gone."""
        return any(connection.lost for connection in self.connections)

    async def close(self) -> None:
        self.closed = True
        for connection in self.connections:
            await connection.close()


class UnaryTransport:
    """Sends envelopes to addresses; one or more connections to each.

    Args:
        limit: the largest envelope, in bytes.
        connections: the number of connections to keep to each address.
        credentials: those of TLS, for peers that have it.
    """

    def __init__(
        self, *, limit: int, connections: int = 1, credentials: DialCredentials | None = None
    ) -> None:
        if connections < 1:
            raise ValueError("at least one connection is needed")
        self._connections = connections
        self._credentials = credentials
        self._addresses: dict[str, _Address] = {}
        self._closing: set[asyncio.Task[None]] = set()
        self._options = (
            ("grpc.max_receive_message_length", limit + ENVELOPE_ROOM),
            ("grpc.max_send_message_length", limit + ENVELOPE_ROOM),
            # Peers are dialled directly: a proxy of the environment is for other traffic.
            ("grpc.enable_http_proxy", 0),
            # Equal channels share a connection otherwise.
            ("grpc.use_local_subchannel_pool", 1),
            # A Go peer closes connections that are pinged more often than every
            # 5 minutes; the timeout also bounds how long the kernel resends
            # into a hole; so a dead host is found.
            ("grpc.keepalive_time_ms", 310_000),
            ("grpc.keepalive_timeout_ms", 10_000),
            ("grpc.http2.ping_timeout_ms", 10_000),
            ("grpc.initial_reconnect_backoff_ms", 100),
            ("grpc.min_reconnect_backoff_ms", 2_000),
            ("grpc.max_reconnect_backoff_ms", 2_000),
        )

    def __repr__(self) -> str:
        return f"<UnaryTransport to {len(self._addresses)} addresses>"

    async def ask(
        self, address: str, delivery: Delivery, deadline: Deadline, *, secure: bool = False
    ) -> Delivery:
        """Send an envelope, over TLS if `secure`, and return the answer's.

        Raises:
            PeerUnreachable, SecurityError: it was never sent.
            OutcomeUnknown: the connection broke before the answer.
            DeadlineExceeded: no answer in time.
            GridError: the error that the peer answered with.
        """

        async def process(target: _Address, connection: _Connection) -> Delivery:
            if not connection.connected:
                await self._connect(target, connection, deadline, delivery)
            try:
                return await connection.process(delivery, deadline.remaining())
            except grpc.aio.AioRpcError as error:
                failure = _failure(error, target, connection, delivery, deadline)
                raise failure from failure.__cause__

        return await self._use(address, secure, process, OutcomeUnknown)

    async def health(self, address: str, deadline: Deadline, *, secure: bool = False) -> str:
        """The answer of the health service at an address, e.g. `SERVING`.

        Raises:
            PeerUnreachable: no connection, or it broke; asking again is safe.
            SecurityError: the two sides do not trust each other.
            DeadlineExceeded: no answer in time.
            GridError: the error that the peer answered with.
        """

        async def check(target: _Address, connection: _Connection) -> str:
            try:
                answer = await connection.check(deadline.remaining())
            except grpc.aio.AioRpcError as error:
                if error.code() is _UNAVAILABLE:
                    raise await self._unreachable(target, error, deadline) from None
                asked = Delivery(receiver="health")
                failure = _failure(error, target, connection, asked, deadline)
                raise failure from failure.__cause__
            return str(health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status))

        return await self._use(address, secure, check, lambda _: ClientClosed())

    def moved(self, address: str) -> None:
        """End calls that wait for a connection to an address, as `PeerUnreachable`."""
        target = self._addresses.get(address)
        if target is not None and target.connecting:
            self._forget(target)
            target.moved = True
            for limit in target.connecting:
                reschedule(limit, asyncio.get_running_loop().time())

    def forget(self, address: str) -> None:
        """Close the connections to an address whose peer has left, after calls under way."""
        target = self._addresses.get(address)
        if target is not None:
            self._forget(target)
            if not target.under_way:
                self._close_soon(target)

    async def close(self) -> None:
        """Close all connections; calls under way end as `OutcomeUnknown`."""
        targets = list(self._addresses.values())
        self._addresses.clear()
        for target in targets:
            await target.close()
        await asyncio.gather(*self._closing, return_exceptions=True)

    async def _use(
        self,
        address: str,
        secure: bool,
        calling: Callable[[_Address, _Connection], Awaitable[T]],
        closed: Callable[[str], GridError],
    ) -> T:
        credentials = self._credentials if secure else None
        target = self._addresses.get(address)
        if target is not None and (target.lost or target.credentials is not credentials):
            # A channel would dial the address that the name had before.
            await self._drop(target)
            target = self._addresses.get(address)
        target = target or self._dial(address, credentials)
        target.under_way += 1
        try:
            return await calling(target, target.next())
        except asyncio.CancelledError:
            # grpc cancels the caller, too, when the channel is closed under a call.
            if target.closed and not being_cancelled():
                raise closed(f"the connection to {address} was closed") from None
            raise
        finally:
            if target.leave():
                await target.close()

    async def _connect(
        self, target: _Address, connection: _Connection, deadline: Deadline, delivery: Delivery
    ) -> None:
        limit = asyncio.timeout(deadline.remaining())
        target.connecting.add(limit)
        try:
            async with limit:
                if await connection.connect():
                    return
                # The state does not say why it failed, but a call does: a harmless one, since
                # the peer may be back by now.
                await connection.check(deadline.remaining())
        except TimeoutError:
            if target.moved:  # not by the clock: a loop's timer may be early
                raise PeerUnreachable(target.address, _MOVED) from None
            raise request_overdue(delivery.receiver, target.address, deadline.timeout) from None
        except grpc.aio.AioRpcError as error:
            if error.code() is _UNAVAILABLE:
                raise await self._unreachable(target, error, deadline) from None
        finally:
            target.connecting.discard(limit)

    async def _unreachable(
        self, target: _Address, error: grpc.aio.AioRpcError, deadline: Deadline
    ) -> PeerUnreachable | SecurityError:
        # The next use makes a new channel: gRPC would wait before it dials again, and keep the
        # address that a name had.
        self._forget(target)
        if target.credentials is not None:
            cause = await diagnose(target.address, target.credentials.tls, deadline.remaining())
            if cause is not None:
                return cause
        return PeerUnreachable(target.address, error.details() or error.code().name)

    def _forget(self, target: _Address) -> None:
        # Callers that still wait on it get their own answer, and another one may have
        # dialled already.
        target.dropped = True
        if self._addresses.get(target.address) is target:
            del self._addresses[target.address]

    async def _drop(self, target: _Address) -> None:
        self._forget(target)
        if not target.under_way:
            await target.close()

    def _dial(self, address: str, credentials: DialCredentials | None) -> _Address:
        # Peers come and go: what is not used for long is closed when another one is dialled.
        idle = now() - _IDLE
        for other in [one for one in self._addresses.values() if one.used_at < idle]:
            if not other.under_way:
                self._forget(other)
                self._close_soon(other)
        target = _Address(address, self._connections, self._options, credentials)
        self._addresses[address] = target
        return target

    def _close_soon(self, target: _Address) -> None:
        closing = asyncio.create_task(target.close(), name=f"close {target.address}")
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)


def _failure(
    error: grpc.aio.AioRpcError,
    target: _Address,
    connection: _Connection,
    delivery: Delivery,
    deadline: Deadline,
) -> GridError:
    code, text = error.code(), error.details() or ""
    trailers = tuple(error.trailing_metadata() or ())
    if not trailers:
        timed_out = code is grpc.StatusCode.DEADLINE_EXCEEDED or (code, text) == _LEFT
        if timed_out and deadline.remaining() <= _EARLY:
            return request_overdue(delivery.receiver, target.address, deadline.timeout)
        if target.closed or (code is _UNAVAILABLE and not connection.connected):
            return OutcomeUnknown(f"the connection to {target.address} broke: {text}")
    elif code is grpc.StatusCode.DEADLINE_EXCEEDED and deadline.passed:
        return request_overdue(delivery.receiver, target.address, deadline.timeout)
    name = delivery.receiver.rpartition(".")[2]
    found = decode_error(code, text, trailers, receiver=name, type_name=delivery.typeName)
    if isinstance(found, TokenRefused):
        tls = None if target.credentials is None else target.credentials.tls
        return token_refused(target.address, tls)
    return found
