"""The side of a peer that is dialled: `grid.wire`, health, reflection, and a unix socket."""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from typing import Any, NoReturn, Protocol

import grpc
import grpc.aio
from google.protobuf.message import DecodeError
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from grid.deadline import Deadline
from grid.descriptor_pool import BothPools
from grid.errors import (
    AddressInUse,
    GridError,
    InvalidAddress,
    MessageTooLarge,
    PeerNotServing,
    UndecodableMessage,
)
from grid.tls import TLS
from grid.transport._credentials import PortCredentials
from grid.transport._grpc_wire import GrpcWire
from grid.transport._socket_wire import SocketServer, SocketWire
from grid.transport._token_gate import TokenGate
from grid.transport.addresses import split_address
from grid.transport.answer import FutureAnswer, GoAnswer, Reply
from grid.transport.budget import Budget
from grid.transport.error_codec import encode_error
from grid.transport.link import Link
from grid.transport.request_handler import RequestHandler
from grid.transport.settings import FRAME_BYTES, SessionSettings
from grid.transport.statistics import Counters, SessionStatistics, total
from grid.transport.wire import Wire
from grid.wire_pb2 import DESCRIPTOR, Delivery

__all__ = ["ENVELOPE_ROOM", "SERVICE", "UnaryHandler", "WireService"]

_log = logging.getLogger("grid.transport")

SERVICE = DESCRIPTOR.services_by_name["wire"].full_name

# Room for an envelope's names, epoch and metadata, in bytes.
ENVELOPE_ROOM = 64 * 1024

# Bytes that a peer keeps for all its sessions together: unread answers, unfinished messages.
_LEAST_BUDGET = 512 * 1024 * 1024

_GO = "grpc-go/"

_Context = grpc.aio.ServicerContext[bytes, bytes]


class UnaryHandler(RequestHandler, Protocol):
    """Takes deliveries, one by one and of sessions."""

    async def deliver(
        self,
        delivery: Delivery,
        deadline: Deadline | None,
        kind: type[FutureAnswer] = FutureAnswer,
    ) -> Reply:
        """The type name and the bytes of the answer to one delivery.

        Args:
            delivery: the envelope.
            deadline: the caller's, if it has one.
            kind: the kind of answer, which has the limits of the caller.
        """


