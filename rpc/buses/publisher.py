"""The publishing end of feeds: a mailbox to which the processes of subscribers open streams.

Each process of subscribers has one stream, on which it says which channels it wants. A
message for any number of subscribers goes once to each process; one of a queue goes to one
process, in turn. A process that does not read is waited for a while, and is then cut off: it
learns that it has missed messages.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from grid.deadline import now
from grid.errors import GridError, MailboxClosed, MessageTooLarge
from grid.mailbox.mailbox import Mailbox
from grid.mailbox.request import Request
from grid.stream import Stream
from rpc.buses.bus import Overflow
from rpc.buses.inbox import Inbox
from rpc.service_pb2 import Attached, Interest, Publication

__all__ = ["Publisher"]

_log = logging.getLogger("rpc.services")

_SMALL = 64 * 1024  # bytes that every process of subscribers takes
_HELD = 10_000  # messages that wait for one process
_PATIENCE = 2.0  # seconds that a full one is waited for
_KEPT = 5.0  # seconds after its start for which messages are kept for those that find it late


class Publisher:
    """Publishes to all processes that have opened a stream to its mailbox."""

    def __init__(self, open_inbox: Callable[[], Awaitable[Mailbox]]) -> None:
        self._inbox = Inbox("publisher", open_inbox, self._accept)
        self._feeds: set[_Feed] = set()
        self._channels: dict[str, set[_Feed]] = {}
        self._queues: dict[str, list[_Feed]] = {}
        self._turn = 0
        self._kept: deque[Publication] = deque(maxlen=_HELD)  # for subscribers that find it late
        self._kept_until = 0.0
        self._streams: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Register; subscribers find it when this returns."""
        await self._inbox.open()
        self._kept_until = now() + _KEPT

    async def publish(self, channel: str, data: bytes) -> int:
        """Send to all subscribers' processes, and to one of the queue; the number of these.

        Raises:
            MessageTooLarge: none of them takes so large a message; nothing was sent.
        """
        feeds = tuple(self._channels.get(channel, ()))
        group = self._queues.get(channel, ())
        if len(data) > _SMALL:
            _check_size(Publication(channel=channel, data=data, queue=True), (*feeds, *group))
        self._keep(channel, data, queue=not group)
        if not feeds and not group:
            return 0
        reached = 0
        if feeds:
            message = Publication(channel=channel, data=data)
            for feed in feeds:
                reached += feed.put(message) or await self._wait(feed, message)
        if group:
            self._turn += 1
            message = Publication(channel=channel, data=data, queue=True)
            turns = [group[(self._turn + i) % len(group)] for i in range(len(group))]
            if any(feed.put(message) for feed in turns):
                reached += 1
            else:  # all are behind: wait for the one whose turn it is
                reached += await self._wait(turns[0], message)
        return reached

    async def close(self) -> None:
        """Write what is queued, end the streams, and leave the directory."""
        for feed in tuple(self._feeds):
            await feed.drain(_PATIENCE)
        try:
            await self._inbox.stop()
            streams = tuple(self._streams)
            for stream in streams:
                stream.cancel()
            await asyncio.gather(*streams, return_exceptions=True)
        finally:
            await self._inbox.close()

    # -- inside ----------------------------------------------------------------

    def _keep(self, channel: str, data: bytes, *, queue: bool) -> None:
        # Subscribers learn of a publisher a round trip or two after it has started.
        if self._kept_until:
            if now() > self._kept_until:
                self._kept_until = 0.0
                self._kept.clear()
                return
            self._kept.append(Publication(channel=channel, data=data))
            if queue:
                self._kept.append(Publication(channel=channel, data=data, queue=True))

    def _replay(self, feed: _Feed) -> None:
        left: deque[Publication] = deque(maxlen=_HELD)
        for message in self._kept:
            if not message.queue:
                left.append(message)
                if message.channel in feed.channels:
                    feed.put(message)
            elif message.channel not in feed.queues or not feed.put(message):
                left.append(message)
        self._kept = left

    async def _wait(self, feed: _Feed, message: Publication) -> bool:
        if await feed.drain(_PATIENCE, below=_HELD):
            return feed.put(message)
        feed.cut()
        return False

    async def _accept(self, request: Request[Any]) -> None:
        if not request.opens_stream or not isinstance(request.message, Interest):
            request.fail("this mailbox takes streams of subscribers", code="UNIMPLEMENTED")
            return
        task = asyncio.create_task(self._attach(request), name="feed")
        self._streams.add(task)
        task.add_done_callback(self._streams.discard)

    async def _attach(self, request: Request[Any]) -> None:
        feed = None
        try:
            async with request.accept() as stream:
                feed = _Feed(stream)
                self._feeds.add(feed)
                self._change(feed, request.message)
                await feed.run(lambda interest: self._change(feed, interest))
        except GridError as error:
            _log.debug("a subscriber has left: %s", error)
        finally:
            if feed is not None:
                self._detach(feed)

    def _change(self, feed: _Feed, interest: Interest) -> None:
        for channel in interest.add:
            feed.channels.add(channel)
            self._channels.setdefault(channel, set()).add(feed)
        for channel in interest.add_queue:
            feed.queues.add(channel)
            group = self._queues.setdefault(channel, [])
            if feed not in group:
                group.append(feed)
        self._drop(feed, interest.remove, interest.remove_queue)
        if interest.replay and now() < self._kept_until:
            self._replay(feed)
        feed.acknowledge()

    def _detach(self, feed: _Feed) -> None:
        self._feeds.discard(feed)
        self._drop(feed, tuple(feed.channels), tuple(feed.queues))

    def _drop(self, feed: _Feed, channels: Iterable[str], queues: Iterable[str]) -> None:
        for channel in channels:
            feed.channels.discard(channel)
            there = self._channels.get(channel, set())
            there.discard(feed)
            if not there:
                self._channels.pop(channel, None)
        for channel in queues:
            feed.queues.discard(channel)
            group = self._queues.get(channel, [])
            if feed in group:
                group.remove(feed)
            if not group:
                self._queues.pop(channel, None)


