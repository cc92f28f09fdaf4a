"""The subscribing end of feeds: one stream to each publisher of a service.

The streams of one process carry the messages of all its subscriptions; a message for
several of them arrives once. A publisher that dies ends its own stream and nothing else; one
that joins is found by the watch of the directory.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from typing import Protocol

from google.protobuf.message import Message

from grid.aio import Opening
from grid.errors import GridError, RequestFailed, StreamClosed
from grid.stream import Stream
from rpc.buses.bus import DEFAULT_SIZE, BusClosed, Inflow, Overflow
from rpc.buses.members import Member, MemberTable
from rpc.service_pb2 import Attached, Interest, Publication

__all__ = ["Follower"]

_log = logging.getLogger("rpc.services")

_ATTACHING = 5.0  # seconds for a publisher to take a subscription
_FIRST_REST = 0.05  # seconds before a stream that broke is opened again
_LONGEST_REST = 2.0


class Streams(Protocol):
    """The part of a bus that feeds need."""

    async def members(self, service: str, *, fresh: bool = False) -> MemberTable:
        """The members of a service."""

    def open_stream(self, member: str, message: Message, timeout: float) -> Opening[Stream]:
        """Open a stream to a member."""


class Follower:
    """The subscriptions of one process to one service.

    Args:
        bus: the way to publishers.
        scope: the service.
    """

    def __init__(self, bus: Streams, scope: str) -> None:
        self._bus = bus
        self._scope = scope
        self._flows: dict[str, list[Inflow]] = {}
        self._queues: dict[str, list[Inflow]] = {}
        self._turns: dict[str, int] = {}
        self._feeds: dict[str, _Feed] = {}
        self._table: MemberTable | None = None
        self._joining = True  # a publisher that is new has joined just now
        self._closed = False

    async def subscribe(self, channel: str, *, queue: bool, size: int = DEFAULT_SIZE) -> Inflow:
        """A subscription; all publishers that are there now know of it when this returns.

        A publisher that cannot be reached is not waited for: it is tried again and again.

        Raises:
            BusClosed: the bus was closed meanwhile.
        """
        if self._table is None:
            table = await self._bus.members(self._scope)
            self._check_open()
            self._table = table
            table.on_change.add(self._follow)
        there = self._queues if queue else self._flows

        async def leave(flow: Inflow) -> None:
            flows = there.get(channel, [])
            if flow in flows:
                flows.remove(flow)
            if not flows and there.pop(channel, None) is not None:
                self._turns.pop(channel, None)
                for feed in self._feeds.values():
                    feed.remove(channel, queue=queue)

        flow = Inflow(channel, size, leave)
        there.setdefault(channel, []).append(flow)
        for feed in self._feeds.values():
            feed.add(channel, queue=queue)
        try:
            self._joining = False
            try:
                await self._bus.members(self._scope, fresh=True)
                self._check_open()
                self._follow()
            finally:
                self._joining = True
            if self._feeds:
                waiting = [asyncio.create_task(one.attached()) for one in self._feeds.values()]
                try:
                    await asyncio.wait(waiting, timeout=_ATTACHING)
                finally:
                    for task in waiting:
                        task.cancel()
                self._check_open()
        except BaseException:
            await flow.close()
            raise
        return flow

    async def close(self) -> None:
        """End all subscriptions and streams, and fail those that are being made."""
        self._closed = True
        if self._table is not None:
            self._table.on_change.discard(self._follow)
        for flows in (*self._flows.values(), *self._queues.values()):
            for flow in tuple(flows):
                await flow.close()
        for feed in tuple(self._feeds.values()):
            await feed.close()

    # -- inside ----------------------------------------------------------------

    def _check_open(self) -> None:
        if self._closed:
            raise BusClosed("grid bus")

    def _follow(self) -> None:
        if self._table is None:
            return
        there = {member.id: member for member in self._table.publishers()}
        for id_ in [one for one in self._feeds if one not in there]:
            self._feeds.pop(id_).leave()
        for id_, member in there.items():
            if id_ not in self._feeds:
                feed = self._feeds[id_] = _Feed(self._bus, member, self._deliver, self._missed)
                feed.start(self._flows, self._queues, replay=self._joining)

    def _deliver(self, message: Publication) -> None:
        channel = message.channel
        if not message.queue:
            for flow in tuple(self._flows.get(channel, ())):
                flow.put(message.data)
            return
        group = self._queues.get(channel, ())
        for _ in range(len(group)):  # one that is full is passed over
            turn = self._turns[channel] = (self._turns.get(channel, -1) + 1) % len(group)
            if group[turn].put(message.data):
                return

    def _missed(self, error: Overflow) -> None:
        for flows in (*self._flows.values(), *self._queues.values()):
            for flow in flows:
                flow.fail(error)


class _Feed:
    """The stream to one publisher; it is opened again when it breaks."""

    def __init__(
        self,
        bus: Streams,
        member: Member,
        deliver: Callable[[Publication], None],
        missed: Callable[[Overflow], None],
    ) -> None:
        self._bus = bus
        self._member = member
        self._deliver = deliver
        self._missed = missed
        self._channels: set[str] = set()
        self._queues: set[str] = set()
        self._wanted = 0  # changes of what is subscribed
        self._replay = False
        self._taken = 0  # changes that the publisher has taken
        self._changed = asyncio.Event()
        self._attached = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self, channels: Iterable[str], queues: Iterable[str], *, replay: bool) -> None:
        """Open the stream for these channels.

        Args:
            channels: of subscriptions.
            queues: channels of subscriptions of queues.
            replay: ask for what was published before.
        """
        self._replay = replay
        self._channels.update(channels)
        self._queues.update(queues)
        self._wanted = 1
        self._task = asyncio.create_task(self._run(), name=f"feed of {self._member.id}")
        self._task.add_done_callback(lambda _: self._attached.set())

    def add(self, channel: str, *, queue: bool) -> None:
        """Subscribe to a further channel."""
        there = self._queues if queue else self._channels
        if channel not in there:
            there.add(channel)
            self._change()

    def remove(self, channel: str, *, queue: bool) -> None:
        """Unsubscribe from a channel."""
        (self._queues if queue else self._channels).discard(channel)
        self._change()

    async def attached(self) -> None:
        """Return once the publisher knows all channels, or has left."""
        wanted = self._wanted
        while self._taken < wanted and self._task is not None and not self._task.done():
            self._attached.clear()
            await self._attached.wait()

    def leave(self) -> None:
        """End the stream; its publisher is gone."""
        if self._task is not None:
            self._task.cancel()

    async def close(self) -> None:
        """End the stream."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    def _change(self) -> None:
        self._wanted += 1
        self._changed.set()

    async def _run(self) -> None:
        rest = _FIRST_REST
        while True:
            try:
                await self._read()
                rest = _FIRST_REST
            except GridError as error:
                _log.debug("the feed of %s broke: %s", self._member.id, error)
                cause = error.cause if isinstance(error, RequestFailed) else error
                if isinstance(cause, Overflow) or "is not read fast enough" in str(error):
                    self._missed(Overflow(self._member.service, 0))
            await asyncio.sleep(rest)
            rest = min(2 * rest, _LONGEST_REST)

    async def _read(self) -> None:
        sent, asked = self._wanted, [self._wanted]
        said = set(self._channels), set(self._queues)
        first = Interest(add=said[0], add_queue=said[1], replay=self._replay)
        self._replay = False  # once
        async with self._bus.open_stream(self._member.id, first, _ATTACHING) as stream:
            telling = asyncio.create_task(self._tell(stream, sent, asked, said))
            try:
                async for item in stream:
                    if isinstance(item, Publication):
                        self._deliver(item)
                    elif isinstance(item, Attached):
                        if not 0 < item.interests <= len(asked):
                            raise StreamClosed("its publisher takes what it was not sent")
                        self._taken = max(self._taken, asked[item.interests - 1])
                        self._attached.set()
            finally:
                telling.cancel()
                await asyncio.wait([telling])

    async def _tell(
        self, stream: Stream, sent: int, asked: list[int], said: tuple[set[str], set[str]]
    ) -> None:
        channels, queues = said
        while True:
            self._changed.clear()
            if self._wanted == sent:
                await self._changed.wait()
                continue
            sent = self._wanted
            interest = Interest(
                add=self._channels - channels,
                remove=channels - self._channels,
                add_queue=self._queues - queues,
                remove_queue=queues - self._queues,
            )
            channels, queues = set(self._channels), set(self._queues)
            asked.append(sent)
            try:
                await stream.send(interest)
            except GridError:
                return  # the reader of the stream raises it
