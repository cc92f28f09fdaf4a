"""A server's side of topics that shards keep: tell the right shards, also when they change."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from typing import Protocol

from google.protobuf.message import Message

from grid.deadline import now
from grid.errors import GridError
from rpc.buses.members import MemberTable
from rpc.buses.topics import ShardRing
from rpc.service_pb2 import Enroll, TopicMethods

__all__ = ["Enrolment", "EnrolmentClosed"]

_log = logging.getLogger("rpc.services")

_TELLING = 5.0  # seconds until a topic must be known to one of its shards
_AT_ONCE = 500  # topics of a message
_FIRST_REST = 0.1  # seconds before a shard that was not reached is told again
_LONGEST_REST = 2.0


class Way(Protocol):
    """The part of a bus that enrolments need."""

    async def members(self, service: str, *, fresh: bool = False) -> MemberTable:
        """The members of a service."""

    def send(self, member: str, message: Message, timeout: float) -> asyncio.Future[Message]:
        """Ask a member."""


class EnrolmentClosed(GridError):
    """The mailbox of the topics is gone, and with it what shards know of them."""


class Enrolment:
    """The topics of one mailbox, kept at their shards.

    Args:
        bus: the way to shards.
        service: the service's full name.
        member: the name of the mailbox, which is registered already.
        server: the id of its server.
    """

    def __init__(self, bus: Way, service: str, member: str, server: str) -> None:
        self._bus = bus
        self._service = service
        self._member = member
        self._server = server
        self._topics: dict[str, tuple[str, ...]] = {}
        self._told: dict[str, dict[str, tuple[str, ...]]] = {}  # by topic: what shards know of it
        self._table: MemberTable | None = None
        self._ring: ShardRing | None = None
        self._due: dict[str, None] = {}  # topics that shards have to be told of
        self._waiting: list[tuple[str, asyncio.Future[GridError | None]]] = []
        self._wake = asyncio.Event()
        self._closed = False
        self._telling: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Find the shards."""
        self._table = await self._bus.members(self._service, fresh=True)
        self._ring = ShardRing(self._table)
        self._ring.refresh()
        self._table.on_change.add(self._changed)
        self._telling = asyncio.create_task(self._run(self._ring), name=f"topics of {self._server}")

    async def add(self, topic: str, methods: Iterable[str]) -> None:
        """Enroll a topic; clients find it when this returns.

        Topics that are added at once go to their shards together.

        Raises:
            EnrolmentClosed: it was closed meanwhile.
            GridError: no shard of the topic can be told.
        """
        self._topics[topic] = tuple(methods)
        until = now() + _TELLING
        rest = _FIRST_REST
        try:
            while (failure := await self._told_of(topic)) is not None:
                if self._closed or now() + rest > until:
                    raise failure
                await asyncio.sleep(rest)
                rest = min(2 * rest, _LONGEST_REST)
                await self._bus.members(self._service, fresh=True)
        except BaseException:
            self._topics.pop(topic, None)
            self._note(topic)
            raise

    def correct(self, topic: str, methods: Iterable[str]) -> None:
        """Let shards know a topic with these methods only, or not at all, when there is time."""
        left = tuple(methods)
        if left:
            self._topics[topic] = left
        else:
            self._topics.pop(topic, None)
        self._note(topic)

    async def remove(self, topic: str) -> None:
        """Take a topic back; a shard that is not reached now is told later."""
        if self._topics.pop(topic, None) is not None:
            await self._told_of(topic)

    async def close(self) -> None:
        """Tell no more; the topics go with their mailbox."""
        self._closed = True
        if self._table is not None:
            self._table.on_change.discard(self._changed)
        if self._telling is not None:
            self._telling.cancel()
            await asyncio.wait([self._telling])
        for _, waiting in self._waiting:
            if not waiting.done():
                waiting.set_result(EnrolmentClosed("the topics' mailbox was closed"))

    # -- inside ------------------------------------------------------------------

    def _changed(self) -> None:
        if self._ring is not None and self._ring.refresh():
            self._note(*self._topics, *self._told)

    def _note(self, *topics: str) -> None:
        self._due.update(dict.fromkeys(topics))
        self._wake.set()

    async def _told_of(self, topic: str) -> GridError | None:
        """Wait until one shard of a topic is told what is the case; the reason if none is."""
        if self._closed:
            return EnrolmentClosed("the topics' mailbox was closed")
        told: asyncio.Future[GridError | None] = asyncio.get_running_loop().create_future()
        self._waiting.append((topic, told))
        self._note(topic)
        return await told

    async def _run(self, ring: ShardRing) -> None:
        rest = _FIRST_REST
        while True:
            await self._wake.wait()
            self._wake.clear()
            due, self._due = self._due, {}
            waiting, self._waiting = self._waiting, []
            try:
                failure = await self._tell(due, ring)
            except asyncio.CancelledError:
                self._waiting += waiting
                raise
            for topic, told in waiting:
                known = topic not in self._topics or self._topics[topic] in (
                    self._told.get(topic, {}).values()
                )
                reason = failure or GridError(f"{self._service} has no shards of topics")
                if not told.done():
                    told.set_result(None if known else reason)
            if failure is None:
                rest = _FIRST_REST
            else:
                _log.debug("shards do not know all topics of %s: %s", self._server, failure)
                asyncio.get_running_loop().call_later(rest, self._note, *due)
                rest = min(2 * rest, _LONGEST_REST)

    async def _tell(self, topics: Iterable[str], ring: ShardRing) -> GridError | None:
        """Tell shards what changed for these topics; the last failure."""
        changes: dict[str, tuple[list[str], list[str]]] = {}
        for topic in topics:
            wanted = set(ring.shards_of(topic)) if topic in self._topics else set()
            told = self._told.setdefault(topic, {})
            for shard in told.keys() - ring.members.keys():
                del told[shard]  # it has left, and forgotten all
            for shard in wanted:
                if told.get(shard) != self._topics[topic]:
                    changes.setdefault(shard, ([], []))[0].append(topic)
            for shard in told.keys() - wanted:
                changes.setdefault(shard, ([], []))[1].append(topic)
            if not told and topic not in self._topics:
                del self._told[topic]
        tries = [self._tell_shard(shard, *change) for shard, change in changes.items()]
        failures = [one for one in await asyncio.gather(*tries) if one is not None]
        return failures[-1] if failures else None

    async def _tell_shard(self, shard: str, add: list[str], remove: list[str]) -> GridError | None:
        for start in range(0, max(len(add), len(remove)), _AT_ONCE):
            some, others = add[start : start + _AT_ONCE], remove[start : start + _AT_ONCE]
            known = [
                TopicMethods(topic=topic, methods=self._topics[topic])
                for topic in some
                if topic in self._topics
            ]
            message = Enroll(member=self._member, server=self._server, add=known, remove=others)
            try:
                await self._bus.send(shard, message, _TELLING)
            except GridError as error:
                return error
            for one in known:
                self._told.setdefault(one.topic, {})[shard] = tuple(one.methods)
            for topic in others:
                told = self._told.get(topic, {})
                told.pop(shard, None)
                if not told and topic not in self._topics:
                    self._told.pop(topic, None)
        return None
