"""Serving on a bus with a directory: a mailbox for each registration, and no claims."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Mapping
from typing import Any, cast

from google.protobuf.message import Message

from grid.aio import being_cancelled
from grid.deadline import now
from grid.errors import AlreadyRegistered, AlreadyResponded, GridError
from grid.mailbox.mailbox import Mailbox
from grid.mailbox.request import Request
from rpc.buses.bus import Bus, DirectBus
from rpc.buses.members import SERVER, exclusive_path, inbox_name, member_path
from rpc.service_pb2 import Call, Reply
from rpc.services.context import CallContext
from rpc.services.descriptors import describe
from rpc.services.errors import AlreadyServed, NotRegistered, ServiceError, from_handler
from rpc.services.handlers import ServedMethod, unimplemented
from rpc.services.intake import Intake
from rpc.services.serving import Registration
from rpc.services.specification import MethodSpec, ServiceSpec
from rpc.services.stream_serving import serve_stream
from rpc.services.updates import update_channel

__all__ = ["DirectServing"]

_log = logging.getLogger("rpc.services")

_LOG_PAUSE = 1.0  # seconds between errors of one server that are logged with their traceback
_REJOIN_PAUSE = 0.2  # seconds between tries to register again after a lost lease
_DEREGISTERED = 10.0  # seconds that requests of a deregistered topic may still run


class DirectServing:
    """The mailboxes of one server; see `Serving`."""

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
        self._bus = cast("DirectBus", bus)
        self._id = id
        self._concurrency = concurrency
        self._size = size
        self._numbers = itertools.count()
        self._intakes: dict[Registration, Intake] = {}
        self._opening: set[Registration] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._logged = -_LOG_PAUSE
        self._stopping = False

    async def start(self) -> None:
        """See `Serving.start`."""
        plain = (one.spec.name for one in self._methods.values() if not one.spec.topics)
        await self._open(Registration((), tuple(plain)))
        if any(method.subscription for method in self._spec.methods):
            await self._bus.announce(self._spec.name)

    async def stop(self, timeout: float) -> None:
        """See `Serving.stop`."""
        self._stopping = True
        intakes, self._intakes = tuple(self._intakes.values()), {}
        await asyncio.gather(*(one.drain(timeout) for one in intakes))
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def register(self, registration: Registration) -> None:
        """See `Serving.register`."""
        here = {*self._intakes, *self._opening}
        for other in here:
            if other.topic == registration.topic:
                double = set(other.methods) & set(registration.methods)
                if double:
                    raise AlreadyServed(
                        f"{', '.join(sorted(double))} of topic "
                        f"{registration.topic} is registered here already"
                    )
        self._opening.add(registration)
        try:
            await self._open(registration)
        finally:
            self._opening.discard(registration)

    async def deregister(self, registration: Registration) -> None:
        """See `Serving.deregister`."""
        intake = self._intakes.pop(registration, None)
        if intake is None:
            raise NotRegistered(
                f"{', '.join(registration.methods)} is not registered for {registration.topic}"
            )
        try:
            await intake.mailbox.leave()
        finally:
            self._keep(intake.drain(_DEREGISTERED))

    async def publish(
        self, method: MethodSpec[Any, Any], topic: tuple[str, ...], message: Message
    ) -> int | None:
        """See `Serving.publish`."""
        channel = update_channel(self._spec.name, method, topic)
        return await self._bus.publish(channel, message.SerializeToString())

    # -- registrations -----------------------------------------------------------

    async def _open(self, registration: Registration) -> None:
        try:
            mailbox = await self._inbox(registration)
        except AlreadyRegistered as error:
            raise AlreadyServed(
                f"{self._spec.name}: {', '.join(registration.methods)} of topic "
                f"{registration.topic} has its one server already",
                members=(error.peer,) if error.peer else (),
            ) from error
        if self._stopping:
            await mailbox.close()
        else:
            self._read(registration, mailbox)

    async def _inbox(self, registration: Registration) -> Mailbox:
        service, topic = self._spec.name, registration.topic
        name = inbox_name(service, self._id, next(self._numbers))
        groups: dict[str, tuple[str, ...]] = {
            member_path(service, SERVER, topic, name): registration.methods
        }
        for method in registration.methods:
            if self._methods[method].spec.single_server:
                groups[exclusive_path(service, topic, method)] = (method,)
        return await self._bus.open_inbox(name, groups, size=self._size)

    def _read(self, registration: Registration, mailbox: Mailbox) -> None:
        serve = _Served(self, registration).serve
        self._intakes[registration] = Intake(
            mailbox,
            serve,
            limit=self._concurrency,
            lost=lambda error: self._keep(self._again(registration, error)),
        )

    async def _again(self, registration: Registration, error: GridError) -> None:
        _log.warning("%s has to register again: %s", self._id, error)
        lost = self._intakes.pop(registration, None)
        if lost is not None:
            await lost.mailbox.close()
        while not self._stopping:
            await asyncio.sleep(_REJOIN_PAUSE)
            try:
                await self._open(registration)
            except GridError as failed:
                _log.debug("%s is not registered again yet: %s", self._id, failed)
            else:
                return

    def _keep(self, work: Any) -> None:
        task = asyncio.create_task(work, name=f"service {self._id}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # -- errors ------------------------------------------------------------------

    def failed(self, context: CallContext, error: BaseException) -> ServiceError:
        """The answer for a handler's error, which is logged unless it was meant as an answer."""
        known = from_handler(error)
        if known is not error and now() - self._logged >= _LOG_PAUSE:
            self._logged = now()  # callers shall not be able to fill the log
            _log.error("%s.%s failed", context.service, context.method, exc_info=error)
        return known


class _Served:
    """The requests of one registration."""

    def __init__(self, serving: DirectServing, registration: Registration) -> None:
        self._serving = serving
        self._topic = registration.topic
        self._methods = {name: serving._methods[name] for name in registration.methods}

    async def serve(self, request: Request[Any]) -> None:
        """Answer a request, whatever it is."""
        call, serving = request.message, self._serving
        if type(call) is not Call:
            request.fail(f"{serving._spec.name} is a service: call it with its client")
            return
        served = self._methods.get(call.method)
        if served is None:
            self._other(request, call)
            return
        context = CallContext(
            serving._spec,
            served.spec,
            self._topic,
            call.client,
            serving._id,
            call.metadata,
            request,
        )
        try:
            if request.opens_stream:
                await serve_stream(request, served, context, serving.failed)
                return
            if call.kind == Call.BID:
                reply = Reply(score=await served.score(call.payload, context))
            elif served.spec.stream:
                raise unimplemented(serving._spec, f"{call.method} without a stream")
            else:
                reply = Reply(payload=await served.answer(call.payload, context))
        except (Exception, asyncio.CancelledError, SystemExit, KeyboardInterrupt) as error:
            if isinstance(error, asyncio.CancelledError) and being_cancelled():
                raise
            reply = error_reply(serving.failed(context, error))
        _respond(request, reply)

    def _other(self, request: Request[Any], call: Call) -> None:
        spec = self._serving._spec
        if call.kind == Call.DESCRIBE:
            _respond(request, Reply(payload=describe(spec)))
        else:
            _respond(request, error_reply(unimplemented(spec, call.method)))


def _respond(request: Request[Any], reply: Reply) -> None:
    try:
        request.respond(reply)
    except AlreadyResponded:
        pass
    except GridError as error:  # too large, or a stream was asked for
        request.fail(error)


def error_reply(error: ServiceError) -> Reply:
    """An error as the answer to a call."""
    return Reply(code=error.code, text=error.text, details=error.details)
