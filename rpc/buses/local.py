"""A bus inside one event loop, for tests and for programs of one process.

Servers and clients that share a `LocalBus` find each other without etcd and without gRPC.
Messages travel as bytes all the same, so that each receiver has its own copy.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterable, Mapping
from typing import Any

from google.protobuf.message import Message

from grid import trace_context
from grid.aio import Opening
from grid.client.local import LocalCalls, LocalLink, LocalStreamAnswer
from grid.codec import default_codec
from grid.deadline import Deadline, now, within
from grid.errors import AlreadyRegistered, DeadlineExceeded
from grid.mailbox.dispatcher import Dispatcher
from grid.mailbox.mailbox import Mailbox
from grid.stream import Stream
from grid.transport.answer import Reply
from grid.transport.link import Overdue
from grid.transport.stream_end import StreamEnd
from rpc.buses.bus import DEFAULT_SIZE, BusClosed, Capabilities, Channel, Inflow
from rpc.buses.members import MemberTable, is_exclusive, parse_path

__all__ = ["LocalBus"]

_LIMIT = 100 * 1024 * 1024  # bytes of a message
_numbers = itertools.count(1)


class LocalBus:
    """A bus of one event loop; see `Bus`.

    Args:
        max_message_bytes: the largest message.
    """

    capabilities = Capabilities(direct=True, counts=True)

    def __init__(self, *, max_message_bytes: int = _LIMIT) -> None:
        trace_context.look_for_opentelemetry()
        self._limit = max_message_bytes
        self._address = f"local-bus-{next(_numbers)}"
        self._calls = LocalCalls()
        self._link: LocalLink | None = None
        self._dispatcher: Dispatcher | None = None
        self._tables: dict[str, MemberTable] = {}
        self._exclusive: dict[str, str] = {}
        self._paths: dict[str, tuple[str, ...]] = {}  # by inbox
        self._flows: dict[str, list[Inflow]] = {}
        self._queues: dict[str, list[Inflow]] = {}
        self._turns: dict[str, int] = {}
        self._epochs = itertools.count(1)
        self._closed = False

    def __repr__(self) -> str:
        return f"<LocalBus {'closed' if self._closed else len(self._paths)}>"

    # -- messages --------------------------------------------------------------

    async def publish(self, channel: Channel, data: bytes) -> int:
        """See `Bus.publish`."""
        self._check_open()
        reached = sum(flow.put(data) for flow in tuple(self._flows.get(channel.name, ())))
        group = self._queues.get(channel.name, ())
        for _ in range(len(group)):  # one that is full is passed over
            turn = self._turns[channel.name] = (self._turns.get(channel.name, -1) + 1) % len(group)
            if group[turn].put(data):
                return reached + 1
        return reached

    async def subscribe(
        self, channel: Channel, *, queue: bool = False, size: int = DEFAULT_SIZE
    ) -> Inflow:
        """See `Bus.subscribe`."""
        self._check_open()
        there = self._queues if queue else self._flows

        async def leave(flow: Inflow) -> None:
            there[channel.name].remove(flow)
            if not there[channel.name]:
                del there[channel.name]

        flow = Inflow(channel.name, size, leave)
        there.setdefault(channel.name, []).append(flow)
        return flow

    async def close(self) -> None:
        """See `Bus.close`."""
        self._closed = True
        for flows in [*self._flows.values(), *self._queues.values()]:
            for flow in tuple(flows):
                await flow.close()
        if self._dispatcher is not None:
            for mailbox in self._dispatcher.mailboxes():
                await mailbox.close()
            self._dispatcher.close()
        self._calls.close()

    # -- members ---------------------------------------------------------------

    async def open_inbox(
        self, name: str, groups: Mapping[str, Iterable[str]], *, size: int
    ) -> Mailbox:
        """See `DirectBus.open_inbox`."""
        self._check_open()
        for path in groups:
            if path in self._exclusive:
                raise AlreadyRegistered(path, self._exclusive[path])
        dispatcher = self._start()
        mailbox = Mailbox(
            name, name, size, codec=default_codec, limit=self._limit, release=self._release
        )
        async with dispatcher.opening(mailbox):
            mailbox.epoch = next(self._epochs)
        self._paths[name] = tuple(groups)
        for path, methods in groups.items():
            if is_exclusive(path):
                self._exclusive[path] = name
            member = parse_path(path, methods, peer=self._address, epoch=mailbox.epoch)
            if member is not None:
                self._table(member.service).put(path, member)
        return mailbox

    async def members(self, service: str, *, fresh: bool = False) -> MemberTable:
        """See `DirectBus.members`."""
        self._check_open()
        return self._table(service)

    def send(self, member: str, message: Message, timeout: float) -> asyncio.Future[Message]:
        """See `DirectBus.send`."""
        self._check_open()
        self._start()
        assert self._link is not None  # noqa: S101 - made by the start
        name, data = default_codec.encode(message, limit=self._limit)
        answer = _Answer(self._link, member, timeout)
        trace = trace_context.onward(None) if trace_context.active else None
        answer.number = self._link.send(answer, member, 0, name, data, trace, now() + timeout)
        return answer

    def open_stream(self, member: str, message: Message, timeout: float) -> Opening[Stream]:
        """See `DirectBus.open_stream`."""

        async def opening() -> Stream:
            self._check_open()
            here, deadline = self._start(), Deadline.after(timeout)
            name, data = default_codec.encode(message, limit=self._limit)
            end = StreamEnd()
            answer = LocalStreamAnswer(here, end, self._limit, deadline.at)
            trace = trace_context.onward(None) if trace_context.active else None
            here.accept(member, 0, name, data, trace, answer)
            try:
                await within(deadline, f"a stream to {member!r}", end.opened)
            except BaseException:
                answer.cancel()
                raise
            return Stream(end, default_codec)

        return Opening(opening)

    async def enrolment(self, service: str, member: str, server: str) -> None:
        """See `DirectBus.enrolment`; all topics are in memory here."""

    def topics(self, service: str) -> None:
        """See `DirectBus.topics`."""

    async def announce(self, scope: str) -> None:
        """See `DirectBus.announce`; here all are found at once."""

    # -- inside ----------------------------------------------------------------

    def _table(self, service: str) -> MemberTable:
        return self._tables.setdefault(service, MemberTable())

    def _check_open(self) -> None:
        if self._closed:
            raise BusClosed("local bus")

    def _start(self) -> Dispatcher:
        if self._dispatcher is None:
            self._dispatcher = Dispatcher(default_codec)
            self._dispatcher.open(self._address, "", _Endless())
            self._link = self._calls.link(self._dispatcher)
        return self._dispatcher

    async def _release(self, mailbox: Mailbox) -> None:
        for path in self._paths.pop(mailbox.name, ()):
            self._exclusive.pop(path, None)
            self._table(path.partition("/")[0]).drop(path)
        if self._dispatcher is not None:
            self._dispatcher.remove(mailbox)


class _Endless:
    """The lease of a bus that needs none."""

    valid = True


class _Answer(asyncio.Future[Any]):
    """The decoded answer of a member; cancelling it tells the member."""

    number = -1

    def __init__(self, link: LocalLink, member: str, timeout: float) -> None:
        super().__init__()
        self._link = link
        self._member = member
        self._timeout = timeout

    def set_result(self, reply: Reply) -> None:
        """Take the answer as it came."""
        super().set_result(default_codec.decode(*reply))

    def set_exception(self, error: type[BaseException] | BaseException, /) -> None:
        """Take an error; time that is over is told from the other ones."""
        if isinstance(error, Overdue):
            error = DeadlineExceeded(f"request to {self._member!r}", self._timeout)
        super().set_exception(error)

    def cancel(self, msg: Any | None = None) -> bool:
        """Tell the member that its caller has left."""
        if not super().cancel(msg):
            return False
        if self.number >= 0:
            self._link.cancel(self.number)
        return True
