"""Calls by the psrpc protocol: a request, bids of servers, a grant, an answer."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from typing import Any

from google.protobuf.message import Message

from grid.deadline import now
from grid.errors import GridError
from rpc.buses.bus import Bus, BusClosed, Channel, Subscription
from rpc.psrpc_pb2 import (
    ClaimRequest,
    ClaimResponse,
    Request,
    Response,
    Stream,
    StreamOpen,
)
from rpc.services.calls import Item, Outgoing
from rpc.services.errors import (
    AllDeclined,
    CallClosed,
    CallTimedOut,
    NoServers,
    ServiceError,
    error_of,
)
from rpc.services.psrpc import channels
from rpc.services.psrpc.frames import decode, decode_update, encode
from rpc.services.psrpc.ids import nanoseconds, new_id
from rpc.services.psrpc.pipe import PsrpcPipe
from rpc.services.selection import Bid, Selection, SelectionOptions
from rpc.services.specification import MethodSpec, Routing, ServiceSpec
from rpc.services.streams import Pipe

__all__ = ["PsrpcCalls"]

_FIRST = SelectionOptions(accept_first=True, affinity_timeout=1.0)

_Event = ClaimRequest | Response | Stream


class PsrpcCalls:
    """Calls of one service over a bus without a directory; see `Calls`.

    Args:
        bus: the bus.
        spec: the service.
        client: the id of the caller.
    """

    def __init__(self, bus: Bus, spec: ServiceSpec, client: str) -> None:
        self._bus = bus
        self._spec = spec
        self._service = spec.go_name
        self._client = client
        self._pending: dict[str, _Pending] = {}
        self._pipes: dict[str, PsrpcPipe] = {}
        self._starting: asyncio.Task[None] | None = None
        self._subscriptions: list[Subscription] = []
        self._readers: list[asyncio.Task[None]] = []

    async def close(self) -> None:
        """End what is under way with `CallClosed`."""
        if self._starting is not None:
            self._starting.cancel()
            await asyncio.wait([self._starting])
        for subscription in self._subscriptions:
            await subscription.close()
        for reader in self._readers:
            reader.cancel()
        await asyncio.gather(*self._readers, return_exceptions=True)
        for pending in self._pending.values():
            pending.put(CallClosed("the client was closed"))
        for pipe in tuple(self._pipes.values()):
            await pipe.close(None)

    # -- one server --------------------------------------------------------------

    async def call(self, call: Outgoing) -> bytes:
        """See `Calls.call`."""
        method = self._spec.by_name[call.method]
        return await self._call(call, method, _FIRST)

    async def call_best(self, call: Outgoing, options: SelectionOptions) -> bytes:
        """See `Calls.call_best`."""
        return await self._call(call, self._spec.by_name[call.method], options)

    async def _call(
        self, call: Outgoing, method: MethodSpec[Any, Any], options: SelectionOptions
    ) -> bytes:
        await self._start(call)
        queue = method.routing is Routing.QUEUE
        pending = self._open(new_id("REQ_"))
        try:
            await self._send_request(call, method, pending.id, skip_claim=queue)
            member = ""
            if not method.single_server:
                chosen = await self._select(pending, call, options, queue=queue)
                if isinstance(chosen, Response):
                    return _payload(chosen)
                member = chosen.server_id
                if not chosen.handling:
                    await self._grant(call, method, pending.id, member)
            while True:
                event = await pending.next(call.at)
                if event is None:
                    raise _overdue(call, member)
                if isinstance(event, Response):
                    return _payload(event)
        finally:
            del self._pending[pending.id]

    async def _select(
        self, pending: _Pending, call: Outgoing, options: SelectionOptions, *, queue: bool
    ) -> ClaimRequest | Response:
        selection = Selection(options, now(), call.at)
        claims: dict[str, ClaimRequest] = {}
        early: Response | None = None
        chosen: str | None = None
        while chosen is None:
            event = await pending.next(selection.stop_at)
            if event is None:
                break
            if isinstance(event, Response):
                if queue or not event.code:
                    return event
                early = early or event
            elif isinstance(event, ClaimRequest):
                if event.handling:
                    return event
                claims[event.server_id] = event
                chosen = selection.bid(Bid(event.server_id, event.affinity), now())
        chosen = chosen or selection.finish()
        if chosen in claims and chosen is not None:
            return claims[chosen]
        if early is not None:
            return early
        if selection.bids:
            raise AllDeclined(
                f"{call.what}: {selection.bids} servers answered, and none can take the request",
                members=claims,
            )
        topic = f" of topic {call.topic}" if call.topic else ""
        raise NoServers(f"{call.what}: no response from servers{topic}")

    async def _send_request(
        self, call: Outgoing, method: MethodSpec[Any, Any], id_: str, *, skip_claim: bool = False
    ) -> None:
        sent = nanoseconds()
        request = Request(
            request_id=id_,
            client_id=self._client,
            sent_at=sent,
            expiry=sent + _nanoseconds_left(call),
            multi=method.routing is Routing.MULTI,
            metadata=call.metadata or {},
            raw_request=call.payload,
            skip_claim=skip_claim,
        )
        queue = method.routing is Routing.QUEUE
        to = channels.requests(self._service, method.go_name, call.topic, queue=queue)
        await self._publish(to, request)

    async def _grant(
        self, call: Outgoing, method: MethodSpec[Any, Any], id_: str, server: str
    ) -> None:
        to = channels.grants(self._service, method.go_name, call.topic)
        await self._publish(to, ClaimResponse(request_id=id_, server_id=server))

    # -- all servers -----------------------------------------------------------------

    async def call_all(self, call: Outgoing) -> AsyncIterator[Item]:
        """See `Calls.call_all`. The servers are not known, so it ends at the deadline."""
        await self._start(call)
        pending = self._open(new_id("REQ_"))
        try:
            await self._send_request(call, self._spec.by_name[call.method], pending.id)
            while (event := await pending.next(call.at)) is not None:
                if isinstance(event, Response):
                    yield _item(event)
        finally:
            del self._pending[pending.id]

    # -- streams -----------------------------------------------------------------------

    async def open(self, call: Outgoing, options: SelectionOptions | None) -> tuple[Pipe, str]:
        """See `Calls.open`."""
        await self._start(call)
        method = self._spec.by_name[call.method]
        stream_id = new_id("STR_")
        pending = self._open(new_id("REQ_"))
        to = channels.server_stream(self._service, method.go_name, call.topic)

        async def publish(frame: Stream) -> None:
            await self._publish(to, frame)

        pipe = PsrpcPipe(
            stream_id,
            publish,
            call.timeout,
            lambda: self._pipes.pop(stream_id, None),
        )
        self._pipes[stream_id] = pipe
        try:
            sent = nanoseconds()
            await publish(
                Stream(
                    stream_id=stream_id,
                    request_id=pending.id,
                    sent_at=sent,
                    expiry=sent + _nanoseconds_left(call),
                    open=StreamOpen(node_id=self._client, metadata=call.metadata or {}),
                )
            )
            member = ""
            if not method.single_server:
                chosen = await self._select(pending, call, options or _FIRST, queue=False)
                if isinstance(chosen, Response):
                    _payload(chosen)
                    raise NoServers(f"{call.what}: an answer in the place of a bid")
                member = chosen.server_id
                await self._grant(call, method, pending.id, member)
            while True:
                event = await pending.next(call.at)
                if event is None:
                    raise _overdue(call, member)
                if isinstance(event, Stream):
                    return pipe, member
        except BaseException:
            await pipe.close(None)
            raise
        finally:
            del self._pending[pending.id]

    # -- subscriptions -------------------------------------------------------------------

    async def subscribe(
        self, method: MethodSpec[Any, Any], topic: tuple[str, ...], size: int
    ) -> Subscription:
        """See `Calls.subscribe`."""
        queue = method.routing is not Routing.MULTI
        channel = channels.requests(self._service, method.go_name, topic, queue=queue)
        inner = await self._bus.subscribe(channel, queue=queue, size=size)
        return _UpdateFrames(inner, method.reply.DESCRIPTOR.full_name)

    # -- inside --------------------------------------------------------------------------

    def _open(self, id_: str) -> _Pending:
        pending = self._pending[id_] = _Pending(id_)
        return pending

    async def _publish(self, channel: Channel, message: Message) -> None:
        try:
            await self._bus.publish(channel, encode(message, channel.route))
        except BusClosed as error:
            raise CallClosed(str(error)) from error

    async def _start(self, call: Outgoing) -> None:
        if self._starting is None or (self._starting.done() and _failed(self._starting)):
            self._starting = asyncio.create_task(self._subscribe_all(), name="service client")
        try:
            async with asyncio.timeout(max(0.0, call.at - now())):
                await asyncio.shield(self._starting)
        except TimeoutError as error:
            if isinstance(error, GridError):
                raise
            raise CallTimedOut(
                f"{call.what}: the bus did not answer in time; nothing was sent"
            ) from None

    async def _subscribe_all(self) -> None:
        made = []
        try:
            for channel_of in (channels.replies, channels.bids, channels.client_stream):
                channel = channel_of(self._service, self._client)
                made.append(await self._bus.subscribe(channel, size=100_000))
        except BaseException:
            for subscription in made:
                await subscription.close()
            raise
        self._subscriptions += made
        for subscription in made:
            self._readers.append(asyncio.create_task(self._read(subscription), name="replies"))

    async def _read(self, subscription: Subscription) -> None:
        async for frame in subscription:
            message = decode(frame)
            if isinstance(message, Stream):
                pipe = self._pipes.get(message.stream_id)
                if pipe is not None:
                    pipe.take(message)
            if isinstance(message, ClaimRequest | Response | Stream):
                pending = self._pending.get(message.request_id)
                if pending is not None:
                    pending.put(message)


class _Pending:
    """A request that is under way, and the events that have come for it."""

    def __init__(self, id_: str) -> None:
        self.id = id_
        self._events: deque[_Event | ServiceError] = deque()
        self._arrived: asyncio.Future[None] | None = None

    def put(self, event: _Event | ServiceError) -> None:
        """Take what has come."""
        self._events.append(event)
        if self._arrived is not None and not self._arrived.done():
            self._arrived.set_result(None)

    async def next(self, until: float) -> _Event | None:
        """The next event; None when the time is over."""
        while not self._events:
            self._arrived = asyncio.get_running_loop().create_future()
            try:
                async with asyncio.timeout(max(0.0, min(until - now(), 1e9))):
                    await self._arrived
            except TimeoutError:
                if not self._events:
                    return None
        event = self._events.popleft()
        if isinstance(event, ServiceError):
            raise event
        return event


class _UpdateFrames:
    """The messages in the frames of a subscription; others are skipped."""

    def __init__(self, inner: Subscription, full_name: str) -> None:
        self._inner = inner
        self._full_name = full_name

    def __aiter__(self) -> _UpdateFrames:
        return self

    async def __anext__(self) -> bytes:
        while True:
            data = decode_update(await anext(self._inner), self._full_name)
            if data is not None:
                return data

    async def close(self) -> None:
        """See `Subscription`."""
        await self._inner.close()


def _payload(response: Response) -> bytes:
    if response.code or response.error:
        raise error_of(
            response.code,
            response.error,
            response.error_details,
            members=(response.server_id,),
        )
    payload: bytes = response.raw_response or response.response.value
    return payload


def _item(response: Response) -> Item:
    try:
        return Item(response.server_id, _payload(response), None)
    except ServiceError as error:
        return Item(response.server_id, None, error)


def _overdue(call: Outgoing, member: str) -> CallTimedOut:
    asked = f" of {member}" if member else ""
    return CallTimedOut(
        f"{call.what}: no answer{asked} within {round(call.timeout, 3):g} s",
        members=(member,) if member else (),
    )


def _nanoseconds_left(call: Outgoing) -> int:
    return max(1, int(min(call.at - now(), 3e8) * 1e9))


def _failed(task: asyncio.Task[None]) -> bool:
    return task.cancelled() or task.exception() is not None
