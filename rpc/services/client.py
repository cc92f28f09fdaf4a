"""The client of a service: what generated clients derive from."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Generic, Self, TypedDict, TypeVar, cast

from google.protobuf.message import DecodeError, Message

from grid.aio import Opening
from grid.client.arguments import check_metadata
from grid.deadline import FOREVER, check_timeout, now
from grid.errors import InvalidArgument
from rpc.buses.bus import Bus, DirectBus, Overflow, Subscription
from rpc.services.bus_of import BusLike, bus_of, owns_bus
from rpc.services.calls import Calls, Item, Outgoing
from rpc.services.client_calls import (
    ClientCall,
    ClientInterceptor,
    checked_interceptors,
    intercepted,
)
from rpc.services.direct_client import DirectCalls
from rpc.services.errors import CallClosed, MalformedResult, ServiceError, SubscriptionLost
from rpc.services.psrpc.client import PsrpcCalls
from rpc.services.psrpc.ids import new_id
from rpc.services.selection import DEFAULT, SelectionOptions
from rpc.services.specification import MethodSpec, Routing, ServiceSpec
from rpc.services.streams import ServiceStream

__all__ = ["ClientOptions", "MemberResult", "MultiCall", "ServiceClient", "Updates"]

RequestT = TypeVar("RequestT", bound=Message)
ReplyT = TypeVar("ReplyT", bound=Message)


@dataclass(frozen=True, slots=True)
class MemberResult(Generic[ReplyT]):
    """The outcome of one server of a MULTI call.

    Attributes:
        member: the server's id.
        reply: its answer, None if it failed.
        error: its error, None if it answered.
    """

    member: str
    reply: ReplyT | None
    error: ServiceError | None

    def result(self) -> ReplyT:
        """The answer; raises the error if there is one."""
        if self.error is not None:
            raise self.error
        assert self.reply is not None  # noqa: S101 - one of the two is there
        return self.reply


class MultiCall(Generic[ReplyT]):
    """A call to all servers: iterate over the outcomes as they come, or await them all.

        async for outcome in client.load(LoadRequest()): ...
        outcomes = await client.load(LoadRequest())

    It is sent when the iteration begins. It ends when all servers have answered or left, at
    the latest at the deadline; a server without an answer is an outcome with an error.
    """

    def __init__(self, outcomes: AsyncIterator[Item], reply: type[ReplyT]) -> None:
        self._outcomes = outcomes
        self._reply = reply

    async def __aiter__(self) -> AsyncGenerator[MemberResult[ReplyT], None]:
        outcomes = cast("AsyncGenerator[Item, None]", self._outcomes)
        try:
            async for item in outcomes:
                yield self._result(item)
        finally:
            await outcomes.aclose()

    def __await__(self) -> Generator[Any, None, list[MemberResult[ReplyT]]]:
        async def all_of_them() -> list[MemberResult[ReplyT]]:
            return [outcome async for outcome in self]

        return all_of_them().__await__()

    def _result(self, item: Item) -> MemberResult[ReplyT]:
        if item.payload is None:
            return MemberResult(item.member, None, item.error)
        try:
            return MemberResult(item.member, _decoded(self._reply, item.payload, item.member), None)
        except MalformedResult as error:
            return MemberResult(item.member, None, error)


class Updates(Generic[ReplyT]):
    """The messages of a subscription: iterate over them; close it, or use `async with`."""

    def __init__(self, subscription: Subscription, message: type[ReplyT]) -> None:
        self._subscription = subscription
        self._message = message

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> ReplyT:
        """The next message.

        Raises:
            SubscriptionLost: this was not read fast enough, and messages were lost.
            MalformedResult: a message is not of the method's type; the next one may be.
        """
        try:
            data = await anext(self._subscription)
        except Overflow as error:
            raise SubscriptionLost(str(error)) from error
        return _decoded(self._message, data, "the publisher")

    async def receive(self) -> ReplyT | None:
        """The next message; None once it is closed."""
        return await anext(self, None)

    async def close(self) -> None:
        """End the subscription. Idempotent."""
        await self._subscription.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()


class ClientOptions(TypedDict, total=False):
    """Options of clients; see `ServiceClient`."""

    timeout: float
    selection: SelectionOptions
    client_id: str | None
    interceptors: Iterable[ClientInterceptor]


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
    ) -> None:
        self._spec = spec
        self._timeout = check_timeout(timeout)
        self._selection = selection
        self.id = client_id or new_id("CLI_")
        self._bus: Bus = bus_of(bus)
        self._owns_bus = owns_bus(bus)
        self._calls: Calls = (
            DirectCalls(cast("DirectBus", self._bus), spec.name, self.id)
            if self._bus.capabilities.direct
            else PsrpcCalls(self._bus, spec, self.id)
        )
        self._interceptors = checked_interceptors(interceptors)
        self._closed = False

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id}{' closed' if self._closed else ''}>"

    async def close(self) -> None:
        """End what is under way. Idempotent."""
        if not self._closed:
            self._closed = True
            await self._calls.close()
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
        payload = await self._calls.call(
            self._outgoing(method, topic, request, timeout, metadata, idempotent)
        )
        return _decoded(method.reply, payload, "the server")

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
        payload = await self._calls.call_best(
            self._outgoing(method, topic, request, timeout, metadata), selection or self._selection
        )
        return _decoded(method.reply, payload, "the server")

    async def _proceed(self, call: ClientCall) -> Message:
        """The end of the chain of interceptors: send the call."""
        method = call.spec
        outgoing = self._outgoing(
            method, call.topic, call.request, call.timeout, call.metadata, call.idempotent
        )
        if method.routing is Routing.AFFINITY:
            chosen = call.selection or self._selection
            payload = await self._calls.call_best(outgoing, chosen)
        else:
            payload = await self._calls.call(outgoing)
        reply: Message = _decoded(method.reply, payload, "the server")
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
        call = self._outgoing(method, topic, request, timeout, metadata)
        return MultiCall(self._calls.call_all(call), method.reply)

    def _open(
        self,
        method: MethodSpec[RequestT, ReplyT],
        topic: tuple[str, ...],
        timeout: float | None,
        metadata: Mapping[str, str] | None,
        selection: SelectionOptions | None = None,
    ) -> Opening[ServiceStream[RequestT, ReplyT]]:
        async def opening() -> ServiceStream[RequestT, ReplyT]:
            call = self._outgoing(method, topic, None, timeout, metadata)
            best = method.routing is Routing.AFFINITY
            pipe, member = await self._calls.open(
                call, (selection or self._selection) if best else None
            )
            return ServiceStream(pipe, method.request, method.reply, member)

        return Opening(opening)

    def _subscribe(
        self, method: MethodSpec[RequestT, ReplyT], topic: tuple[str, ...], size: int
    ) -> Opening[Updates[ReplyT]]:
        async def opening() -> Updates[ReplyT]:
            self._check_open()
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
        self._check_open()
        if request is not None and not isinstance(request, method.request):
            raise InvalidArgument(
                f"the request of {method.name}", request, f"a {method.request.__name__}"
            )
        if metadata:
            check_metadata(metadata)
        seconds = self._timeout if timeout is None else check_timeout(timeout)
        return Outgoing(
            self._spec.full_names[method.name],
            method.name,
            topic,
            b"" if request is None else request.SerializeToString(),
            metadata,
            now() + min(seconds, FOREVER),
            seconds,
            idempotent,
        )

    def _check_open(self) -> None:
        if self._closed:
            raise CallClosed(f"{self!r}")


def _decoded(reply: type[ReplyT], payload: bytes, member: str) -> ReplyT:
    try:
        return reply.FromString(payload)
    except DecodeError:
        name = reply.DESCRIPTOR.full_name
        raise MalformedResult(f"the answer of {member} is not an encoding of {name}") from None
