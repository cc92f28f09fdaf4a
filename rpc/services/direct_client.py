"""Calls on a bus with a directory: the client chooses a server and asks it."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Collection, Sequence
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
    UnknownMailbox,
)
from rpc.buses.bus import BusClosed, DirectBus, Subscription
from rpc.buses.members import SERVER, Member, MemberTable, topic_path
from rpc.buses.topic_view import ShardsUnreachable
from rpc.service_pb2 import Call, Reply
from rpc.services.asking import Asked, Choice, Ranked
from rpc.services.calls import Item, Outgoing
from rpc.services.direct_answers import failure_of, ignored, overdue, payload_of
from rpc.services.errors import (
    AllUnreachable,
    CallClosed,
    CallTimedOut,
    OutcomeUnclear,
    ServiceError,
)
from rpc.services.failures import Attempts
from rpc.services.observers import EventKind
from rpc.services.selection import Selection, SelectionOptions
from rpc.services.specification import MethodSpec, Routing
from rpc.services.streams import DirectPipe, Pipe
from rpc.services.updates import update_channel

__all__ = ["DirectCalls"]

_ASIDE = 1.0  # seconds that a member whose connection failed is left alone
_TELLING = 1.0  # seconds to tell a server that its bid was lost


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
        self._bids = 0

    # -- one server --------------------------------------------------------------

    async def call(self, call: Outgoing) -> bytes:
        """See `Calls.call`."""
        table = self._table
        if table is None:
            table = await self._members(call)
        members = table.find(SERVER, topic_path(call.topic) if call.topic else "-", call.method)
        if call.topic and not members:
            members = await self._topical(call)
        message = self._message(call)
        attempts: Attempts | None = None
        while True:
            member = self._pick(members, attempts)
            if member is None:
                # Not where all are busy: a read for each such call would be a load on etcd.
                if attempts is None or (attempts.stale and not attempts.looked_again):
                    attempts = attempts or Attempts(self._service, call)
                    attempts.looked_again = True
                    members = await self._look_again(call)
                    attempts.forget(members)
                    continue
                raise attempts.error()
            try:
                return await self._ask(member, message, call)
            except (NotDelivered, EtcdError) as error:
                attempts = attempts or Attempts(self._service, call)
                self._put_aside(member, error)
                attempts.failed(member, error)
            except OutcomeUnknown as error:
                self._put_aside(member, error)
                if not call.idempotent:
                    raise OutcomeUnclear(str(error), members=(member.server,)) from error
                attempts = attempts or Attempts(self._service, call)
                attempts.failed(member, error)

    async def _ask(self, member: Member, message: Call, call: Outgoing) -> bytes:
        load = self._load
        left = call.at - now()
        if left <= 0:
            raise overdue(call, (member.server,))
        server = member.server
        if call.watch is not None:
            call.watch.tell(EventKind.SENT, server)
        load[server] = load.get(server, 0) + 1
        try:
            reply = await self._bus.send(member.id, message, left)
        except DeadlineExceeded as error:
            raise overdue(call, (member.server,)) from error
        except RequestFailed as error:
            raise failure_of(error, member.server) from error
        except (ClientClosed, BusClosed) as error:
            raise CallClosed(str(error)) from error
        finally:
            load[server] -= 1
            if not load[server]:
                del load[server]
        if call.reply_metadata is not None and type(reply) is Reply and reply.metadata:
            call.reply_metadata.update(reply.metadata)
        if type(reply) is Reply and not reply.code:
            payload: bytes = reply.payload
            if not payload and reply.absent:
                raise UnknownMailbox(member.id)
            return payload
        return payload_of(reply, server)

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

    def _put_aside(self, member: Member, error: GridError) -> None:
        if isinstance(error, UnknownMailbox):
            return  # its connection is well
        at = now()
        self._aside = {one: until for one, until in self._aside.items() if until > at}
        self._aside[member.server] = at + _ASIDE

    # -- the best server -----------------------------------------------------------

    async def call_best(self, call: Outgoing, options: SelectionOptions) -> bytes:
        """See `Calls.call_best`."""
        ranked = await self._ranking(call, options)
        message = self._message(call)
        message.bid = ranked.number
        attempts = Attempts(self._service, call)
        asked: set[str] = set()
        try:
            for member in ranked.members:
                asked.add(member.server)
                try:
                    return await self._ask(member, message, call)
                except (NotDelivered, EtcdError) as error:
                    self._put_aside(member, error)
                    attempts.failed(member, error)
                except OutcomeUnknown as error:
                    self._put_aside(member, error)
                    raise OutcomeUnclear(str(error), members=(member.server,)) from error
            raise attempts.error()
        finally:
            self._tell_losers(ranked, asked)

    async def _ranking(self, call: Outgoing, options: SelectionOptions) -> Ranked:
        members = await self._all(call)
        bid = self._message(call)
        bid.kind = Call.BID
        self._bids += 1
        bid.bid = self._bids
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
                    self._put_aside(item[0], item[1])
        finally:
            asked.close()
        if call.watch is not None:
            choice.tell(call.watch)
        ranked = Ranked(self._bids, choice.ranking(by_server), choice.observed)
        if ranked.members:
            return ranked
        self._tell_losers(ranked, ())
        raise choice.error(call, members) or overdue(call, tuple(by_server))

    def _tell_losers(self, ranked: Ranked, asked: Collection[str]) -> None:
        # Only servers that want to know: it is a message for each.
        for member in ranked.observed:
            if member.server not in asked:
                lost = Call(kind=Call.LOST, bid=ranked.number, client=self._client)
                with contextlib.suppress(GridError):
                    self._bus.send(member.id, lost, _TELLING).add_done_callback(ignored)

    # -- all servers -----------------------------------------------------------------

    async def call_all(self, call: Outgoing) -> AsyncIterator[Item]:
        """See `Calls.call_all`."""
        members = await self._all(call)
        asked = Asked(self._bus, members, self._message(call), call.at - now(), self._table)
        if call.watch is not None:
            for member in members:
                call.watch.tell(EventKind.SENT, member.server)
        try:
            while (item := await asked.next(call.at + 1.0)) is not None:
                member, outcome = item
                yield self._item(call, member, outcome)
        finally:
            asked.close()

    def _item(self, call: Outgoing, member: Member, outcome: Message | GridError) -> Item:
        try:
            if isinstance(outcome, DeadlineExceeded):
                raise overdue(call, (member.server,))
            if isinstance(outcome, NotDelivered):
                attempts = Attempts(self._service, call)
                attempts.failed(member, outcome)
                raise attempts.error()
            if isinstance(outcome, RequestFailed):
                raise failure_of(outcome, member.server)
            if isinstance(outcome, GridError):
                raise OutcomeUnclear(str(outcome), members=(member.server,))
            payload = payload_of(outcome, member.server)
            said = dict(outcome.metadata) if outcome.metadata else {}  # type: ignore[attr-defined]
            return Item(member.server, payload, None, said)
        except ServiceError as error:
            return Item(member.server, None, error)

    # -- streams -----------------------------------------------------------------------

    async def open(self, call: Outgoing, options: SelectionOptions | None) -> tuple[Pipe, str]:
        """See `Calls.open`."""
        attempts = Attempts(self._service, call)
        ranked = None if options is None else await self._ranking(call, options)
        ranking = None if ranked is None else ranked.members
        members = ranking or await self._all(call)
        message = self._message(call)
        if ranked is not None:
            message.bid = ranked.number
        try:
            return await self._open(call, message, members, attempts, ranked=ranked is not None)
        finally:
            if ranked is not None:
                self._tell_losers(ranked, attempts.asked)

    async def _open(
        self,
        call: Outgoing,
        message: Call,
        members: Sequence[Member],
        attempts: Attempts,
        *,
        ranked: bool,
    ) -> tuple[Pipe, str]:
        while True:
            if not ranked:
                member = self._pick(members, attempts)
            else:
                member = next((one for one in members if one.server not in attempts.tried), None)
            if member is None:
                raise attempts.error()
            attempts.asked.add(member.server)
            if call.watch is not None:
                call.watch.tell(EventKind.SENT, member.server)
            try:
                return await self._open_at(member, message, call), member.server
            except (NotDelivered, EtcdError) as error:
                self._put_aside(member, error)
                attempts.failed(member, error)

    async def _open_at(self, member: Member, message: Call, call: Outgoing) -> Pipe:
        asked = (member.server,)
        try:
            stream = await self._bus.open_stream(member.id, message, max(call.at - now(), 0.0))
        except DeadlineExceeded as error:
            raise overdue(call, asked) from error
        except RequestFailed as error:
            if isinstance(error.cause, UnknownMailbox):  # the topic is not served there now
                raise error.cause from error
            raise failure_of(error, member.server) from error
        except OutcomeUnknown as error:
            raise OutcomeUnclear(str(error), members=asked) from error
        except (ClientClosed, BusClosed) as error:
            raise CallClosed(str(error)) from error
        return DirectPipe(stream, member.server)

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
        found = table.find(SERVER, topic_path(call.topic), call.method)
        return found or await self._topical(call)

    async def _topical(self, call: Outgoing) -> tuple[Member, ...]:
        """The servers of a topic that shards keep."""
        path = topic_path(call.topic)
        try:
            view = self._bus.topics(self._service) if call.topic else None
            if view is None:
                return ()
            known = view.known(path, call.method)
            if known:
                return known
            async with asyncio.timeout(max(0.0, call.at - now())):
                return await view.find(path, call.method)
        except ShardsUnreachable as error:
            raise AllUnreachable(f"{call.what}: {error}") from error
        except BusClosed as error:
            raise CallClosed(str(error)) from error
        except TimeoutError:
            raise CallTimedOut(
                f"{call.what}: the shards of its topic did not answer in time; nothing was sent"
            ) from None

    async def _all(self, call: Outgoing) -> tuple[Member, ...]:
        table = await self._members(call) if self._table is None else self._table
        found = table.find(SERVER, topic_path(call.topic), call.method)
        found = found or await self._topical(call) or await self._look_again(call)
        if not found:
            raise Attempts(self._service, call).error()
        return found

    def _message(self, call: Outgoing) -> Call:
        message = Call(method=call.method, payload=call.payload, client=self._client)
        if call.metadata:
            message.metadata.update(call.metadata)
        if call.topic:
            message.topic.extend(call.topic)
        return message
