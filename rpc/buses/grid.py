"""The bus that needs no broker: members in etcd, messages over the sessions of the grid.

A server of a service is a mailbox on a peer; it is registered, under the lease of the peer,
for each topic that it serves. Clients watch the services that they use and ask a server
directly. A publisher is a mailbox, too, to which subscribers open streams; see `rpc.buses.feeds`.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterable, Mapping
from contextlib import AsyncExitStack
from typing import Any, Protocol, runtime_checkable

from google.protobuf.message import Message

from grid.aio import Opening
from grid.client.client import Client
from grid.client.retry import Retry
from grid.errors import InvalidArgument
from grid.mailbox.mailbox import Mailbox
from grid.stream import Stream
from rpc.buses.bus import DEFAULT_SIZE, BusClosed, Capabilities, Channel, Inflow
from rpc.buses.directory import ServiceDirectory
from rpc.buses.enrolment import Enrolment
from rpc.buses.feeds import Follower
from rpc.buses.members import PUBLISHER, SHARD, MemberTable, member_path
from rpc.buses.openings import Openings
from rpc.buses.publisher import Publisher
from rpc.buses.shard import Shard
from rpc.buses.topic_view import TopicView

__all__ = ["GridBus"]


@runtime_checkable
class Host(Protocol):
    """A `grid.Server` or an `ActorContext`: it opens mailboxes, and has a client."""

    @property
    def client(self) -> Client:
        """A client of the same grid."""

    def open_mailbox(
        self,
        name: str,
        *,
        size: int = ...,
        type: str = ...,  # noqa: A002
        groups: Mapping[str, Iterable[str]] | None = ...,
    ) -> Opening[Mailbox]:
        """Open a mailbox under a name and under paths."""


class GridBus:
    """A bus of a grid; see `Bus`.

    It has sessions with peers of its own, so close it, or let `async with` of the service
    that it was made for do so.

    Args:
        host: a `grid.Client`, which can call and subscribe; or a started `grid.Server` or an
            `ActorContext`, which can serve and publish as well. It must outlive the bus.
        sessions_per_peer: see `grid.Client`.

    Raises:
        InvalidArgument: the host is none of these.
    """

    capabilities = Capabilities(direct=True, shards=True, counts=True)

    def __init__(
        self, host: Client | Host, *, sessions_per_peer: int = 1, compression: str | None = None
    ) -> None:
        if not isinstance(host, Client) and not hasattr(host, "open_mailbox"):
            raise InvalidArgument("host", host, "a grid.Client, grid.Server or ActorContext")
        self._host = None if isinstance(host, Client) else host
        self._source = host
        self._options: dict[str, Any] = {
            "sessions_per_peer": sessions_per_peer,
            "compression": compression,
            # What is not delivered goes to the next member at once.
            "retry": Retry(attempts=1),
        }
        self._client: Client | None = None
        self._directories: dict[str, ServiceDirectory] = {}
        self._publishers: Openings[str, Publisher] = Openings("grid bus")
        self._followers: dict[str, Follower] = {}
        self._shards: Openings[str, Shard] = Openings("grid bus")
        self._views: dict[str, TopicView] = {}
        self._closed = False

    def __repr__(self) -> str:
        return f"<GridBus of {self._source!r}>"

    # -- messages --------------------------------------------------------------

    async def publish(self, channel: Channel, data: bytes) -> int:
        """See `Bus.publish`. It waits while a subscriber's process is behind.

        Raises:
            InvalidArgument: the bus was made of a client, which cannot publish.
        """
        publisher = self._publishers.opened(channel.scope)
        if publisher is None:
            publisher = await self._announced(channel.scope)
        return await publisher.publish(channel.name, data)

    async def subscribe(
        self, channel: Channel, *, queue: bool = False, size: int = DEFAULT_SIZE
    ) -> Inflow:
        """See `Bus.subscribe`. All publishers that are there now know of it when it returns.

        Messages of a publisher that joins later arrive from about a round trip after it.
        """
        self._check_open()
        follower = self._followers.get(channel.scope)
        if follower is None:
            follower = self._followers[channel.scope] = Follower(self, channel.scope)
        return await follower.subscribe(channel.name, queue=queue, size=size)

    async def announce(self, scope: str) -> None:
        """See `DirectBus.announce`."""
        await self._announced(scope)

    async def close(self) -> None:
        """See `Bus.close`."""
        if self._closed:
            return
        self._closed = True
        publishers, shards = await self._publishers.close(), await self._shards.close()
        parts: list[Follower | TopicView | Publisher | Shard] = [*self._followers.values()]
        parts += [*self._views.values(), *publishers, *shards]
        async with AsyncExitStack() as closing:  # all, also if one fails; the last one first
            if self._client is not None:
                closing.push_async_callback(self._client.close)
            for part in (*self._directories.values(), *reversed(parts)):
                closing.push_async_callback(part.close)

    # -- members ---------------------------------------------------------------

    async def open_inbox(
        self, name: str, groups: Mapping[str, Iterable[str]], *, size: int
    ) -> Mailbox:
        """See `DirectBus.open_inbox`."""
        self._check_open()
        if self._host is None:
            raise InvalidArgument(
                "the bus of a server", self._source, "one of a grid.Server or an ActorContext"
            )
        return await self._host.open_mailbox(name, size=size, type="service", groups=groups)

    async def members(self, service: str, *, fresh: bool = False) -> MemberTable:
        """See `DirectBus.members`."""
        self._check_open()
        directory = self._directories.get(service)
        if directory is None:
            client = self._clients()
            directory = ServiceDirectory(client.etcd, client.namespace, service)
            self._directories[service] = directory
        return await directory.load(fresh=fresh)

    async def enrolment(self, service: str, member: str, server: str) -> Enrolment:
        """See `DirectBus.enrolment`. This process keeps a shard of the topics from then on."""
        await self._shards.get(service, lambda: self._shard(service))
        made = Enrolment(self, service, member, server)
        await made.start()
        return made

    def topics(self, service: str) -> TopicView | None:
        """See `DirectBus.topics`."""
        self._check_open()
        view = self._views.get(service)
        if view is None:
            directory = self._directories.get(service)
            if directory is None or not directory.table.of_role(SHARD):
                return None
            view = self._views[service] = TopicView(self, service, directory.table)
        return view

    def send(self, member: str, message: Message, timeout: float) -> asyncio.Future[Message]:
        """See `DirectBus.send`."""
        return (self._client or self._clients()).send(member, message, timeout=timeout)

    def open_stream(self, member: str, message: Message, timeout: float) -> Opening[Stream]:
        """See `DirectBus.open_stream`."""
        return self._clients().stream(member, message, timeout=timeout)

    # -- inside ----------------------------------------------------------------

    def _check_open(self) -> None:
        if self._closed:
            raise BusClosed("grid bus")

    def _clients(self) -> Client:
        self._check_open()
        if self._client is None:
            source = self._source if self._host is None else self._host.client
            assert isinstance(source, Client)  # noqa: S101 - checked by the constructor
            self._client = Client(
                source.namespace,
                etcd=source.etcd,
                max_message_bytes=source.max_message_bytes,
                tls=source.tls,
                **self._options,
            )
        return self._client

    async def _announced(self, scope: str) -> Publisher:
        return await self._publishers.get(scope, lambda: self._publisher(scope))

    async def _publisher(self, scope: str) -> Publisher:
        name = f"pub-{secrets.token_hex(8)}"
        path = member_path(scope, PUBLISHER, (), name)
        publisher = Publisher(lambda: self.open_inbox(name, {path: ()}, size=10_000))
        await publisher.start()
        return publisher

    async def _shard(self, service: str) -> Shard:
        name = f"shard-{secrets.token_hex(8)}"
        path = member_path(service, SHARD, (), name)
        shard = Shard(
            lambda: self.open_inbox(name, {path: ()}, size=10_000),
            lambda fresh: self.members(service, fresh=fresh),
        )
        await shard.start()
        return shard
