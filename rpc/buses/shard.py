"""A shard of topics: a mailbox where servers enroll their topics, and which clients watch."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from grid.errors import GridError
from grid.mailbox.mailbox import Mailbox
from grid.mailbox.request import Request
from grid.stream import Stream
from rpc.buses.inbox import Inbox
from rpc.buses.members import TOPICAL, Member, MemberTable
from rpc.buses.topics import TopicTable
from rpc.service_pb2 import Enroll, Reply, TopicInterest, TopicServer, TopicServers

__all__ = ["Shard"]

_log = logging.getLogger("rpc.services")


class Shard:
    """One shard of the topics of a service.

    Args:
        open_inbox: opens its mailbox.
        members: the members of the service, read again if that is asked for.
    """

    def __init__(
        self,
        open_inbox: Callable[[], Awaitable[Mailbox]],
        members: Callable[[bool], Awaitable[MemberTable]],
    ) -> None:
        self._inbox = Inbox("shard of topics", open_inbox, self._take)
        self._members = members
        self._topics = TopicTable()
        self._table: MemberTable | None = None
        self._watchers: set[asyncio.Task[None]] = set()
        self._watched: dict[str, set[_Watcher]] = {}

    def __len__(self) -> int:
        return len(self._topics)

    async def start(self) -> None:
        """Register; servers and clients find it when this returns."""
        try:
            await self._inbox.open()
            self._table = await self._members(True)
            self._table.on_left.add(self._left)
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Leave the directory; the other shards have the topics."""
        if self._table is not None:
            self._table.on_left.discard(self._left)
        await self._inbox.close()
        watchers = tuple(self._watchers)
        for watcher in watchers:
            watcher.cancel()
        await asyncio.gather(*watchers, return_exceptions=True)

    # -- requests ----------------------------------------------------------------

    async def _take(self, request: Request[Any]) -> None:
        message = request.message
        if request.opens_stream and isinstance(message, TopicInterest):
            task = asyncio.create_task(self._watch(request), name="watcher of topics")
            self._watchers.add(task)
            task.add_done_callback(self._watchers.discard)
        elif isinstance(message, Enroll) and not request.opens_stream:
            try:
                await self._enroll(message)
                request.respond(Reply())
            except GridError as error:
                request.fail(error)
        else:
            request.fail("this mailbox keeps topics of a service", code="UNIMPLEMENTED")

    async def _enroll(self, message: Enroll) -> None:
        if message.add and not await self._known(message.member):
            # Its leaving could not be seen, so it would stay for ever.
            raise GridError(f"{message.member} is not registered")
        add = {one.topic: one.methods for one in message.add}
        self._changed(self._topics.enroll(message.member, message.server, add, message.remove))

    async def _known(self, member: str) -> bool:
        for fresh in (False, True):
            table = await self._members(fresh)
            if any(one.id == member for one in table.of_role(TOPICAL)):
                return True
        return False

    def _left(self, member: Member) -> None:
        if member.role == TOPICAL:
            self._changed(self._topics.drop(member.id))

    # -- watchers ----------------------------------------------------------------

    def _changed(self, topics: set[str]) -> None:
        for topic in topics:
            for watcher in self._watched.get(topic, ()):
                watcher.note(topic)

    async def _watch(self, request: Request[Any]) -> None:
        watcher: _Watcher | None = None
        try:
            async with request.accept() as stream:
                watcher = _Watcher(stream, self._topics)
                self._interest(watcher, request.message)
                await watcher.run(lambda interest: self._interest(watcher, interest))
        except GridError as error:
            _log.debug("a watcher of topics has left: %s", error)
        finally:
            if watcher is not None:
                self._interest(watcher, TopicInterest(remove=watcher.topics))

    def _interest(self, watcher: _Watcher, interest: TopicInterest) -> None:
        for topic in interest.add:
            watcher.topics.add(topic)
            self._watched.setdefault(topic, set()).add(watcher)
            watcher.note(topic)
        for topic in interest.remove:
            watcher.topics.discard(topic)
            there = self._watched.get(topic, set())
            there.discard(watcher)
            if not there:
                self._watched.pop(topic, None)


class _Watcher:
    """The stream to one client, which is told the servers of its topics as they change."""

    def __init__(self, stream: Stream, table: TopicTable) -> None:
        self.topics: set[str] = set()
        self._stream = stream
        self._table = table
        self._changed: dict[str, None] = {}  # a topic that changes often is told once
        self._work = asyncio.Event()

    def note(self, topic: str) -> None:
        """Tell the client of a topic, as it is when there is time."""
        self._changed[topic] = None
        self._work.set()

    async def run(self, take: Callable[[TopicInterest], None]) -> None:
        """Tell what changes and take what the client is interested in, until the stream ends."""
        writing = asyncio.create_task(self._write(), name="watcher of topics, writer")
        try:
            async for interest in self._stream.items(TopicInterest):
                take(interest)
        finally:
            writing.cancel()
            await asyncio.wait([writing])

    async def _write(self) -> None:
        while True:
            while self._changed:
                topic = next(iter(self._changed))
                del self._changed[topic]
                servers = (
                    TopicServer(member=one.member, server=one.server, methods=one.methods)
                    for one in self._table.servers(topic)
                )
                try:
                    await self._stream.send(TopicServers(topic=topic, servers=servers))
                except GridError:
                    return  # the reader of the stream sees it, too
            self._work.clear()
            await self._work.wait()
