"""Deliveries over unary `Process` calls: channels by address, and their errors."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable

import grpc
import grpc.aio
from google.protobuf.message import Message
from grpc_health.v1 import health_pb2, health_pb2_grpc

from grid.aio import being_cancelled
from grid.deadline import Deadline
from grid.errors import (
    ClientClosed,
    DeadlineExceeded,
    GridError,
    OutcomeUnknown,
    PeerUnreachable,
)
from grid.transport.error_codec import NEVER_SENT, decode_error
from grid.transport.service import ENVELOPE_ROOM, SERVICE
from grid.wire_pb2 import Delivery

__all__ = ["UnaryTransport"]

_Process = grpc.aio.UnaryUnaryMultiCallable[Message, Delivery]


class _Address:
    """The channels to one address, used in turn."""

    def __init__(self, address: str, connections: int, options: tuple[tuple[str, int], ...]):
        self.address = address
        self.under_way = 0
        self.dropped = False
        self.closed = False
        self.channels = [
            grpc.aio.insecure_channel(address, options=options) for _ in range(connections)
        ]
        calls = [
            channel.unary_unary(
                f"/{SERVICE}/Process",
                request_serializer=Delivery.SerializeToString,
                response_deserializer=Delivery.FromString,
            )
            for channel in self.channels
        ]
        self.next_call: Callable[[], _Process] = itertools.cycle(calls).__next__

    def leave(self) -> bool:
        """A call is over; True if it was the last one and the address is dropped."""
        self.under_way -= 1
        return self.dropped and not self.under_way

    async def close(self) -> None:
        self.closed = True
        for channel in self.channels:
            await channel.close()


class UnaryTransport:
    """Sends envelopes to addresses; one or more connections to each.

    Args:
        limit: the largest envelope, in bytes.
        connections: how many connections to keep to each address.
    """

    def __init__(self, *, limit: int, connections: int = 1) -> None:
        if connections < 1:
            raise ValueError("at least one connection is needed")
        self._connections = connections
        self._addresses: dict[str, _Address] = {}
        self._options = (
            ("grpc.max_receive_message_length", limit + ENVELOPE_ROOM),
            ("grpc.max_send_message_length", limit + ENVELOPE_ROOM),
            # Equal channels share a connection otherwise.
            ("grpc.use_local_subchannel_pool", 1),
            # A Go peer closes connections that are pinged more often than every
            # 5 minutes; the timeout also bounds how long the kernel resends
            # into a hole, which is what finds a dead host.
            ("grpc.keepalive_time_ms", 310_000),
            ("grpc.keepalive_timeout_ms", 10_000),
            ("grpc.http2.ping_timeout_ms", 10_000),
            ("grpc.initial_reconnect_backoff_ms", 100),
            ("grpc.min_reconnect_backoff_ms", 2_000),
            ("grpc.max_reconnect_backoff_ms", 2_000),
        )

    def __repr__(self) -> str:
        return f"<UnaryTransport to {len(self._addresses)} addresses>"

    async def ask(self, address: str, delivery: Delivery, deadline: Deadline) -> Delivery:
        """Send an envelope and return the answer's.

        Raises:
            PeerUnreachable: it was never sent.
            OutcomeUnknown: the connection broke before the answer.
            DeadlineExceeded: no answer in time.
            GridError: what the peer answered.
        """
        target = self._addresses.get(address) or self._dial(address)
        target.under_way += 1
        try:
            return await target.next_call()(delivery, timeout=deadline.remaining())
        except grpc.aio.AioRpcError as error:
            raise self._failed(
                target, error, delivery.receiver, delivery.typeName, deadline
            ) from None
        except asyncio.CancelledError:
            # grpc cancels the caller, too, when the channel is closed under a call.
            if target.closed and not being_cancelled():
                raise OutcomeUnknown(f"the connection to {address} was closed") from None
            raise
        finally:
            if target.leave():
                await target.close()

    async def health(self, address: str, deadline: Deadline) -> str:
        """What the health service at an address says, e.g. `SERVING`."""
        target = self._addresses.get(address) or self._dial(address)
        stub = health_pb2_grpc.HealthStub(target.channels[0])
        request = health_pb2.HealthCheckRequest()
        target.under_way += 1
        try:
            answer = await stub.Check(request, timeout=deadline.remaining())
        except grpc.aio.AioRpcError as error:
            raise self._failed(target, error, "health", "", deadline) from None
        except asyncio.CancelledError:
            if target.closed and not being_cancelled():
                raise ClientClosed from None
            raise
        finally:
            if target.leave():
                await target.close()
        return str(health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status))

    async def close(self) -> None:
        """Close all connections; what is under way ends as `OutcomeUnknown`."""
        targets = list(self._addresses.values())
        self._addresses.clear()
        for target in targets:
            await target.close()

    def _failed(
        self,
        target: _Address,
        error: grpc.aio.AioRpcError,
        receiver: str,
        type_name: str,
        deadline: Deadline,
    ) -> GridError:
        name = receiver.rpartition(".")[2]
        failure = _failure(error, target.address, name, type_name, deadline)
        if isinstance(failure, PeerUnreachable):
            # The next use dials anew. Others that still wait on this one get
            # their own answer, and another caller may have dialled already.
            target.dropped = True
            if self._addresses.get(target.address) is target:
                del self._addresses[target.address]
        return failure

    def _dial(self, address: str) -> _Address:
        target = _Address(address, self._connections, self._options)
        self._addresses[address] = target
        return target


def _failure(
    error: grpc.aio.AioRpcError,
    address: str,
    receiver: str,
    type_name: str,
    deadline: Deadline,
) -> GridError:
    code, text = error.code(), error.details() or ""
    trailers = tuple(error.trailing_metadata() or ())
    timed_out = code is grpc.StatusCode.DEADLINE_EXCEEDED or "grid: context finished" in text
    if timed_out and (deadline.passed or not trailers):
        return DeadlineExceeded(f"request to {receiver!r} at {address}", deadline.timeout)
    answer = decode_error(code, text, trailers, receiver=receiver, type_name=type_name)
    if code is grpc.StatusCode.UNAVAILABLE and not trailers:
        if NEVER_SENT.search(text):
            return PeerUnreachable(address, text)
        return OutcomeUnknown(f"the connection to {address} broke: {text}")
    if code is grpc.StatusCode.CANCELLED and not trailers:
        return OutcomeUnknown(f"the connection to {address} was closed: {text}")
    return answer
