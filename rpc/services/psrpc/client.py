"""Calls by the psrpc protocol: a request, bids of servers, a grant, an answer."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from typing import Any

from google.protobuf.message import Message

from grid import trace_context
from grid.deadline import now
from grid.errors import GridError, InvalidArgument
from rpc.buses.bus import Bus, BusClosed, Channel, Overflow, Subscription
from rpc.buses.openings import Openings
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
from rpc.services.observers import EventKind, tell_bids
from rpc.services.psrpc import channels
from rpc.services.psrpc.frames import decode, encode
from rpc.services.psrpc.ids import nanoseconds, new_id
from rpc.services.psrpc.pending import Pending
from rpc.services.psrpc.pipe import PsrpcPipe
from rpc.services.psrpc.subscribing import UpdateFrames, subscribed_again
from rpc.services.selection import Bid, Selection, SelectionOptions
from rpc.services.specification import MethodSpec, Routing, ServiceSpec
from rpc.services.streams import Pipe

__all__ = ["PsrpcCalls"]

_log = logging.getLogger("rpc.services")

_HELD = 100_000  # frames of answers that are not read yet
_FIRST = SelectionOptions(accept_first=True, affinity_timeout=1.0)


class PsrpcCalls:
    """Calls of one service over a bus without a directory; see `Calls`.

    Args:
        bus: the bus.
        spec: the service.
        client: the id of the caller.
    """

    def __init__(self, bus: Bus, spec: ServiceSpec, client: str) -> None:
        trace_context.look_for_opentelemetry()
        self._bus = bus
        self._spec = spec
        self._service = spec.go_name
        self._client = client
        self._pending: dict[str, Pending] = {}
        self._pipes: dict[str, PsrpcPipe] = {}
        self._started: Openings[str, None] = Openings("service client")
        self._subscriptions: dict[Channel, Subscription] = {}
        self._readers: list[asyncio.Task[None]] = []

    async def close(self) -> None:
        """End what is under way with `CallClosed`."""
        await self._started.close()
        for reader in self._readers:
            reader.cancel()
        await asyncio.gather(*self._readers, return_exceptions=True)
        for subscription in self._subscriptions.values():
            await subscription.close()
        for pending in self._pending.values():
            pending.put(CallClosed("the client was closed"))
        await asyncio.gather(*(pipe.close(None) for pipe in tuple(self._pipes.values())))

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
            if call.watch is not None:
                call.watch.tell(EventKind.SENT)  # which server takes it is not known yet
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
        self, pending: Pending, call: Outgoing, options: SelectionOptions, *, queue: bool
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
        if call.watch is not None:
            scores = {member: claim.affinity for member, claim in claims.items()}
            tell_bids(call.watch, scores, chosen)
        if chosen is not None:
            return _claim_of(chosen, claims)
        if early is not None:
            return early
        raise _none_chosen(call, selection, claims)

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
            metadata=_metadata(call),
            raw_request=call.payload,
            skip_claim=skip_claim,
        )
        queue = method.routing is Routing.QUEUE
        to = channels.requests(self._service, method.go_name, call.topic, queue=queue)
        await self._publish(to, request, call)

    async def _grant(
        self, call: Outgoing, method: MethodSpec[Any, Any], id_: str, server: str
    ) -> None:
        to = channels.grants(self._service, method.go_name, call.topic)
        await self._publish(to, ClaimResponse(request_id=id_, server_id=server), call)

    # -- all servers -----------------------------------------------------------------

    async def call_all(self, call: Outgoing) -> AsyncIterator[Item]:
        """See `Calls.call_all`. The servers are not known, so it ends at the deadline."""
        await self._start(call)
        pending = self._open(new_id("REQ_"))
        try:
            await self._send_request(call, self._spec.by_name[call.method], pending.id)
            if call.watch is not None:
                call.watch.tell(EventKind.SENT)
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
        told = False
        try:
            sent = nanoseconds()
            opening = Stream(
                stream_id=stream_id,
                request_id=pending.id,
                sent_at=sent,
                expiry=sent + _nanoseconds_left(call),
                open=StreamOpen(node_id=self._client, metadata=_metadata(call)),
            )
            await self._publish(to, opening, call)
            told = True
            if call.watch is not None:
                call.watch.tell(EventKind.SENT)
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
            if told:
                await pipe.close(None)
            else:  # no server has it
                del self._pipes[stream_id]
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
        return UpdateFrames(inner, method.reply.DESCRIPTOR.full_name)

    # -- inside --------------------------------------------------------------------------

    def _open(self, id_: str) -> Pending:
        pending = self._pending[id_] = Pending(id_)
        return pending

    async def _publish(
        self, channel: Channel, message: Message, call: Outgoing | None = None
    ) -> None:
        # A broker that hangs takes nothing, for as long as its client lets it.
        limit = asyncio.timeout(None if call is None else max(0.0, call.at - now()))
        try:
            async with limit:
                await self._bus.publish(channel, encode(message, channel.route))
        except BusClosed as error:
            raise CallClosed(str(error)) from error
        except TimeoutError as error:
            if call is None or isinstance(error, GridError):
                raise
            raise CallTimedOut(
                f"{call.what}: the bus did not take it within {round(call.timeout, 3):g} s"
            ) from None

    async def _start(self, call: Outgoing) -> None:
        try:
            async with asyncio.timeout(max(0.0, call.at - now())):
                await self._started.get("replies", self._subscribe_all)
        except BusClosed as error:
            raise CallClosed(str(error)) from error
        except TimeoutError as error:
            if isinstance(error, GridError):
                raise
            raise CallTimedOut(
                f"{call.what}: the bus did not answer in time; nothing was sent"
            ) from None

    async def _subscribe_all(self) -> None:
        made: dict[Channel, Subscription] = {}
        try:
            for channel_of in (channels.replies, channels.bids, channels.client_stream):
                channel = channel_of(self._service, self._client)
                made[channel] = await self._bus.subscribe(channel, size=_HELD)
        except BaseException:
            for subscription in made.values():
                await subscription.close()
            raise
        self._subscriptions = made
        for channel in made:
            self._readers.append(asyncio.create_task(self._read(channel), name="replies"))

    async def _read(self, channel: Channel) -> None:
        while True:
            subscription = self._subscriptions[channel]
            try:
                async for frame in subscription:
                    self._take(decode(frame))
                return
            except Overflow as error:
                _log.warning("answers were lost, their calls will time out: %s", error)
            again = await subscribed_again(self._bus, channel, size=_HELD)
            if again is None:
                return
            self._subscriptions[channel] = again
            await subscription.close()

    def _take(self, message: Message | None) -> None:
        if isinstance(message, Stream):
            pipe = self._pipes.get(message.stream_id)
            if pipe is not None:
                pipe.take(message)
        if isinstance(message, ClaimRequest | Response | Stream):
            pending = self._pending.get(message.request_id)
            if pending is not None:
                pending.put(message)


def _claim_of(chosen: str, claims: Mapping[str, ClaimRequest]) -> ClaimRequest:
    if chosen not in claims:
        raise InvalidArgument("what `choose` returned", chosen, "the member of a bid")
    return claims[chosen]


def _none_chosen(
    call: Outgoing, selection: Selection, claims: Mapping[str, ClaimRequest]
) -> ServiceError:
    if selection.bids:
        return AllDeclined(
            f"{call.what}: {selection.bids} servers answered, and none can take the request",
            members=claims,
        )
    topic = f" of topic {call.topic}" if call.topic else ""
    return NoServers(f"{call.what}: no response from servers{topic}")


def _metadata(call: Outgoing) -> Mapping[str, str]:
    given = trace_context.onward(call.metadata) if trace_context.active else call.metadata
    return given or {}


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
