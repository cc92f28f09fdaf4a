"""Calls on a bus with a directory: the client chooses a server and asks it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from typing import Any

from google.protobuf.message import Message

from grid.deadline import now
from grid.errors import (
    ClientClosed,
    DeadlineExceeded,
    EtcdError,
    GridError,
    NotDelivered,
    OutcomeUnknown,
    RequestFailed,
)
from rpc.buses.bus import BusClosed, DirectBus, Subscription
from rpc.buses.members import SERVER, Member, MemberTable, topic_path
from rpc.service_pb2 import Call, Reply
from rpc.services.asking import Asked, Choice
from rpc.services.calls import Item, Outgoing
from rpc.services.codes import code_of_grpc
from rpc.services.errors import (
    CallClosed,
    CallTimedOut,
    MalformedResult,
    OutcomeUnclear,
    ServiceError,
    error_of,
)
from rpc.services.failures import Attempts
from rpc.services.selection import Selection, SelectionOptions
from rpc.services.specification import MethodSpec, Routing
from rpc.services.streams import DirectPipe, Pipe
from rpc.services.updates import update_channel

__all__ = ["DirectCalls"]

_ASIDE = 1.0  # seconds that a member whose connection failed is left alone


class DirectCalls:
    """Calls of one service over a bus with a directory; see `Calls`.

    Args:
        bus: the bus.
        service: the service's full name.
        client: the id of the caller.
    """

    def __init__(self, bus: DirectBus, service: str, client: str) -> None:
        self._bus = bus
        self._service = service
        self._client = client
        self._table: MemberTable | None = None
        self._load: dict[str, int] = {}  # requests under way, by server
        self._aside: dict[str, float] = {}
        self._turn = random.randrange(1 << 16)

    # -- one server --------------------------------------------------------------

    async def call(self, call: Outgoing) -> bytes:
        """See `Calls.call`."""
        table = self._table or await self._members(call)
        members = table.find(SERVER, topic_path(call.topic) if call.topic else "-", call.method)
        message = self._message(call)
        attempts: Attempts | None = None
        while True:
            member = self._pick(members, attempts)
            if member is None:
                # Not where all declined: a read for each such call would be a load on etcd.
                if attempts is None or (attempts.stale and not attempts.looked_again):
                    attempts = attempts or Attempts(self._service, call)
                    attempts.looked_again = True
                    members = await self._look_again(call)
                    attempts.forget({one.server for one in members})
                    continue
                raise attempts.error()
            try:
                return await self._ask(member, message, call)
            except (NotDelivered, EtcdError) as error:
                attempts = attempts or Attempts(self._service, call)
                self._put_aside(member)
                attempts.failed(member.server, error)
            except OutcomeUnknown as error:
                self._put_aside(member)
                if not call.idempotent:
                    raise OutcomeUnclear(str(error), members=(member.server,)) from error
                attempts = attempts or Attempts(self._service, call)
                attempts.failed(member.server, error)

    async def _ask(self, member: Member, message: Call, call: Outgoing) -> bytes:
        load = self._load
        left = call.at - now()
        if left <= 0:
            raise self._overdue(call, (member.server,))
        server = member.server
        load[server] = load.get(server, 0) + 1
        try:
            reply = await self._bus.send(member.id, message, left)
        except DeadlineExceeded as error:
            raise self._overdue(call, (member.server,)) from error
        except RequestFailed as error:
            raise ServiceError(
                code_of_grpc(error.code), error.text, members=(member.server,)
            ) from error
        except (ClientClosed, BusClosed) as error:
            raise CallClosed(str(error)) from error
        finally:
            load[server] -= 1
            if not load[server]:
                del load[server]
        if type(reply) is Reply and not reply.code:
            payload: bytes = reply.payload
            return payload
        return _payload(reply, server)

    def _pick(self, members: Sequence[Member], attempts: Attempts | None) -> Member | None:
        # Of two neighbours in the ring the one with fewer requests of this client under way.
        count, aside, load = len(members), self._aside, self._load
        tried = attempts.tried if attempts else ()
        if aside and max(aside.values()) <= now():
            aside.clear()
        if count == 1:
            return None if members[0].server in tried else members[0]
        self._turn += 1
        if attempts is None and not aside and count:
            one, two = members[self._turn % count], members[(self._turn + 1) % count]
            return two if load.get(two.server, 0) < load.get(one.server, 0) else one
        first: Member | None = None
        second: Member | None = None
        for step in range(count):
            member = members[(self._turn + step) % count]
            if member.server in tried:
                continue
            if aside and aside.get(member.server, 0.0) > now():
                second = second or member
                continue
            if first is None:
                first = member
                continue
            lighter = load.get(member.server, 0) < load.get(first.server, 0)
            return member if lighter else first
        return first or second

    def _put_aside(self, member: Member) -> None:
        at = now()
        self._aside = {one: until for one, until in self._aside.items() if until > at}
        self._aside[member.server] = at + _ASIDE

    # -- the best server -----------------------------------------------------------

    async def call_best(self, call: Outgoing, options: SelectionOptions) -> bytes:
        """See `Calls.call_best`."""
        message = self._message(call)
        attempts = Attempts(self._service, call)
        for member in await self._ranking(call, options):
            try:
                return await self._ask(member, message, call)
            except (NotDelivered, EtcdError) as error:
                self._put_aside(member)
                attempts.failed(member.server, error)
            except OutcomeUnknown as error:
                self._put_aside(member)
                raise OutcomeUnclear(str(error), members=(member.server,)) from error
        raise attempts.error()

    async def _ranking(self, call: Outgoing, options: SelectionOptions) -> list[Member]:
        members = await self._all(call)
        bid = self._message(call)
        bid.kind = Call.BID
        by_server = {member.server: member for member in members}
        choice = Choice(Selection(options, now(), call.at), Attempts(self._service, call))
        asked = Asked(self._bus, members, bid, call.at - now(), self._table)
        try:
            while choice.chosen is None:
                item = await asked.next(choice.selection.stop_at)
                if item is None:
                    choice.chosen = choice.selection.finish()
                    break
                choice.take(*item)
                if isinstance(item[1], GridError):
                    self._put_aside(item[0])
        finally:
            asked.close()
        if choice.chosen is not None:
            ranking = (one.member for one in choice.selection.ranking)
            return [by_server[one] for one in dict.fromkeys((choice.chosen, *ranking))]
        raise choice.error(call, members) or self._overdue(call, tuple(by_server))

    # -- all servers -----------------------------------------------------------------

    async def call_all(self, call: Outgoing) -> AsyncIterator[Item]:
        """See `Calls.call_all`."""
        members = await self._all(call)
        asked = Asked(self._bus, members, self._message(call), call.at - now(), self._table)
        try:
            while (item := await asked.next(call.at + 1.0)) is not None:
                member, outcome = item
                yield self._item(call, member, outcome)
        finally:
            asked.close()

    def _item(self, call: Outgoing, member: Member, outcome: Message | GridError) -> Item:
        try:
            if isinstance(outcome, DeadlineExceeded):
                raise self._overdue(call, (member.server,))
            if isinstance(outcome, NotDelivered):
                attempts = Attempts(self._service, call)
                attempts.failed(member.server, outcome)
                raise attempts.error()
            if isinstance(outcome, GridError):
                raise OutcomeUnclear(str(outcome), members=(member.server,))
            return Item(member.server, _payload(outcome, member.server), None)
        except ServiceError as error:
            return Item(member.server, None, error)

    # -- streams -----------------------------------------------------------------------

    async def open(self, call: Outgoing, options: SelectionOptions | None) -> tuple[Pipe, str]:
        """See `Calls.open`."""
        attempts = Attempts(self._service, call)
        ranking = None if options is None else await self._ranking(call, options)
        members = ranking or await self._all(call)
        while True:
            if ranking is None:
                member = self._pick(members, attempts)
            else:
                member = next((one for one in ranking if one.server not in attempts.tried), None)
            if member is None:
                raise attempts.error()
            left = call.at - now()
            try:
                stream = await self._bus.open_stream(member.id, self._message(call), max(left, 0.0))
            except (NotDelivered, EtcdError) as error:
                self._put_aside(member)
                attempts.failed(member.server, error)
            except DeadlineExceeded as error:
                raise self._overdue(call, (member.server,)) from error
            except RequestFailed as error:
                raise ServiceError(
                    code_of_grpc(error.code), error.text, members=(member.server,)
                ) from error
            except OutcomeUnknown as error:
                raise OutcomeUnclear(str(error), members=(member.server,)) from error
            else:
                return DirectPipe(stream, member.server), member.server

    # -- subscriptions -------------------------------------------------------------------

    async def subscribe(
        self, method: MethodSpec[Any, Any], topic: tuple[str, ...], size: int
    ) -> Subscription:
        """See `Calls.subscribe`."""
        queue = method.routing is not Routing.MULTI
        channel = update_channel(self._service, method, topic)
        return await self._bus.subscribe(channel, queue=queue, size=size)

    async def close(self) -> None:
        """See `Calls.close`; the bus ends what is under way, or goes on with it."""

    # -- members -------------------------------------------------------------------------

    async def _members(self, call: Outgoing, *, fresh: bool = False) -> MemberTable:
        try:
            async with asyncio.timeout(max(0.0, call.at - now())):
                self._table = await self._bus.members(self._service, fresh=fresh)
        except TimeoutError:
            raise CallTimedOut(
                f"{call.what}: the directory did not answer in time; nothing was sent"
            ) from None
        except BusClosed as error:
            raise CallClosed(str(error)) from error
        return self._table

    async def _look_again(self, call: Outgoing) -> tuple[Member, ...]:
        # The view may lag behind a server that the caller knows of.
        table = await self._members(call, fresh=True)
        return table.find(SERVER, topic_path(call.topic), call.method)

    async def _all(self, call: Outgoing) -> tuple[Member, ...]:
        table = self._table or await self._members(call)
        found = table.find(SERVER, topic_path(call.topic), call.method)
        if not found:
            found = await self._look_again(call)
        if not found:
            raise Attempts(self._service, call).error()
        return found

    def _message(self, call: Outgoing) -> Call:
        message = Call(method=call.method, payload=call.payload, client=self._client)
        if call.metadata:
            message.metadata.update(call.metadata)
        return message

    def _overdue(self, call: Outgoing, members: tuple[str, ...]) -> CallTimedOut:
        asked = ", ".join(members)
        return CallTimedOut(
            f"{call.what}: no answer of {asked} within {round(call.timeout, 3):g} s",
            members=members,
        )


def _payload(reply: Any, member: str) -> bytes:
    if type(reply) is not Reply:
        raise MalformedResult(f"{member} answered with a {reply.DESCRIPTOR.full_name}")
    if reply.code:
        raise error_of(reply.code, reply.text, reply.details, members=(member,))
    payload: bytes = reply.payload
    return payload
