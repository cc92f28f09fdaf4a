"""The server of a service: what generated servers derive from."""

from __future__ import annotations

from collections.abc import Iterable
from types import TracebackType
from typing import Any, Literal, Self, TypedDict

from google.protobuf.message import Message

from grid.errors import InvalidArgument
from grid.numbers import check_count
from rpc.buses.bus import Bus
from rpc.services.bus_of import BusLike, bus_of, owns_bus
from rpc.services.direct_server import DirectServing
from rpc.services.errors import CallClosed
from rpc.services.handlers import ServerInterceptor, ServerStreamInterceptor, served_methods
from rpc.services.observers import Observer, checked_observers
from rpc.services.psrpc.ids import new_id
from rpc.services.psrpc.server import PsrpcServing
from rpc.services.serving import Registration, Serving
from rpc.services.specification import MethodSpec, ServiceSpec, check_topic

__all__ = ["ServerOptions", "ServiceServer"]


class ServerOptions(TypedDict, total=False):
    """Options of servers; see `ServiceServer`."""

    server_id: str | None
    concurrency: int
    mailbox: int
    interceptors: Iterable[ServerInterceptor]
    stream_interceptors: Iterable[ServerStreamInterceptor]
    observers: Iterable[Observer]
    topics: Literal["etcd", "shards"]


class ServiceServer:
    """Serves the methods of one service object on a bus.

    Use it as `async with`, or `start` and `shutdown` it.

    Args:
        spec: the service, from generated code.
        service: the object with the handlers; None for a server that only publishes.
        bus: a `Bus`, or a started `grid.Server` or `ActorContext`, of which a `GridBus` is made.
        server_id: unique among the servers; by default one is made.
        concurrency: requests that are served at once, for each topic.
        mailbox: further requests that wait; more are refused, and go to another server.
        interceptors: async functions around each handler, the first outermost:
            `async def log(request, context, proceed): return await proceed(request)`.
        stream_interceptors: the same around each handler of streams, with the stream, or a
            `StreamWrapper` of it, in the place of the request.
        observers: functions that are told each `CallEvent`.
        topics: where topics are registered on the grid: `etcd`, for those that stay, or `shards`,
            for thousands that come and go: then they are kept in memory by the servers of the
            service, and nothing is written to etcd for each. Topics with `single_server` are
            in etcd always. All servers of a service should say the same.

    Attributes:
        id: of this server.

    Raises:
        InvalidArgument: a handler is missing or not an async function.
    """

    def __init__(
        self,
        spec: ServiceSpec,
        service: object | None,
        bus: BusLike,
        *,
        server_id: str | None = None,
        concurrency: int = 1000,
        mailbox: int = 1000,
        interceptors: Iterable[ServerInterceptor] = (),
        stream_interceptors: Iterable[ServerStreamInterceptor] = (),
        observers: Iterable[Observer] = (),
        topics: Literal["etcd", "shards"] = "etcd",
    ) -> None:
        for name, number in (("concurrency", concurrency), ("mailbox", mailbox)):
            check_count(name, number)
        if topics not in ("etcd", "shards"):
            raise InvalidArgument("topics", topics, '"etcd" or "shards"')
        self._spec = spec
        self.id = server_id or new_id("SRV_")
        self._bus: Bus = bus_of(bus)
        self._owns_bus = owns_bus(bus)
        self._methods = (
            {}
            if service is None
            else served_methods(spec, service, interceptors, stream_interceptors)
        )
        kind = DirectServing if self._bus.capabilities.direct else PsrpcServing
        self._serving: Serving = kind(
            spec,
            self._methods,
            self._bus,
            self.id,
            concurrency=concurrency,
            size=mailbox,
            observers=checked_observers(observers),
            shards=topics == "shards",
        )
        self._started = False
        self._ended = False

    def __repr__(self) -> str:
        state = "ended" if self._ended else "serves" if self._started else "not started"
        return f"<{type(self).__name__} {self.id} {state}>"

    async def start(self) -> None:
        """Register all methods without topics; clients find them when this returns.

        Raises:
            AlreadyServed: a method with `single_server` has a server already.
            GridError: the bus is not there; nothing is left behind.
        """
        if self._ended or self._started:
            raise CallClosed(f"{self!r} cannot be started again; make a new one")
        self._started = True
        try:
            await self._serving.start()
        except BaseException:
            await self.kill()
            raise

    async def shutdown(self, *, timeout: float = 10.0) -> None:
        """Take no more requests, finish those that run, and leave. Idempotent.

        Args:
            timeout: seconds after which handlers that still run are cancelled.
        """
        if self._ended:
            return
        self._ended = True
        try:
            await self._serving.stop(timeout)
        finally:
            if self._owns_bus:
                await self._bus.close()

    async def kill(self) -> None:
        """Cancel the handlers that run, and leave. Idempotent."""
        await self.shutdown(timeout=0.0)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.shutdown()

    # -- for generated code ------------------------------------------------------

    async def _register(
        self, methods: Iterable[MethodSpec[Any, Any]], topic: tuple[str, ...]
    ) -> None:
        """Register methods for a topic, all or none.

        Raises:
            AlreadyServed: one is registered for the topic here, or, with `single_server`,
                by another server.
        """
        self._check_running()
        check_topic(topic)
        await self._serving.register(Registration(topic, tuple(one.name for one in methods)))

    async def _deregister(
        self, methods: Iterable[MethodSpec[Any, Any]], topic: tuple[str, ...]
    ) -> None:
        """Take methods back from a topic; requests that run are finished in the background.

        Raises:
            NotRegistered: they were not registered together for the topic.
        """
        self._check_running()
        await self._serving.deregister(Registration(topic, tuple(one.name for one in methods)))

    async def _publish(
        self, method: MethodSpec[Any, Any], topic: tuple[str, ...], message: Message
    ) -> int | None:
        """Publish a message to the subscribers of a method and a topic."""
        self._check_running()
        if not isinstance(message, method.reply):
            raise InvalidArgument(
                f"the message of {method.name}", message, f"a {method.reply.__name__}"
            )
        check_topic(topic)
        return await self._serving.publish(method, topic, message)

    def _check_running(self) -> None:
        if self._ended or not self._started:
            raise CallClosed(f"{self!r}: start it first, and use it until its shutdown")
