"""Serving on a bus with a directory: a mailbox for each registration, and no claims."""

from __future__ import annotations

import asyncio
import itertools
import logging
import math
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from typing import Any, cast

from google.protobuf.message import Message

from grid.deadline import now
from grid.errors import AlreadyRegistered, GridError
from grid.mailbox.mailbox import Mailbox
from grid.mailbox.request import Request
from rpc.buses.bus import Bus, DirectBus
from rpc.buses.members import SERVER, TOPICAL, exclusive_path, inbox_name, member_path
from rpc.service_pb2 import Call
from rpc.services.bids import OpenBids
from rpc.services.context import CallContext
from rpc.services.direct_requests import Requests
from rpc.services.error_log import ErrorLog
from rpc.services.errors import AlreadyServed, NotRegistered, ServiceError
from rpc.services.handlers import ServedMethod
from rpc.services.intake import Intake
from rpc.services.observers import CallWatch, EventKind, Observers
from rpc.services.serving import Registration
from rpc.services.specification import MethodSpec, ServiceSpec
from rpc.services.topical import Topical
from rpc.services.updates import update_channel

__all__ = ["DirectServing"]

_log = logging.getLogger("rpc.services")

_REJOIN_PAUSE = 0.2  # seconds between tries to register again after a lost lease
_DEREGISTERED = 10.0  # seconds that requests of a deregistered topic may still run
_LONGEST_SWEEP = 1.0  # seconds between looks at the bids that have no outcome yet


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
        observers: Observers | None = None,
        shards: bool = False,
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
        self._rejoining: set[Registration] = set()  # that lost their lease, and come back
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopping = False
        self._topical = (
            Topical(spec, self._bus, id, self._topical_mailbox, self._intake, self.requests)
            if shards and self._bus.capabilities.shards
            else None
        )
        self._bids = OpenBids()
        self._sweeping: asyncio.TimerHandle | None = None
        self.observers = observers
        self.failed: Callable[[CallContext, BaseException], ServiceError] = ErrorLog().answer

    async def start(self) -> None:
        """See `Serving.start`."""
        plain = (one.spec.name for one in self._methods.values() if not one.spec.topics)
        await self._open(Registration((), tuple(plain)))
        if any(method.subscription for method in self._spec.methods):
            await self._bus.announce(self._spec.name)

    async def stop(self, timeout: float) -> None:
        """See `Serving.stop`."""
        self._stopping = True
        if self._sweeping is not None:
            self._sweeping.cancel()
        intakes, self._intakes = list(self._intakes.values()), {}
        if self._topical is not None:
            intakes += await self._topical.stop()
        try:
            await asyncio.gather(*(one.drain(timeout) for one in intakes))
        finally:
            for task in tuple(self._tasks):
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def register(self, registration: Registration) -> None:
        """See `Serving.register`."""
        topical = self._topical if self._by_shards(registration) else None
        here = {*self._intakes, *self._opening, *self._rejoining}
        if self._topical is not None:
            here.update(self._topical.registrations)
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
            if topical is not None:
                await topical.add(registration)
            else:
                await self._open(registration)
        finally:
            self._opening.discard(registration)

    async def deregister(self, registration: Registration) -> None:
        """See `Serving.deregister`."""
        if self._topical is not None and registration in self._topical.registrations:
            await self._topical.remove(registration)
            return
        intake = self._intakes.pop(registration, None)
        if registration in self._rejoining:
            self._rejoining.discard(registration)
            if intake is None:
                return  # it does not come back
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

    def _by_shards(self, registration: Registration) -> bool:
        # That a topic has one server is enforced by a name in etcd.
        single = any(self._methods[name].spec.single_server for name in registration.methods)
        return self._topical is not None and not single

    async def _topical_mailbox(self, methods: tuple[str, ...]) -> Mailbox:
        name = inbox_name(self._spec.name, self._id, next(self._numbers))
        path = member_path(self._spec.name, TOPICAL, (), name)
        return await self._bus.open_inbox(name, {path: methods}, size=self._size)

    def _intake(
        self,
        mailbox: Mailbox,
        serve: Callable[[Request[Any]], Awaitable[None]],
        lost: Callable[[GridError], Coroutine[Any, Any, None]],
    ) -> Intake:
        return Intake(
            mailbox, serve, limit=self._concurrency, lost=lambda error: self._keep(lost(error))
        )

    def requests(self, methods: Iterable[str], topic: tuple[str, ...]) -> Requests:
        """The requests of some methods for a topic."""
        served = {name: self._methods[name] for name in methods}
        return Requests(self, self._spec, self._id, served, topic)

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
        serve = self.requests(registration.methods, registration.topic).serve
        self._intakes[registration] = self._intake(
            mailbox, serve, lambda error: self._again(registration, error)
        )

    async def _again(self, registration: Registration, error: GridError) -> None:
        _log.warning("%s has to register again: %s", self._id, error)
        lost = self._intakes.pop(registration, None)
        self._rejoining.add(registration)
        try:
            if lost is not None:
                await lost.mailbox.close()
            while not self._stopping:
                await asyncio.sleep(_REJOIN_PAUSE)
                if registration not in self._rejoining:
                    return  # it was taken back
                try:
                    await self._open(registration)
                except GridError as failed:
                    _log.debug("%s is not registered again yet: %s", self._id, failed)
                else:
                    await self._dropped_meanwhile(registration)
                    return
        finally:
            self._rejoining.discard(registration)

    async def _dropped_meanwhile(self, registration: Registration) -> None:
        if registration in self._rejoining:
            return
        intake = self._intakes.pop(registration, None)
        if intake is not None:
            await intake.drain(0.0)

    def _keep(self, work: Any) -> None:
        task = asyncio.create_task(work, name=f"service {self._id}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # -- bids --------------------------------------------------------------------

    def note_bid(self, call: Call, watch: CallWatch, until: float) -> None:
        """Keep a bid until its outcome is known, or its caller's time is over."""
        self._bids.add(call.client, call.bid, watch, until)
        if self._sweeping is None:
            self._sweep()

    def bid_ended(self, call: Call, kind: EventKind) -> None:
        """Tell the outcome of a bid, if it is open."""
        watch = self._bids.take(call.client, call.bid)
        if watch is not None:
            watch.tell(kind, self._id)

    def _sweep(self) -> None:
        self._sweeping = None
        for watch in self._bids.overdue(now()):
            watch.tell(EventKind.ABANDONED, self._id)
        at = self._bids.next()
        if at < math.inf and not self._stopping:
            loop = asyncio.get_running_loop()
            pause = min(max(at - now(), 0.0), _LONGEST_SWEEP)
            self._sweeping = loop.call_later(pause, self._sweep)
