"""Serving by the psrpc protocol: bid for a request, wait for the grant, answer."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Coroutine, Mapping
from typing import Any

from google.protobuf.message import Message

from grid.aio import being_cancelled
from grid.deadline import Deadline, now
from grid.errors import GridError
from rpc.buses.bus import Bus, Channel, Overflow, Subscription
from rpc.psrpc_pb2 import ClaimRequest, ClaimResponse, Request, Response, Stream
from rpc.services.context import CallContext
from rpc.services.errors import (
    AlreadyServed,
    MalformedRequest,
    NotRegistered,
    ServiceError,
    from_handler,
)
from rpc.services.handlers import ServedMethod
from rpc.services.psrpc import channels
from rpc.services.psrpc.frames import decode, encode, encode_update
from rpc.services.psrpc.ids import nanoseconds
from rpc.services.psrpc.stream_serving import ServedStreams
from rpc.services.serving import Registration
from rpc.services.specification import MethodSpec, Routing, ServiceSpec

__all__ = ["PsrpcServing"]

_log = logging.getLogger("rpc.services")

_LOG_PAUSE = 1.0  # seconds between errors of one server that are logged with their traceback
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
    ) -> None:
        self._spec = spec
        self._methods = methods
        self._bus = bus
        self._id = id
        self._concurrency = concurrency
        self._size = size
        self._served: dict[Registration, list[_Served]] = {}
        self._logged = -_LOG_PAUSE
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """See `Serving.start`."""
        plain = (one.spec.name for one in self._methods.values() if not one.spec.topics)
        await self.register(Registration((), tuple(plain)))

    async def stop(self, timeout: float) -> None:
        """See `Serving.stop`."""
        served, self._served = tuple(self._served.values()), {}
        await asyncio.gather(*(one.drain(timeout) for group in served for one in group))
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

    def failed(self, context: CallContext, error: BaseException) -> ServiceError:
        """The answer for a handler's error, which is logged unless it was meant as an answer."""
        known = from_handler(error)
        if known is not error and now() - self._logged >= _LOG_PAUSE:
            self._logged = now()  # callers shall not be able to fill the log
            _log.error("%s.%s failed", context.service, context.method, exc_info=error)
        return known


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
        """Take nothing new, and wait for what runs."""
        await self.leave()
        await self._streams.close()
        if self._grants:  # clients choose soon, or have chosen others
            await asyncio.wait(tuple(self._grants.values()), timeout=min(timeout, _CHOOSING))
        for granted in self._grants.values():
            if not granted.done():
                granted.set_result("")
        if self._running:
            await asyncio.wait(tuple(self._running), timeout=timeout)
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
            try:
                again = await self._serving._bus.subscribe(
                    channel, queue=queue, size=self._serving._size
                )
            except GridError as error:
                _log.error("%s is served no more: %s", channel.name, error)
                return
            self._subscriptions[self._subscriptions.index(subscription)] = again
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
        left = _seconds_left(request.sent_at, request.expiry)
        context = self._context(request.client_id, request.metadata, left)
        payload = request.raw_request or request.request.value
        try:
            reply: bytes | ServiceError | None = await self._answer(request, payload, context)
        except (Exception, asyncio.CancelledError, SystemExit, KeyboardInterrupt) as error:
            if isinstance(error, asyncio.CancelledError) and being_cancelled():
                raise
            reply = self._serving.failed(context, error)
        if reply is not None:
            await self._send(
                channels.replies(self._service, request.client_id),
                self._response(request.request_id, reply),
            )

    async def _answer(self, request: Request, payload: bytes, context: CallContext) -> bytes | None:
        self._method.decode(payload)  # a malformed request is refused before the bid
        if self._claims:
            score = await self._method.score(payload, context)
            if not score > 0:
                return None
            skip = request.skip_claim and self._queue
            if not await self._bid(request.request_id, request.client_id, score, context, skip):
                return None
        return await self._method.answer(payload, context)

    async def _bid(
        self, request: str, client: str, score: float, context: CallContext, handling: bool
    ) -> bool:
        granted = asyncio.get_running_loop().create_future()
        self._grants[request] = granted
        try:
            bid = ClaimRequest(
                request_id=request,
                server_id=self._serving._id,
                affinity=score,
                handling=handling,
            )
            await self._send(channels.bids(self._service, client), bid)
            if handling:
                return True
            async with asyncio.timeout(context.remaining()):
                winner = await granted
            return bool(winner == self._serving._id)
        except TimeoutError:
            return False
        finally:
            del self._grants[request]

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
        client = frame.open.node_id
        left = _seconds_left(frame.sent_at, frame.expiry)
        context = self._context(client, frame.open.metadata, left)
        try:
            if self._claims:
                score = await self._method.score(b"", context)
                bid = score > 0 and await self._bid(
                    frame.request_id, client, score, context, handling=False
                )
                if not bid:
                    return
        except MalformedRequest:
            return
        except Exception as error:  # noqa: BLE001 - of the user's scorer
            self._serving.failed(context, error)
            return

        def publish(answer: Stream) -> Awaitable[None]:
            return self._send(channels.client_stream(self._service, client), answer)

        await self._streams.serve(frame, context, publish, left)

    async def _send(self, channel: Channel, message: Message) -> None:
        try:
            await self._serving._bus.publish(channel, encode(message, channel.route))
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
