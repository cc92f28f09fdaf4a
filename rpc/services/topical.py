"""The topics of one server that shards keep: one mailbox, all that etcd knows, serves them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from typing import Any

from grid.deadline import now
from grid.errors import GridError
from grid.mailbox.mailbox import Mailbox
from grid.mailbox.request import Request
from rpc.buses.bus import DirectBus
from rpc.buses.enrolment import Enrolment, EnrolmentClosed
from rpc.buses.members import topic_path
from rpc.service_pb2 import Call
from rpc.services.direct_requests import Requests, refuse_absent
from rpc.services.intake import Intake
from rpc.services.serving import Registration
from rpc.services.specification import ServiceSpec

__all__ = ["Topical"]

_log = logging.getLogger("rpc.services")

_REJOIN_PAUSE = 0.2  # seconds between tries to register again after a lost lease
_REJOINING = 10.0  # seconds that a registration waits for the peer to join again

Serve = Callable[[Request[Any]], Awaitable[None]]
Lost = Callable[[GridError], Coroutine[Any, Any, None]]


class Topical:
    """The mailbox of these topics, and what is registered for it.

    Args:
        spec: the service.
        bus: the bus.
        server: the id of the server.
        open_mailbox: opens a mailbox for some methods, which is registered in etcd.
        intake: serves a mailbox.
        requests: the requests of some methods for a topic.

    Attributes:
        registrations: what is registered.
    """

    def __init__(
        self,
        spec: ServiceSpec,
        bus: DirectBus,
        server: str,
        open_mailbox: Callable[[tuple[str, ...]], Awaitable[Mailbox]],
        intake: Callable[[Mailbox, Serve, Lost], Intake],
        requests: Callable[[Iterable[str], tuple[str, ...]], Requests],
    ) -> None:
        self.registrations: set[Registration] = set()
        self._spec = spec
        self._bus = bus
        self._server = server
        self._open_mailbox = open_mailbox
        self._make_intake = intake
        self._make_requests = requests
        self._requests: dict[tuple[str, ...], Requests] = {}
        self._intake: Intake | None = None
        self._enrolment: Enrolment | None = None
        self._opening = asyncio.Lock()
        self._stopping = False

    async def add(self, registration: Registration) -> None:
        """Serve a topic; clients find it when this returns.

        Raises:
            GridError: it cannot be registered now.
        """
        enrolment = self._enrolment or await self._open()
        self.registrations.add(registration)
        self._arrange(registration.topic)
        path = topic_path(registration.topic)
        until = now() + _REJOINING
        try:
            while True:
                try:
                    await enrolment.add(path, self._methods(registration.topic))
                    return
                except EnrolmentClosed:  # the peer has lost its lease, and joins again
                    enrolment = await self._reopened(until)
        except BaseException:
            self.registrations.discard(registration)
            self._arrange(registration.topic)
            enrolment.correct(path, self._methods(registration.topic))  # others go on
            raise

    async def _reopened(self, until: float) -> Enrolment:
        while self._enrolment is None and not self._stopping and now() < until:  # noqa: ASYNC110
            await asyncio.sleep(_REJOIN_PAUSE)  # as long as `_again` rests
        if self._enrolment is None or self._stopping:
            raise EnrolmentClosed(f"the topics of {self._server} cannot be registered now")
        return self._enrolment

    async def remove(self, registration: Registration) -> None:
        """Serve a topic no more; what runs is finished."""
        self.registrations.discard(registration)
        self._arrange(registration.topic)
        if self._enrolment is None:
            return  # it is being registered again, without this one
        left, path = self._methods(registration.topic), topic_path(registration.topic)
        await (self._enrolment.add(path, left) if left else self._enrolment.remove(path))

    async def stop(self) -> list[Intake]:
        """Tell shards no more; returns what is to be drained."""
        self._stopping = True
        if self._enrolment is not None:
            await self._enrolment.close()
        return [] if self._intake is None else [self._intake]

    # -- inside ------------------------------------------------------------------

    def _methods(self, topic: tuple[str, ...]) -> tuple[str, ...]:
        here = (one.methods for one in self.registrations if one.topic == topic)
        return tuple(sorted({name for methods in here for name in methods}))

    def _arrange(self, topic: tuple[str, ...]) -> None:
        methods = self._methods(topic)
        if methods:
            self._requests[topic] = self._make_requests(methods, topic)
        else:
            self._requests.pop(topic, None)

    async def _open(self) -> Enrolment:
        async with self._opening:
            if self._enrolment is None:
                methods = tuple(
                    one.name for one in self._spec.methods if one.topics and not one.subscription
                )
                mailbox = await self._open_mailbox(methods)
                try:
                    enrolment = await self._bus.enrolment(
                        self._spec.name, mailbox.name, self._server
                    )
                except BaseException:
                    await mailbox.close()
                    raise
                assert enrolment is not None  # noqa: S101 - the bus says that it has shards
                if self._stopping:
                    await mailbox.close()
                    await enrolment.close()
                    raise EnrolmentClosed(f"{self._server} was stopped")
                self._enrolment = enrolment
                self._intake = self._make_intake(mailbox, self._serve, self._again)
            return self._enrolment

    async def _serve(self, request: Request[Any]) -> None:
        call = request.message
        requests = self._requests.get(tuple(call.topic)) if type(call) is Call else None
        if requests is not None:
            await requests.serve(request)
        elif type(call) is Call and call.kind in (Call.CALL, Call.BID):
            refuse_absent(request, self._spec.name)
        else:
            await self._make_requests((), ()).serve(request)

    async def _again(self, error: GridError) -> None:
        _log.warning("the topics of %s have to be registered again: %s", self._server, error)
        enrolment, intake = self._enrolment, self._intake
        self._enrolment = self._intake = None
        if enrolment is not None:
            await enrolment.close()
        if intake is not None:
            await intake.mailbox.close()
        while not self._stopping:
            await asyncio.sleep(_REJOIN_PAUSE)
            try:
                made = await self._open()
                here = [(topic, self._methods(topic)) for topic in self._requests]
                await asyncio.gather(
                    *(made.add(topic_path(topic), methods) for topic, methods in here)
                )
            except GridError as failed:
                _log.debug("%s has not registered its topics again yet: %s", self._server, failed)
            else:
                return
