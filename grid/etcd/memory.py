"""A registry in memory for unit tests: what the grid uses of etcd, in one process.

It stands below the session with etcd, in the place of gRPC's channel. Leases, watches, claims and
all else above are the same code as with a real etcd.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from dataclasses import dataclass, field
from typing import Any, Self

from grid.deadline import now
from grid.etcd import api_pb2
from grid.etcd._config import EtcdConfig
from grid.etcd._failures import CallFailed
from grid.etcd._memory_keys import MemoryKeys

__all__ = ["MemoryRegistry"]

_AWAY = "the registry is away"


@dataclass(frozen=True, eq=False)
class MemoryRegistry(EtcdConfig):
    """A registry in memory; give one object to all servers and clients as `etcd=registry`.

    Names, epochs, leases, watches and transactions are those of etcd. It lasts as long as its
    object, and serves all event loops and threads of its process.

    Attributes:
        endpoint: the registry itself, so that it takes the place of a `grid.embedded.Etcd`.
    """

    endpoints: tuple[str, ...] = ("memory:1",)
    _shared: _Shared = field(init=False, repr=False, default_factory=lambda: _Shared())

    @property
    def endpoint(self) -> Self:
        """The registry itself."""
        return self

    def leave(self) -> None:
        """Be away, as an etcd that was stopped; calls and streams fail until `come_back`."""
        self._shared.leave()

    def come_back(self) -> None:
        """Serve again, with the same data. All leases have their whole time again."""
        self._shared.come_back()

    def expire(self) -> int:
        """End the leases that no peer keeps alive any more, at once; returns their number.

        What was killed is gone then without a wait for the rest of its lease.
        """
        return self._shared.expire_unkept()

    def _connect(self, endpoint: str) -> Any:
        return _Channel(endpoint, self._shared)


class _Shared:
    """The data, and the streams of all channels; calls may come from several threads."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.keys = MemoryKeys()
        self.keys.on_events = self._tell
        self.away = False
        self.streams: set[_Stream] = set()
        self.granted: dict[int, _Channel] = {}  # leases, and who asked for them
        self.pinged: set[int] = set()

    def call(self, channel: _Channel, method: str, request: Any) -> Any:
        with self.lock:
            if self.away:
                raise CallFailed("UNAVAILABLE", _AWAY)
            answer = self.keys.call(method, request, now())
            if isinstance(answer, api_pb2.LeaseGrantResponse):
                self.granted[answer.ID] = channel
            return answer

    def leave(self) -> None:
        with self.lock:
            self.away = True
            for stream in list(self.streams):
                stream.fail()

    def come_back(self) -> None:
        with self.lock:
            self.away = False
            self.keys.begin_leases_again(now())

    def expire_unkept(self) -> int:
        with self.lock:
            if self.away:
                return 0  # as an etcd that was stopped
            kept = {one for stream in self.streams for one in stream.kept}
            # The first ping of a lease comes a while after it was granted.
            young = {one for one, channel in self.granted.items() if not channel.closed}
            kept |= young - self.pinged
            ended = [one for one in self.keys.leases() if one not in kept]
            for lease in ended:
                self.keys.end_lease(lease)
            return len(ended)

    def _tell(self, events: list[Any]) -> None:
        for stream in list(self.streams):
            stream.tell(events)


class _Channel:
    """A channel of the registry, in the place of `EtcdChannel`."""

    def __init__(self, endpoint: str, shared: _Shared) -> None:
        self.endpoint = endpoint
        self.closed = False
        self._shared = shared
        self._streams: set[_Stream] = set()

    async def unary(self, method: str, request: Any, timeout: float, metadata: Any) -> Any:
        await asyncio.sleep(0)  # others have their turn, as with each real call
        if self.closed:
            raise CallFailed("CANCELLED", "the connection was closed")
        return self._shared.call(self, method, request)

    def stream(self, method: str, metadata: Any) -> _Stream:
        made = _Stream(self, metadata, self._shared)
        self._streams.add(made)
        return made

    async def forget(self, stream: _Stream) -> None:
        self._streams.discard(stream)

    async def retire(self) -> None:
        await self.close()

    async def close(self) -> None:
        self.closed = True
        for stream in list(self._streams):
            stream.fail()


class _Stream:
    """A stream of a channel: the pings of leases, or the events of one watch."""

    def __init__(self, channel: _Channel, metadata: Any, shared: _Shared) -> None:
        self.channel = channel
        self.metadata = metadata
        self.kept: set[int] = set()
        self._shared = shared
        self._loop = asyncio.get_running_loop()
        self._woken = asyncio.Event()
        self._answers: deque[Any] = deque()
        self._watched: Any = None
        self._failed = shared.away
        with shared.lock:
            shared.streams.add(self)

    async def send(self, message: Any) -> None:
        await asyncio.sleep(0)
        with self._shared.lock:
            if self._failed:
                raise self._failure()
            if isinstance(message, api_pb2.LeaseKeepAliveRequest):
                self.kept.add(message.ID)
                self._shared.pinged.add(message.ID)
                self._put(self._shared.keys.keep_alive(message.ID, now()))
            elif message.HasField("create_request"):
                self._watch(message.create_request)

    def _watch(self, request: Any) -> None:
        keys = self._shared.keys
        created = api_pb2.WatchResponse(header=keys.header(), created=True)
        start = request.start_revision or keys.revision + 1
        missed = keys.since(start)
        if missed is None:
            created.canceled, created.compact_revision = True, start
            self._put(created)
            return
        self._put(created)
        self._watched = request
        self.tell(missed)

    def tell(self, events: list[Any]) -> None:
        """Pass on events, of any thread."""
        request = self._watched
        if request is None:
            return
        wanted = [
            one
            for one in events
            if one.kv.mod_revision >= request.start_revision
            and one.kv.key >= request.key
            and _before_end(one.kv.key, request)
        ]
        if wanted:
            header = self._shared.keys.header()
            self._put(api_pb2.WatchResponse(header=header, events=wanted))

    def _put(self, answer: Any) -> None:
        self._answers.append(answer)
        self._wake()

    def _wake(self) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._woken.set)

    async def receive(self) -> Any:
        await asyncio.sleep(0)
        while True:
            with self._shared.lock:
                if self._failed:
                    raise self._failure()
                if self._answers:
                    return self._answers.popleft()
                self._woken.clear()
                next_end = self._shared.keys.next_end()
            try:
                # Watches end the leases whose time is over: they are who wants to know.
                async with asyncio.timeout(None if next_end is None else next_end - now()):
                    await self._woken.wait()
            except TimeoutError:
                with self._shared.lock:
                    if not self._shared.away:
                        self._shared.keys.expire(now())

    def _failure(self) -> CallFailed:
        return CallFailed("UNAVAILABLE", _AWAY if self._shared.away else "the stream was closed")

    def fail(self) -> None:
        """Make sends and receives fail, of any thread."""
        self._failed = True
        self.kept.clear()
        self._wake()

    async def close(self) -> None:
        with self._shared.lock:
            self._shared.streams.discard(self)
        self.fail()
        await self.channel.forget(self)


def _before_end(key: bytes, request: Any) -> bool:
    end = request.range_end
    return bool(key == request.key) if not end else bool(end == b"\0" or key < end)