def _check_size(message: Publication, feeds: Iterable[_Feed]) -> None:
    limit = max((feed.largest for feed in feeds), default=0)
    if 0 < limit < (size := message.ByteSize()):
        raise MessageTooLarge(size, limit)


class _Feed:
    """The stream to one process of subscribers, and what waits for it."""

    def __init__(self, stream: Stream) -> None:
        self.channels: set[str] = set()
        self.queues: set[str] = set()
        self._stream = stream
        self._waiting: deque[Publication | Attached] = deque()
        self._interests = 0
        self._work = asyncio.Event()
        self._written = asyncio.Event()
        self._cut = False
        self._over = False

    @property
    def largest(self) -> int:
        """Bytes of the largest message that it takes; 0 if it is over."""
        try:
            return self._stream.largest
        except GridError:
            return 0

    def put(self, message: Publication) -> bool:
        """Queue a message; False if it is over or full."""
        if self._over or len(self._waiting) >= _HELD:
            return False
        self._waiting.append(message)
        self._work.set()
        return True

    def acknowledge(self) -> None:
        """Say that one more Interest was taken."""
        self._interests += 1
        self._waiting.append(Attached(interests=self._interests))
        self._work.set()

    def cut(self) -> None:
        """End it with an error that says that messages were lost."""
        self._cut = True
        self._work.set()

    async def drain(self, patience: float, *, below: int = 1) -> bool:
        """Wait until fewer messages wait; False if that took too long."""
        try:
            async with asyncio.timeout(patience):
                while len(self._waiting) >= below and not self._over:
                    self._written.clear()
                    await self._written.wait()
        except TimeoutError:
            return False
        return not self._over

    async def run(self, change: Callable[[Interest], None]) -> None:
        """Write what is queued and read what the subscribers want, until the stream ends."""
        writing = asyncio.create_task(self._write(), name="feed writer")
        try:
            async for interest in self._stream:
                if isinstance(interest, Interest):
                    change(interest)
        finally:
            self._over = True
            self._written.set()
            writing.cancel()
            await asyncio.wait([writing])

    async def _write(self) -> None:
        try:
            while not self._cut:
                while self._waiting and not self._cut:
                    try:
                        await self._stream.send(self._waiting[0])
                    except MessageTooLarge:  # for this process: it has to know that it missed one
                        self._cut = True
                        break
                    self._waiting.popleft()
                    self._written.set()
                self._work.clear()
                if not self._waiting:
                    await self._work.wait()
            await self._stream.close(Overflow("feed", _HELD))
        except (GridError, MailboxClosed) as error:
            _log.debug("a feed has ended: %s", error)
        finally:
            self._over = True
            self._written.set()