class WireService:
    """A gRPC server on one port, and perhaps a unix socket, that gives deliveries to a handler.

    An error of `UnaryHandler.deliver` becomes a status; its cancellation means that
    the caller no longer waits.
    """

    def __init__(
        self,
        listen: str,
        *,
        settings: SessionSettings,
        reflection: bool,
        unix_socket: str | None = None,
        tls: TLS | None = None,
    ) -> None:
        self._settings = settings
        self._budget = Budget(max(_LEAST_BUDGET, 4 * settings.max_message_bytes))
        self._handler: UnaryHandler | None = None
        self._links: dict[Link, None] = {}
        self._ended = Counters()
        token = None if tls is None else tls.token
        self._server = grpc.aio.server(
            interceptors=() if token is None else (TokenGate(token),),
            options=(
                # Two processes on one port would share its connections.
                ("grpc.so_reuseport", 0),
                ("grpc.max_receive_message_length", FRAME_BYTES),
                ("grpc.max_send_message_length", -1),
                ("grpc.keepalive_permit_without_calls", 1),
                ("grpc.http2.min_ping_interval_without_data_ms", 1_000),
                ("grpc.http2.min_recv_ping_interval_without_data_ms", 1_000),
                # Finds callers that are gone without a word.
                ("grpc.keepalive_time_ms", 20_000),
                ("grpc.keepalive_timeout_ms", 10_000),
                ("grpc.http2.ping_timeout_ms", 10_000),
            ),
        )
        handlers: dict[str, grpc.RpcMethodHandler[bytes, bytes]] = {
            "Process": grpc.unary_unary_rpc_method_handler(self._process),
            "Session": grpc.stream_stream_rpc_method_handler(self._session),
        }
        self._server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler(SERVICE, handlers),)
        )
        self._health = health.aio.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        if reflection:
            self._add_reflection()
        self.port: int = self._bind(listen, None if tls is None else PortCredentials(tls))
        self._socket = SocketServer(unix_socket, self._accept) if unix_socket else None
        self._on_socket: set[asyncio.Task[None]] = set()
        self._listening: asyncio.Task[None] | None = None

    async def start(self, handler: UnaryHandler) -> None:
        """Give deliveries to a handler; health says NOT_SERVING until `set_serving`."""
        self._handler = handler
        await self.set_serving(False)
        await self._listen()
        if self._socket is not None:
            try:
                await self._socket.start()
            except OSError as error:  # others see that the path does not exist
                _log.warning("no unix socket at %s: %s", self._socket.path, error)
                self._socket = None

    async def set_serving(self, serving: bool) -> None:
        """Set the answer of the health service."""
        statuses = health_pb2.HealthCheckResponse
        status = statuses.SERVING if serving else statuses.NOT_SERVING
        for service in ("", SERVICE):
            await self._health.set(service, status)

    def statistics(self) -> tuple[Counters, tuple[SessionStatistics, ...]]:
        """The sums of all sessions there were, and those there are, the oldest first."""
        sessions = tuple(link.statistics() for link in self._links)
        return total((self._ended, *sessions)), sessions

    async def stop(self, grace: float) -> None:
        """Refuse new calls, let those under way end within `grace` seconds, cut the rest."""
        for link in self._links:
            link.say_goodbye("the peer stops")  # the other side ends it when it has its answers
        if self._socket is not None:
            self._socket.stop()
        await self._listen()  # of a server that was not started gRPC never frees the port
        stopping = asyncio.create_task(self._server.stop(grace))
        if self._on_socket:
            await asyncio.wait(self._on_socket, timeout=grace)
        for task in tuple(self._on_socket):
            task.cancel()
        await asyncio.gather(*self._on_socket, return_exceptions=True)
        await stopping

    async def cut(self, reason: str) -> None:
        """End at once and without a farewell; the other sides lose their sessions."""
        for link in tuple(self._links):
            link.end(reason)
        if self._socket is not None:
            self._socket.stop()
        for task in tuple(self._on_socket):
            task.cancel()
        await asyncio.gather(*self._on_socket, return_exceptions=True)
        await self._listen()
        await self._server.stop(None)

    async def _listen(self) -> None:
        # Once, and not to be cancelled: gRPC can neither go on nor stop after that.
        if self._listening is None:
            self._listening = asyncio.create_task(self._server.start(), name="start of gRPC")
        await asyncio.shield(self._listening)

    def _bind(self, listen: str, credentials: PortCredentials | None) -> int:
        host, port = split_address(listen)
        address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        _check_free(listen, host, port)
        try:
            if credentials is not None:
                return self._server.add_secure_port(address, credentials.made)
            return self._server.add_insecure_port(address)
        except RuntimeError:
            raise AddressInUse(listen) from None  # taken between the check and now

    def _add_reflection(self) -> None:
        from grpc_reflection.v1alpha import reflection

        services = (SERVICE, health.SERVICE_NAME, reflection.SERVICE_NAME)
        reflection.enable_server_reflection(services, self._server, pool=BothPools())

    async def _process(self, data: bytes, context: _Context) -> bytes:
        remaining = context.time_remaining()
        deadline = None if remaining is None else Deadline.after(remaining)
        try:
            # Decoded here and not by grpc, which would log each bad envelope
            # with a traceback and answer without a reason.
            if self._handler is None:
                raise PeerNotServing("", "starting")
            delivery = Delivery.FromString(data)
            limit = self._settings.max_message_bytes
            if len(delivery.data) > limit:
                raise MessageTooLarge(len(delivery.data), limit)
            kind = GoAnswer if _is_go(context) else FutureAnswer
            name, payload = await self._handler.deliver(delivery, deadline, kind)
        except DecodeError:
            await _abort(context, UndecodableMessage("grid.Delivery"))
        except GridError as error:
            await _abort(context, error)
        return Delivery(typeName=name, data=payload).SerializeToString()

    async def _session(self, _: Any, context: _Context) -> None:
        await self._run(self._new_link(GrpcWire(context.read, context.write), context.peer()))

    def _accept(self, wire: SocketWire) -> None:
        link = self._new_link(wire, "unix socket")
        wire.attach(link)
        task = asyncio.create_task(self._run(link), name="session on a socket")
        self._on_socket.add(task)
        task.add_done_callback(self._on_socket.discard)

    def _new_link(self, wire: Wire, address: str) -> Link:
        link = Link(
            wire,
            dialled=False,
            settings=self._settings,
            handler=self._handler,
            budget=self._budget,
        )
        link.address = address
        self._links[link] = None
        return link

    async def _run(self, link: Link) -> None:
        try:
            await link.run()
        finally:
            del self._links[link]
            self._ended = total((self._ended, link.statistics()))


def _is_go(context: _Context) -> bool:
    metadata = context.invocation_metadata() or ()
    return any(key == "user-agent" and _GO in str(value) for key, value in metadata)


async def _abort(context: _Context, error: GridError) -> NoReturn:
    code, text, trailers = encode_error(error)
    await context.abort(code, text, trailers)


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
