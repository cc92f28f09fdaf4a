"""A client's view of topics that shards keep: watched at their shards from the first call on."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable
from typing import Protocol

from google.protobuf.message import Message

from grid.aio import Opening
from grid.errors import GridError, Retryable
from grid.stream import Stream
from rpc.buses.errors import BusClosed
from rpc.buses.members import SERVER, Member, MemberTable
from rpc.buses.topics import ShardRing
from rpc.service_pb2 import TopicInterest, TopicServers

__all__ = ["ShardsUnreachable", "TopicView"]

_log = logging.getLogger("rpc.services")

_OPENING = 5.0  # seconds for a shard to take a watcher
_MOST = 10_000  # topics that are watched; for one more, that watched longest is let go of
_FIRST_REST = 0.05  # seconds before a stream that broke is opened again
_LONGEST_REST = 2.0


class ShardsUnreachable(Retryable):
    """The shards that keep a topic cannot be reached; try again.

    Attributes:
        topic: its path.
    """

    topic: str

    def __init__(self, topic: str, reason: str) -> None:
        super().__init__(f"no shard of topic {topic!r} can be reached: {reason}", topic=topic)


class Way(Protocol):
    """The part of a bus that views need."""

    def open_stream(self, member: str, message: Message, timeout: float) -> Opening[Stream]:
        """Open a stream to a member."""


class TopicView:
    """The topics of one service, as a client sees them.

    Args:
        bus: the way to shards.
        service: the service's full name.
        table: the members of the service, with its shards.
    """

    def __init__(self, bus: Way, service: str, table: MemberTable) -> None:
        self._bus = bus
        self._service = service
        self._table = table
        self._ring = ShardRing(table)
        self._feeds: dict[str, _Feed] = {}
        self._watched: dict[str, None] = {}
        self._last: dict[str, tuple[Member, ...]] = {}  # while new shards do not answer yet
        self._found: dict[str, dict[str, tuple[Member, ...]]] = {}
        self._waiting: set[asyncio.Future[None]] = set()
        self._awaited: Counter[str] = Counter()  # topics of calls under way, which stay watched
        self._closed = False
        table.on_change.add(self._follow)

    def known(self, topic: str, method: str) -> tuple[Member, ...] | None:
        """The servers of a method and a topic; None if the topic is not watched yet."""
        by_method = self._found.get(topic)
        if by_method is None:
            return None
        found = by_method.get(method)
        if found is None:
            found = by_method[method] = tuple(
                one for one in self._last.get(topic, ()) if method in one.methods
            )
        return found

    async def find(self, topic: str, method: str) -> tuple[Member, ...]:
        """The servers of a method and a topic, from its shards if it is not known; none.

        Raises:
            ShardsUnreachable: no shard of the topic answers.
            BusClosed: the bus was closed, before or meanwhile.
        """
        self._awaited[topic] += 1
        try:
            return await self._find(topic, method)
        finally:
            self._awaited[topic] -= 1
            if not self._awaited[topic]:
                del self._awaited[topic]

    async def _find(self, topic: str, method: str) -> tuple[Member, ...]:
        while True:
            if self._closed:
                raise BusClosed("grid bus")
            self._follow()
            if not self._ring.members:
                return ()
            if topic not in self._watched:
                self._watch(topic)
            known = self.known(topic, method)
            feeds = [self._feeds[shard] for shard in self._ring.shards_of(topic)]
            if known or not feeds or all(topic in feed.servers for feed in feeds):
                return known or ()
            if all(topic in feed.servers or feed.failure is not None for feed in feeds):
                if known is not None:
                    return known
                raise ShardsUnreachable(topic, str(feeds[0].failure))
            await self._change()

    async def close(self) -> None:
        """End the streams to shards, and fail the calls that wait for them."""
        self._closed = True
        self._table.on_change.discard(self._follow)
        self._wake()
        feeds, self._feeds = tuple(self._feeds.values()), {}
        await asyncio.gather(*(feed.close() for feed in feeds))

    # -- inside ------------------------------------------------------------------

    def _watch(self, topic: str) -> None:
        self._watched[topic] = None
        for _ in range(len(self._watched) - _MOST):
            idle = next((one for one in self._watched if one not in self._awaited), None)
            if idle is None:
                break
            self._forget(idle)
        for shard in self._ring.shards_of(topic):
            self._feed(shard).want(topic)

    def _forget(self, topic: str) -> None:
        del self._watched[topic]
        self._found.pop(topic, None)
        self._last.pop(topic, None)
        for feed in self._feeds.values():
            feed.unwant(topic)

    def _feed(self, shard: str) -> _Feed:
        feed = self._feeds.get(shard)
        if feed is None:
            feed = self._feeds[shard] = _Feed(self._bus, shard, self._updated)
        return feed

    def _follow(self) -> None:
        if not self._ring.refresh():
            return
        for shard in [one for one in self._feeds if one not in self._ring.members]:
            self._feeds.pop(shard).leave()
        for topic in self._watched:
            shards = self._ring.shards_of(topic)
            for shard in shards:
                self._feed(shard).want(topic)
            for shard, feed in self._feeds.items():
                if shard not in shards:
                    feed.unwant(topic)
        self._wake()

    def _updated(self, topic: str | None) -> None:
        if topic is not None and topic in self._watched:
            servers: dict[str, Member] = {}
            for shard in self._ring.shards_of(topic):
                feed = self._feeds.get(shard)
                if feed is not None and topic in feed.servers:
                    servers |= {one.id: one for one in feed.servers[topic]}
            self._last[topic] = tuple(sorted(servers.values(), key=lambda one: one.id))
            self._found[topic] = {}
        self._wake()

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, set()
        for one in waiting:
            if not one.done():
                one.set_result(None)

    async def _change(self) -> None:
        change = asyncio.get_running_loop().create_future()
        self._waiting.add(change)
        try:
            await change
        finally:
            self._waiting.discard(change)


class _Feed:
    """The stream to one shard; it is opened again when it breaks.

    Attributes:
        servers: by topic, those that the shard has told.
        failure: why it does not answer; None while it does, or before it has been asked.
    """

    def __init__(self, bus: Way, shard: str, updated: Callable[[str | None], None]) -> None:
        self.servers: dict[str, tuple[Member, ...]] = {}
        self.failure: GridError | None = None
        self._bus = bus
        self._shard = shard
        self._updated = updated
        self._wanted: set[str] = set()
        self._said: set[str] = set()  # what the shard knows of it
        self._changed = asyncio.Event()
        self._task = asyncio.create_task(self._run(), name=f"topics of {shard}")

    def want(self, topic: str) -> None:
        """Watch a topic."""
        if topic not in self._wanted:
            self._wanted.add(topic)
            self._changed.set()

    def unwant(self, topic: str) -> None:
        """Watch a topic no more."""
        if topic in self._wanted:
            self._wanted.discard(topic)
            self._changed.set()

    def leave(self) -> None:
        """End the stream; its shard is gone."""
        self._task.cancel()

    async def close(self) -> None:
        """End the stream."""
        self._task.cancel()
        await asyncio.wait([self._task])

    async def _run(self) -> None:
        rest = _FIRST_REST
        while True:
            try:
                await self._read()
                rest = _FIRST_REST
            except GridError as error:
                _log.debug("the shard %s does not answer: %s", self._shard, error)
                self.failure = error
                self._updated(None)
            await asyncio.sleep(rest)
            rest = min(2 * rest, _LONGEST_REST)

    async def _read(self) -> None:
        said = self._said = set(self._wanted)
        self._changed.clear()
        for topic in self.servers.keys() - said:  # they were let go of while it did not answer
            del self.servers[topic]
        first = TopicInterest(add=said)
        async with self._bus.open_stream(self._shard, first, _OPENING) as stream:
            self.failure = None
            telling = asyncio.create_task(self._tell(stream), name="interest in topics")
            try:
                async for item in stream.items(TopicServers):
                    if item.topic in self._said:
                        self.servers[item.topic] = tuple(
                            Member(
                                one.member,
                                self._shard,
                                SERVER,
                                item.topic,
                                frozenset(one.methods),
                                server=one.server,
                            )
                            for one in item.servers
                        )
                        self._updated(item.topic)
            finally:
                telling.cancel()
                await asyncio.wait([telling])

    async def _tell(self, stream: Stream) -> None:
        while True:
            await self._changed.wait()
            self._changed.clear()
            said, self._said = self._said, set(self._wanted)
            removed = said - self._said
            for topic in removed:
                self.servers.pop(topic, None)
            try:
                await stream.send(TopicInterest(add=self._said - said, remove=removed))
            except GridError:
                return  # the reader of the stream raises it
