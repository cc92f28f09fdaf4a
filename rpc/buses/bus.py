"""The contract of a bus: channels, publishing, subscribing.

    class MyBus:
        capabilities = Capabilities()

        async def publish(self, channel: Channel, data: bytes) -> int | None: ...
        async def subscribe(self, channel, *, queue=False, size=1000) -> Subscription: ...
        async def close(self) -> None: ...

A bus carries bytes at most once. `rpc.buses.conformance` has the tests that a bus has to pass.
A bus whose servers are known and can be asked one by one is a `DirectBus`: services use that
and need no claims.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol, Self, runtime_checkable

from google.protobuf.message import Message

from grid.aio import Opening
from grid.errors import GridError
from grid.mailbox.mailbox import Mailbox
from grid.stream import Stream
from rpc.buses.enrolment import Enrolment
from rpc.buses.errors import BusClosed, Overflow
from rpc.buses.members import MemberTable
from rpc.buses.topic_view import TopicView

__all__ = [
    "DEFAULT_SIZE",
    "Bus",
    "BusClosed",
    "Capabilities",
    "Channel",
    "DirectBus",
    "Inflow",
    "Overflow",
    "Subscription",
]

DEFAULT_SIZE = 1000  # messages that a subscription holds unread


@dataclass(frozen=True, slots=True)
class Capabilities:
    """The properties of a bus beyond carrying bytes.

    Attributes:
        direct: servers are known, and can be asked one by one (`DirectBus`).
        shards: topics can be kept by shards in memory, where a directory would have to be written.
        counts: `publish` says how many subscribers it has reached.
        ordered: messages of one publisher on one channel arrive in their order.
        durable: messages outlive their publisher and wait for subscribers.
        equal_payloads: equal messages of a queue are different messages, whoever sends them.
    """

    direct: bool = False
    shards: bool = False
    counts: bool = False
    ordered: bool = True
    durable: bool = False
    equal_payloads: bool = True


@dataclass(frozen=True, slots=True)
class Channel:
    """A channel of a bus.

    Attributes:
        name: its name, unique on the bus.
        scope: the service that it belongs to; publishers and subscribers meet there.
        subject: the subject on a bus that has few of them (NATS); "" for one of its own.
        route: the route within a subject that several channels share.
    """

    name: str
    scope: str = ""
    subject: str = ""
    route: str = ""


class Subscription(Protocol):
    """Messages of a channel, in their order: iterate, and close it."""

    def __aiter__(self) -> Self:
        """Iterate over the messages until the subscription or the bus is closed."""

    async def __anext__(self) -> bytes:
        """The next message.

        Raises:
            Overflow: messages were lost because this was not read fast enough.
        """

    async def close(self) -> None:
        """End the subscription; its iteration ends. Idempotent."""


@runtime_checkable
class Bus(Protocol):
    """Carries bytes from publishers to subscribers."""

    @property
    def capabilities(self) -> Capabilities:
        """The properties of the bus."""

    async def publish(self, channel: Channel, data: bytes) -> int | None:
        """Send a message to a channel: to all its subscribers, and to one of its queue.

        Returns:
            The number of subscribers that it went to, None if the bus does not know.

        Raises:
            GridError: the bus is not there, or closed.
        """

    async def subscribe(
        self, channel: Channel, *, queue: bool = False, size: int = DEFAULT_SIZE
    ) -> Subscription:
        """Subscribe; messages that are published after it returns arrive.

        Args:
            channel: the channel.
            queue: each message goes to one of the subscribers that say so.
            size: messages that may be unread; more end the subscription with `Overflow`.

        Raises:
            GridError: the bus is not there, or closed.
        """

    async def close(self) -> None:
        """End all subscriptions and let go of connections. Idempotent."""


class DirectBus(Bus, Protocol):
    """A bus whose servers are registered in a directory and can be asked one by one."""

    async def open_inbox(
        self, name: str, groups: Mapping[str, Iterable[str]], *, size: int
    ) -> Mailbox:
        """A mailbox that is registered under paths of the directory; all or nothing.

        Closing it takes the paths away.

        Raises:
            AlreadyRegistered: an exclusive path has an owner.
            GridError: it cannot be registered now.
        """

    async def members(self, service: str, *, fresh: bool = False) -> MemberTable:
        """The members of a service, kept up to date; read again now if `fresh`.

        Raises:
            GridError: the directory cannot be read, and there is no view yet.
        """

    def send(self, member: str, message: Message, timeout: float) -> asyncio.Future[Message]:
        """Ask a member; the future resolves once, cancelling it tells the member."""

    def open_stream(self, member: str, message: Message, timeout: float) -> Opening[Stream]:
        """Open a stream to a member."""

    async def enrolment(self, service: str, member: str, server: str) -> Enrolment | None:
        """The way to register topics of a mailbox with shards; None where paths cost nothing."""

    def topics(self, service: str) -> TopicView | None:
        """The view of topics that shards keep; None where there are none.

        Raises:
            GridError: the bus is closed.
        """

    async def announce(self, scope: str) -> None:
        """Let subscribers of a scope find this publisher; messages reach them from then on."""


class Inflow:
    """A bounded queue of messages: the `Subscription` of buses that have nothing better.

    Args:
        channel: its name, for errors.
        size: messages that may be unread.
        release: called once when it is closed.
    """

    def __init__(
        self,
        channel: str,
        size: int = DEFAULT_SIZE,
        release: Callable[[Inflow], Awaitable[None]] | None = None,
    ) -> None:
        self.channel = channel
        self._size = size
        self._release = release
        self._items: deque[bytes] = deque()
        self._reader: asyncio.Future[None] | None = None
        self._closed = False
        self._error: GridError | None = None

    def __repr__(self) -> str:
        return f"<Inflow {self.channel!r} {len(self._items)}/{self._size}>"

    @property
    def open(self) -> bool:
        """True while messages are taken."""
        return not self._closed and self._error is None

    def put(self, data: bytes) -> bool:
        """Take a message in; False if it is lost."""
        if not self.open:
            return False
        if len(self._items) >= self._size:
            self.fail(Overflow(self.channel, self._size))
            return False
        self._items.append(data)
        self._wake()
        return True

    def fail(self, error: GridError) -> None:
        """Take nothing more; the iteration raises after what is here."""
        if self.open:
            self._error = error
            self._wake()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        """The next message; see `Subscription`."""
        while not self._items:
            if self._error is not None:
                raise self._error
            if self._closed:
                raise StopAsyncIteration
            if self._reader is not None and not self._reader.done():
                raise RuntimeError("a subscription is read by one task at a time")
            self._reader = asyncio.get_running_loop().create_future()
            try:
                await self._reader
            finally:
                self._reader = None
        return self._items.popleft()

    async def close(self) -> None:
        """See `Subscription`."""
        if self._closed:
            return
        self._closed = True
        self._items.clear()
        self._wake()
        if self._release is not None:
            await self._release(self)

    def _wake(self) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)
