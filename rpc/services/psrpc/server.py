"""Serving by the psrpc protocol: bid for a request, wait for the grant, answer."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Coroutine, Mapping
from typing import Any

from google.protobuf.message import Message

from grid import trace_context
from grid.aio import being_cancelled
from grid.deadline import Deadline
from grid.errors import GridError, MessageTooLarge
from rpc.buses.bus import Bus, Channel, Overflow, Subscription
from rpc.psrpc_pb2 import ClaimRequest, ClaimResponse, Request, Response, Stream
from rpc.services.codes import ErrorCode
from rpc.services.context import CallContext
from rpc.services.error_log import ErrorLog
from rpc.services.errors import AlreadyServed, NotRegistered, ServiceError
from rpc.services.handlers import ServedMethod
from rpc.services.observers import CallWatch, EventKind, Observers
from rpc.services.psrpc import channels
from rpc.services.psrpc.frames import decode, encode, encode_update
from rpc.services.psrpc.ids import nanoseconds
from rpc.services.psrpc.stream_serving import ServedStreams
from rpc.services.psrpc.subscribing import subscribed_again
from rpc.services.serving import Registration
from rpc.services.specification import MethodSpec, Routing, ServiceSpec

__all__ = ["PsrpcServing"]

_log = logging.getLogger("rpc.services")

_CHOOSING = 0.5  # seconds in which the clients of bids that are open may still choose this server
_DEREGISTERED = 10.0  # seconds that requests of a deregistered topic may still run


class PsrpcServing:
    """The subscriptions of one server; see `Serving`."""

    def __init__(
        self,
        spec: ServiceSpec,
        methods: Mapping[str, ServedMethod],
        bus: Bus,
        id: str,  # noqa: A002
        *,
        concurrency: int,
        size: int,
        observers: Observers | None = None,
        shards: bool = False,
    ) -> None:
        self._spec = spec
        self._methods = methods
        self._bus = bus
        self._id = id
        self._concurrency = concurrency
        self._size = size
        self._served: dict[Registration, list[_Served]] = {}
        self.observers = observers
        self.failed = ErrorLog().answer
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """See `Serving.start`."""
        plain = (one.spec.name for one in self._methods.values() if not one.spec.topics)
        await self.register(Registration((), tuple(plain)))

    async def stop(self, timeout: float) -> None:
        """See `Serving.stop`."""
        served, self._served = tuple(self._served.values()), {}
        try:
            await asyncio.gather(*(one.drain(timeout) for group in served for one in group))
        finally:
            for task in tuple(self._tasks):
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def register(self, registration: Registration) -> None:
        """See `Serving.register`. On a broker `single_server` is the user's promise."""
        for other in self._served:
            double = set(other.methods) & set(registration.methods)
            if other.topic == registration.topic and double:
                raise AlreadyServed(
                    f"{', '.join(sorted(double))} of topic {registration.topic} is registered "
                    "here already"
                )
        group: list[_Served] = []
        self._served[registration] = group
        try:
            for name in registration.methods:
                one = _Served(self, self._methods[name], registration.topic)
                group.append(one)
                await one.start()
        except BaseException:
            self._served.pop(registration, None)
            for one in group:
                await one.drain(0.0)
            raise

    async def deregister(self, registration: Registration) -> None:
        """See `Serving.deregister`."""
        group = self._served.pop(registration, None)
        if group is None:
            raise NotRegistered(
                f"{', '.join(registration.methods)} is not registered for {registration.topic}"
            )
        for one in group:
            await one.leave()
            self.keep(one.drain(_DEREGISTERED))

    async def publish(
        self, method: MethodSpec[Any, Any], topic: tuple[str, ...], message: Message
    ) -> int | None:
        """See `Serving.publish`."""
        queue = method.routing is not Routing.MULTI
        to = channels.requests(self._spec.go_name, method.go_name, topic, queue=queue)
        return await self._bus.publish(to, encode_update(message, to.route))

    def keep(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """A task that ends with the server at the latest."""
        task = asyncio.create_task(work, name=f"service {self._id}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


class _Served:
    """One method for one topic."""

    def __init__(self, serving: PsrpcServing, served: ServedMethod, topic: tuple[str, ...]) -> None:
        self._serving = serving
        self._method = served
        self._topic = topic
        self._service = serving._spec.go_name
        self._grants: dict[str, asyncio.Future[str]] = {}
        self._subscriptions: list[Subscription] = []
        self._readers: list[asyncio.Task[None]] = []
        self._running: set[asyncio.Task[None]] = set()
        self._streams = ServedStreams(served, serving.failed)
        spec = served.spec
        self._queue = spec.routing is Routing.QUEUE and not spec.stream
        self._claims = spec.routing is not Routing.MULTI and not spec.single_server

    async def start(self) -> None:
        """Subscribe."""
        spec, topic = self._method.spec, self._topic
        if self._claims:
            await self._subscribe(channels.grants(self._service, spec.go_name, topic), False)
        if spec.stream:
            await self._subscribe(channels.server_stream(self._service, spec.go_name, topic), False)
        else:
            channel = channels.requests(self._service, spec.go_name, topic, queue=self._queue)
            await self._subscribe(channel, self._queue)

    async def leave(self) -> None:
        """Take nothing new; grants still come, for what has bid."""
        for subscription in self._subscriptions[-1:]:
            await subscription.close()

    async def drain(self, timeout: float) -> None:
        """Take nothing new, and wait for what runs; if this is cancelled, cancel that."""
        try:
            await self.leave()
            await self._streams.close()
            if self._grants:  # clients choose soon, or have chosen others
                await asyncio.wait(tuple(self._grants.values()), timeout=min(timeout, _CHOOSING))
            for granted in self._grants.values():
                if not granted.done():
                    granted.set_result("")
            if self._running:
                await asyncio.wait(tuple(self._running), timeout=timeout)
        finally:
            tasks = (*self._running, *self._readers)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for subscription in self._subscriptions:
                await subscription.close()

    # -- frames ------------------------------------------------------------------

    async def _subscribe(self, channel: Channel, queue: bool) -> None:
        size = self._serving._size
        subscription = await self._serving._bus.subscribe(channel, queue=queue, size=size)
        self._subscriptions.append(subscription)
        self._readers.append(
            asyncio.create_task(self._read(channel, queue, subscription), name=channel.name)
        )

    async def _read(self, channel: Channel, queue: bool, subscription: Subscription) -> None:
        while True:
            try:
                async for frame in subscription:
                    self._take(decode(frame))
                return
            except Overflow as error:
                _log.warning("requests were lost: %s", error)
            size = self._serving._size
            again = await subscribed_again(self._serving._bus, channel, queue=queue, size=size)
            if again is None:
                return
            self._subscriptions[self._subscriptions.index(subscription)] = again
            await subscription.close()
            subscription = again

    def _take(self, message: Message | None) -> None:
        if isinstance(message, ClaimResponse):
            granted = self._grants.get(message.request_id)
            if granted is not None and not granted.done():
                granted.set_result(message.server_id)
        elif isinstance(message, Request):
            self._run(self._serve(message))
        elif isinstance(message, Stream):
            if message.HasField("open"):
                self._run(self._open(message))
            else:
                self._streams.take(message)

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        if len(self._running) >= self._serving._concurrency:
            work.close()  # another server bids, or the caller gets no answer
            return
        task = asyncio.create_task(work, name=f"{self._service}.{self._method.spec.name}")
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    # -- requests ----------------------------------------------------------------

    async def _serve(self, request: Request) -> None:
        trace_context.hand_out(request.metadata)
        left = _seconds_left(request.sent_at, request.expiry)
        context = self._context(request.client_id, request.metadata, left)
        watch = self._watch(context)
        payload = request.raw_request or request.request.value
        limit = asyncio.timeout(left)
        reply: bytes | ServiceError | None
        try:
            async with limit:
                reply = await self._answer(request, payload, context, watch)
        except (Exception, asyncio.CancelledError, SystemExit, KeyboardInterrupt) as error:
            if isinstance(error, asyncio.CancelledError) and being_cancelled():
                raise
            if limit.expired() and isinstance(error, TimeoutError):
                if watch is not None:
                    watch.tell(EventKind.EXPIRED, self._serving._id)
                return  # its caller has its own time-out by now
            reply = self._serving.failed(context, error)
        if reply is not None:
            if watch is not None:
                failed = reply if isinstance(reply, ServiceError) else None
                watch.tell(EventKind.ENDED, self._serving._id, error=failed)
            await self._reply(context, request.request_id, reply)

    def _watch(self, context: CallContext) -> CallWatch | None:
        observers = self._serving.observers
        if observers is None:
            return None
        about = context.service, context.method, self._topic, context.client
        return CallWatch(observers, "server", *about)

    async def _answer(
        self, request: Request, payload: bytes, context: CallContext, watch: CallWatch | None
    ) -> bytes | None:
        self._method.decode(payload)  # a malformed request is refused before the bid
        if self._claims:
            score = await self._method.score(payload, context)
            if not score > 0:
                return None
            skip = request.skip_claim and self._queue
            if not await self._bid(request.request_id, request.client_id, score, watch, skip):
                return None
        if watch is not None:
            watch.tell(EventKind.RECEIVED, self._serving._id)
        return await self._method.answer(payload, context)

    async def _bid(
        self, request: str, client: str, score: float, watch: CallWatch | None, handling: bool
    ) -> bool:
        """Bid, and wait for the grant until the task is cancelled; True if it is ours."""
        if request in self._grants:
            return False  # a repetition of one that has bid
        granted = asyncio.get_running_loop().create_future()
        self._grants[request] = granted
        kind = EventKind.ABANDONED
        if watch is not None:
            watch.tell(EventKind.BID, self._serving._id, score=score)
        try:
            bid = ClaimRequest(
                request_id=request,
                server_id=self._serving._id,
                affinity=score,
                handling=handling,
            )
            await self._send(channels.bids(self._service, client), bid)
            won = handling or await granted == self._serving._id
            kind = EventKind.GRANTED if won else EventKind.LOST
            return won
        finally:
            del self._grants[request]
            if watch is not None:
                watch.tell(kind, self._serving._id, score=score)

    async def _reply(self, context: CallContext, request: str, reply: bytes | ServiceError) -> None:
        to = channels.replies(self._service, context.client)
        try:
            await self._send(to, self._response(request, reply))
        except MessageTooLarge as error:
            refused = ServiceError(ErrorCode.RESOURCE_EXHAUSTED, str(error))
            refused.__cause__ = error
            self._serving.failed(context, error)  # the log has it; the code is that of all buses
            await self._send(to, self._response(request, refused))

    def _response(self, request: str, reply: bytes | ServiceError) -> Response:
        response = Response(request_id=request, server_id=self._serving._id, sent_at=nanoseconds())
        if isinstance(reply, ServiceError):
            response.error, response.code = reply.text, reply.code
            response.error_details.extend(reply.details)
        else:
            response.raw_response = reply
        return response

    # -- streams -----------------------------------------------------------------

    async def _open(self, frame: Stream) -> None:
        trace_context.hand_out(frame.open.metadata)
        client = frame.open.node_id
        left = _seconds_left(frame.sent_at, frame.expiry)
        context = self._context(client, frame.open.metadata, left)
        watch = self._watch(context)
        limit = asyncio.timeout(left)
        try:
            async with limit:
                if self._claims:
                    score = await self._method.score(b"", context)
                    if not score > 0 or not await self._bid(
                        frame.request_id, client, score, watch, handling=False
                    ):
                        return
        except (Exception, asyncio.CancelledError, SystemExit, KeyboardInterrupt) as error:
            if isinstance(error, asyncio.CancelledError) and being_cancelled():
                raise
            if limit.expired() and isinstance(error, TimeoutError):
                return  # its caller has its own time-out by now
            failed = self._serving.failed(context, error)
            await self._reply(context, frame.request_id, failed)
            return

        def publish(answer: Stream) -> Awaitable[None]:
            return self._send(channels.client_stream(self._service, client), answer)

        if watch is not None:
            watch.tell(EventKind.RECEIVED, self._serving._id)
        failure = await self._streams.serve(frame, context, publish, left)
        if watch is not None:
            watch.tell(EventKind.ENDED, self._serving._id, error=failure)

    async def _send(self, channel: Channel, message: Message) -> None:
        try:
            await self._serving._bus.publish(channel, encode(message, channel.route))
        except MessageTooLarge:
            raise
        except GridError as error:
            _log.warning("an answer was not sent: %s", error)

    def _context(self, client: str, metadata: Mapping[str, str], left: float) -> CallContext:
        serving = self._serving
        return CallContext(
            serving._spec,
            self._method.spec,
            self._topic,
            client,
            serving._id,
            dict(metadata),
            Deadline.after(left),
        )


def _seconds_left(sent: int, expiry: int) -> float:
    # The clocks of two hosts differ, so the time that is left is the time that was given.
    return max(0.0, (expiry - sent) / 1e9)
