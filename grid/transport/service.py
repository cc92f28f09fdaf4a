"""The gRPC side of a peer: the service `grid.wire`, health, and reflection."""

from __future__ import annotations

import errno
import socket
from collections.abc import Awaitable, Callable
from typing import NoReturn

import grpc
import grpc.aio
from google.protobuf.message import DecodeError
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from grid.deadline import Deadline
from grid.errors import (
    AddressInUse,
    GridError,
    InvalidAddress,
    PeerNotServing,
    UndecodableMessage,
)
from grid.names import split_address
from grid.transport.status import encode_error
from grid.wire_pb2 import DESCRIPTOR, Delivery

__all__ = ["ENVELOPE_ROOM", "WireService"]

SERVICE = DESCRIPTOR.services_by_name["wire"].full_name

# What an envelope adds to its payload: names, epoch, metadata.
ENVELOPE_ROOM = 64 * 1024

_Deliver = Callable[[Delivery, Deadline | None], Awaitable[tuple[str, bytes]]]
_Context = grpc.aio.ServicerContext[bytes, bytes]


class WireService:
    """A gRPC server on one port that gives each `Delivery` to a function.

    The function's `GridError` becomes a status; its cancellation means that the
    caller no longer waits.
    """

    def __init__(self, listen: str, *, limit: int, reflection: bool) -> None:
        self._deliver: _Deliver = _refuse
        self._server = grpc.aio.server(
            options=(
                # Two processes on one port would share its connections.
                ("grpc.so_reuseport", 0),
                ("grpc.max_receive_message_length", limit + ENVELOPE_ROOM),
                ("grpc.max_send_message_length", limit + ENVELOPE_ROOM),
                ("grpc.keepalive_permit_without_calls", 1),
                ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
            )
        )
        handler: grpc.RpcMethodHandler[bytes, bytes] = grpc.unary_unary_rpc_method_handler(
            self._process
        )
        self._server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler(SERVICE, {"Process": handler}),)
        )
        self._health = health.aio.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        if reflection:
            self._add_reflection()
        self.port = self._bind(listen)

    async def start(self, deliver: _Deliver) -> None:
        """Answer calls by a function; health says NOT_SERVING until `set_serving`."""
        self._deliver = deliver
        await self.set_serving(False)
        await self._server.start()

    async def set_serving(self, serving: bool) -> None:
        """What the health service says of the peer."""
        statuses = health_pb2.HealthCheckResponse
        status = statuses.SERVING if serving else statuses.NOT_SERVING
        for service in ("", SERVICE):
            await self._health.set(service, status)

    async def stop(self, grace: float) -> None:
        """Refuse new calls, let those under way end within `grace` seconds, cut the rest."""
        await self._server.stop(grace)

    def _bind(self, listen: str) -> int:
        host, port = split_address(listen)
        address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        _check_free(listen, host, port)
        try:
            return self._server.add_insecure_port(address)
        except RuntimeError:
            raise AddressInUse(listen) from None  # taken between the check and now

    def _add_reflection(self) -> None:
        from grpc_reflection.v1alpha import reflection

        services = (SERVICE, health.SERVICE_NAME, reflection.SERVICE_NAME)
        reflection.enable_server_reflection(services, self._server)

    async def _process(self, data: bytes, context: _Context) -> bytes:
        remaining = context.time_remaining()
        deadline = None if remaining is None else Deadline.after(remaining)
        try:
            # Decoded here and not by grpc, which would log each bad envelope
            # with a traceback and answer without saying what was wrong.
            name, payload = await self._deliver(Delivery.FromString(data), deadline)
        except DecodeError:
            await _abort(context, UndecodableMessage("grid.Delivery"))
        except GridError as error:
            await _abort(context, error)
        return Delivery(typeName=name, data=payload).SerializeToString()


async def _abort(context: _Context, error: GridError) -> NoReturn:
    code, text, trailers = encode_error(error)
    await context.abort(code, text, trailers)


async def _refuse(delivery: Delivery, deadline: Deadline | None) -> tuple[str, bytes]:
    raise PeerNotServing("", "starting")


def _check_free(listen: str, host: str, port: int) -> None:
    # grpc says "failed to bind" for every cause, and logs; the kernel says which.
    try:
        family, kind, proto, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind, proto) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            probe.listen()
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise AddressInUse(listen) from None
        raise InvalidAddress(listen, f"cannot listen there: {error.strerror}") from None
