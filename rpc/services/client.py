"""The client of a service: what generated clients derive from."""

from __future__ import annotations

import copy
from collections.abc import AsyncGenerator, Iterable, Mapping
from types import TracebackType
from typing import Any, Self, TypedDict, TypeVar, cast

from google.protobuf.message import DecodeError, Message

from grid.aio import Opening
from grid.client.arguments import check_metadata
from grid.deadline import FOREVER, check_timeout, now
from grid.errors import InvalidArgument
from rpc.buses.bus import Bus, DirectBus
from rpc.services.bus_of import BusLike, bus_of, owns_bus
from rpc.services.calls import Calls, Item, Outgoing
from rpc.services.client_calls import (
    ClientCall,
    ClientInterceptor,
    ClientMultiInterceptor,
    ClientStreamInterceptor,
    intercepted,
    intercepted_all,
    intercepted_stream,
)
from rpc.services.direct_client import DirectCalls
from rpc.services.errors import CallClosed, MalformedResult
from rpc.services.interceptors import checked_interceptors
from rpc.services.observers import CallWatch, EventKind, Observer, checked_observers
from rpc.services.psrpc.client import PsrpcCalls
from rpc.services.psrpc.ids import new_id
from rpc.services.results import MemberResult, MultiCall
from rpc.services.selection import DEFAULT, SelectionOptions
from rpc.services.specification import MethodSpec, Routing, ServiceSpec, check_topic
from rpc.services.streams import ServiceStream
from rpc.services.subscriptions import Updates, decoded
from rpc.services.watched import WatchedStream, kind_of, told

__all__ = ["ClientOptions", "ServiceClient"]

RequestT = TypeVar("RequestT", bound=Message)
ReplyT = TypeVar("ReplyT", bound=Message)


class ClientOptions(TypedDict, total=False):
    """Options of clients; see `ServiceClient`."""

    timeout: float
    selection: SelectionOptions
    client_id: str | None
    interceptors: Iterable[ClientInterceptor]
    multi_interceptors: Iterable[ClientMultiInterceptor]
    stream_interceptors: Iterable[ClientStreamInterceptor]
    observers: Iterable[Observer]


class ServiceClient:
    """Calls the servers of one service on a bus.

    Use it as `async with`, or close it.

    Args:
        spec: the service, from generated code.
        bus: a `Bus`, or a `grid.Client`, a started `grid.Server` or an `ActorContext`, of which
            a `GridBus` is made. Clients that share a bus share its connections.
        timeout: seconds a call may take if it does not say otherwise.
        selection: how AFFINITY servers are chosen if a call does not say otherwise.
        client_id: unique among the clients; by default one is made.
        interceptors: async functions around each call to one server, the first outermost:
            `async def log(call, proceed): return await proceed(call)`.
        multi_interceptors: async generators around each call to all servers:
            `async def log(call, proceed): async for one in proceed(call): yield one`.
        stream_interceptors: async functions around the opening of each stream, which return it
            or a `StreamWrapper` of it.
        observers: functions that are told each `CallEvent`.

    Attributes:
        id: of this client.
    """

    def __init__(
        self,
        spec: ServiceSpec,
        bus: BusLike,
        *,
        timeout: float = 3.0,
        selection: SelectionOptions = DEFAULT,
        client_id: str | None = None,
        interceptors: Iterable[ClientInterceptor] = (),
        multi_interceptors: Iterable[ClientMultiInterceptor] = (),
        stream_interceptors: Iterable[ClientStreamInterceptor] = (),
        observers: Iterable[Observer] = (),
    ) -> None:
        self._spec = spec
        self._timeout = check_timeout(timeout)
        self._selection = selection
        self.id: str = client_id or new_id("CLI_")
        self._bus: Bus = bus_of(bus)
        self._owns_bus = owns_bus(bus)
        self._calls: Calls = (
            DirectCalls(cast("DirectBus", self._bus), spec.name, self.id)
            if self._bus.capabilities.direct
            else PsrpcCalls(self._bus, spec, self.id)
        )
        self._interceptors = checked_interceptors(interceptors)
        self._multi = checked_interceptors(multi_interceptors, "multi_interceptors")
        self._streams = checked_interceptors(stream_interceptors, "stream_interceptors")
        self._observers = checked_observers(observers)
        self._closed = False
        self._owner: Self | None = None  # of the connections, if this has interceptors of its own

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id}{' closed' if self._closed else ''}>"

    async def close(self) -> None:
        """End what is under way. Idempotent."""
        if self._owner is not None:
            await self._owner.close()
        elif not self._closed:
            self._closed = True
            try:
                await self._calls.close()
            finally:
                if self._owns_bus:
                    await self._bus.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    def with_interceptors(
        self,
        *,
        interceptors: Iterable[ClientInterceptor] = (),
        multi_interceptors: Iterable[ClientMultiInterceptor] = (),
        stream_interceptors: Iterable[ClientStreamInterceptor] = (),
    ) -> Self:
        """The same client with further interceptors, inside those that it has.

        For single calls: `client.with_interceptors(interceptors=[retry()]).greet(hello)`. It uses
        the connections of this client, and is closed with it.
        """
        made = copy.copy(self)
        made._owner = self._owner or self
        made._interceptors += checked_interceptors(interceptors)
        made._multi += checked_interceptors(multi_interceptors, "multi_interceptors")
        made._streams += checked_interceptors(stream_interceptors, "stream_interceptors")
        return made

    # -- for generated code ------------------------------------------------------

    async def _call(
        self,
        method: MethodSpec[RequestT, ReplyT],
        topic: tuple[str, ...],
        request: RequestT,
        timeout: float | None,
        metadata: Mapping[str, str] | None,
        idempotent: bool = False,
    ) -> ReplyT:
        if self._interceptors:
            call = self._client_call(method, topic, request, timeout, metadata, idempotent)
            return await intercepted(self._interceptors, call, self._proceed, method.reply)
        outgoing = self._outgoing(method, topic, request, timeout, metadata, idempotent)
        if outgoing.watch is not None:
            payload = await self._watched(outgoing, outgoing.watch, None)
        else:
            payload = await self._calls.call(outgoing)
        try:  # `decoded`, inlined
            return method.reply.FromString(payload)
        except DecodeError:
            return decoded(method.reply, payload, "the server")

    async def _call_best(
        self,
        method: MethodSpec[RequestT, ReplyT],
        topic: tuple[str, ...],
        request: RequestT,
        timeout: float | None,
        metadata: Mapping[str, str] | None,
        selection: SelectionOptions | None,
    ) -> ReplyT:
        if self._interceptors:
            call = self._client_call(method, topic, request, timeout, metadata, selection=selection)
            return await intercepted(self._interceptors, call, self._proceed, method.reply)
        outgoing = self._outgoing(method, topic, request, timeout, metadata)
        payload = await self._send(outgoing, selection or self._selection)
        return decoded(method.reply, payload, "the server")

    async def _proceed(self, call: ClientCall) -> Message:
        """The end of the chain of interceptors: send the call."""
        method = call.spec
        outgoing = self._outgoing(
            method, call.topic, call.request, call.timeout, call.metadata, call.idempotent
        )
        outgoing.reply_metadata = call.reply_metadata
        best = method.routing is Routing.AFFINITY
        payload = await self._send(outgoing, (call.selection or self._selection) if best else None)
        reply: Message = decoded(method.reply, payload, "the server")
        return reply

    def _client_call(
        self,
        method: MethodSpec[Any, Any],
        topic: tuple[str, ...],
        request: Message,
        timeout: float | None,
        metadata: Mapping[str, str] | None,
        idempotent: bool = False,
        selection: SelectionOptions | None = None,
    ) -> ClientCall:
        seconds = self._timeout if timeout is None else timeout
        return ClientCall(
            self._spec, method, topic, request, seconds, dict(metadata or {}), idempotent, selection
        )

    def _call_all(
        self,
        method: MethodSpec[RequestT, ReplyT],
        topic: tuple[str, ...],
        request: RequestT,
        timeout: float | None,
        metadata: Mapping[str, str] | None,
    ) -> MultiCall[ReplyT]:
        if self._multi:
            call = self._client_call(method, topic, request, timeout, metadata)
            return MultiCall(intercepted_all(self._multi, call, self._proceed_all))
        outgoing = self._outgoing(method, topic, request, timeout, metadata)
        return MultiCall(self._outcomes(outgoing, method.reply))

    def _proceed_all(self, call: ClientCall) -> AsyncGenerator[MemberResult[Any], None]:
        """The end of the chain of interceptors of calls to all."""
        outgoing = self._outgoing(
            call.spec, call.topic, call.request, call.timeout, call.metadata, call.idempotent
        )
        return self._outcomes(outgoing, call.spec.reply)

    async def _outcomes(
        self, call: Outgoing, reply: type[ReplyT]
    ) -> AsyncGenerator[MemberResult[ReplyT], None]:
        watch = call.watch
        items = cast("AsyncGenerator[Item, None]", self._calls.call_all(call))
        whole = False
        try:
            async for item in items:
                outcome = _result(item, reply)
                if watch is not None:
                    watch.tell(kind_of(outcome.error), outcome.member, error=outcome.error)
                yield outcome
            whole = True
        finally:
            if watch is not None and not whole:
                watch.tell(EventKind.CANCELED)
            await items.aclose()

    def _open(
        self,
        method: MethodSpec[RequestT, ReplyT],
        topic: tuple[str, ...],
        timeout: float | None,
        metadata: Mapping[str, str] | None,
        selection: SelectionOptions | None = None,
    ) -> Opening[ServiceStream[RequestT, ReplyT]]:
        async def opening() -> ServiceStream[RequestT, ReplyT]:
            call = self._client_call(
                method, topic, method.request(), timeout, metadata, selection=selection
            )
            if self._streams:
                return await intercepted_stream(self._streams, call, self._proceed_stream)
            return await self._proceed_stream(call)

        return Opening(opening)

    async def _proceed_stream(self, call: ClientCall) -> ServiceStream[Any, Any]:
        """The end of the chain of interceptors of streams: open it."""
        method = call.spec
        outgoing = self._outgoing(
            method, call.topic, None, call.timeout, call.metadata, call.idempotent
        )
        best = method.routing is Routing.AFFINITY
        chosen = (call.selection or self._selection) if best else None
        if outgoing.watch is None:
            pipe, member = await self._calls.open(outgoing, chosen)
            return ServiceStream(pipe, method.request, method.reply, member)
        opening = self._calls.open(outgoing, chosen)
        pipe, member = await told(opening, outgoing.watch, opens=True)
        stream = ServiceStream(pipe, method.request, method.reply, member)
        return WatchedStream(stream, outgoing.watch)

    async def _send(self, call: Outgoing, best: SelectionOptions | None) -> bytes:
        if call.watch is not None:
            return await self._watched(call, call.watch, best)
        if best is not None:
            return await self._calls.call_best(call, best)
        return await self._calls.call(call)

    async def _watched(
        self, call: Outgoing, watch: CallWatch, best: SelectionOptions | None
    ) -> bytes:
        calls = self._calls
        work = calls.call(call) if best is None else calls.call_best(call, best)
        return await told(work, watch)

    def _subscribe(
        self, method: MethodSpec[RequestT, ReplyT], topic: tuple[str, ...], size: int
    ) -> Opening[Updates[ReplyT]]:
        async def opening() -> Updates[ReplyT]:
            self._check_open()
            check_topic(topic)
            return Updates(await self._calls.subscribe(method, topic, size), method.reply)

        return Opening(opening)

    def _outgoing(
        self,
        method: MethodSpec[Any, Any],
        topic: tuple[str, ...],
        request: Message | None,
        timeout: float | None,
        metadata: Mapping[str, str] | None,
        idempotent: bool = False,
    ) -> Outgoing:
        if self._closed or self._owner is not None:
            self._check_open()
        if topic:
            check_topic(topic)
        if not method.stream and not isinstance(request, method.request):
            raise InvalidArgument(
                f"the request of {method.name}", request, f"a {method.request.__name__}"
            )
        if metadata:
            check_metadata(metadata)
        seconds = self._timeout if timeout is None else check_timeout(timeout)
        watch = None
        if self._observers is not None:
            watch = CallWatch(
                self._observers, "client", self._spec.name, method.name, topic, self.id
            )
        return Outgoing(
            self._spec.full_names[method.name],
            method.name,
            topic,
            b"" if request is None else request.SerializeToString(),
            metadata,
            now() + min(seconds, FOREVER),
            seconds,
            idempotent,
            watch=watch,
        )

    def _check_open(self) -> None:
        if self._closed or (self._owner is not None and self._owner._closed):
            raise CallClosed(f"{self!r}")


def _result(item: Item, reply: type[ReplyT]) -> MemberResult[ReplyT]:
    if item.payload is None:
        return MemberResult(item.member, None, item.error)
    try:
        message = decoded(reply, item.payload, item.member)
    except MalformedResult as error:
        return MemberResult(item.member, None, error)
    return MemberResult(item.member, message, None, item.metadata)
