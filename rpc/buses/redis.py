"""The bus of a Redis server, for which the extra `redis` is needed.

Services on it speak the protocol of psrpc, so that Go programs join. A message of a queue
comes to every process, and the one that sets a key gets it. The key is made of the frame, so each
frame that is published here has a random field at its end: equal messages stay different
messages. Readers that do not know the field ignore it.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import logging
import secrets
from collections.abc import Awaitable, Callable
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from grid.errors import InvalidArgument, MessageTooLarge
from grid.numbers import check_count
from rpc.buses.bus import DEFAULT_SIZE, BusClosed, Capabilities, Channel, Inflow
from rpc.buses.errors import BrokerUnavailable, without_password
from rpc.buses.flows import Flows
from rpc.buses.openings import Openings
from rpc.buses.redis_commands import Commands

__all__ = ["RedisBus"]

_log = logging.getLogger("rpc.services")

# Bytes of a message. More than 8 MB may wait at the server for a minute, more than 32 MB not at
# all: then Redis disconnects the subscriber. Some messages of this size at once have room.
_LARGEST = 8 * 1024 * 1024
_LOCK = 5  # seconds for which the lock of a queue's message is kept
_MARK = b"\xc2\x3e\x08"  # the field 1000 of an envelope, with 8 bytes
_AT_ONCE = 64  # messages of a queue whose locks are asked for together
_SUBSCRIBED = 5.0  # seconds for the server to confirm a subscription
_FIRST_REST = 0.1  # seconds after a connection was lost
_LONGEST_REST = 1.0


class RedisBus:
    """A bus of a Redis server; see `Bus`.

    Args:
        redis: its URL (`redis://127.0.0.1:6379`), or a client of `redis.asyncio`, which is
            not closed with the bus.
        max_message_bytes: the largest message. Redis disconnects a subscriber for which 32 MB
            wait, with all that is for it, unless its `client-output-buffer-limit pubsub` is raised:
            raise both together.

    Raises:
        InvalidArgument: the client decodes what it reads, where messages are bytes; or the
            limit is no number of bytes.
    """

    capabilities = Capabilities()

    def __init__(
        self, redis: str | Redis = "redis://127.0.0.1:6379", *, max_message_bytes: int = _LARGEST
    ) -> None:
        self._limit = check_count("max_message_bytes", max_message_bytes)
        self._owns = isinstance(redis, str)
        self._redis: Any = _client(redis) if isinstance(redis, str) else redis
        self._name = without_password(redis) if isinstance(redis, str) else repr(redis)
        if self._redis.connection_pool.connection_kwargs.get("decode_responses"):
            raise InvalidArgument("redis", self._name, "a client without decode_responses")
        self._commands = Commands(self._redis)
        self._flows = Flows(self._unsubscribe)
        self._queues = Flows(self._unsubscribe)
        self._pubsub: Any = None
        self._commanding = asyncio.Lock()  # held by who gives a command to the pubsub
        self._reader: asyncio.Task[None] | None = None
        self._subscribed: Openings[str, None] = Openings("Redis bus")
        self._confirmed: dict[str, asyncio.Future[None]] = {}
        self._lines: dict[str, asyncio.Queue[bytes]] = {}
        self._workers: dict[str, asyncio.Task[None]] = {}
        self._closed = False

    def __repr__(self) -> str:
        return f"<RedisBus {self._name}>"

    async def publish(self, channel: Channel, data: bytes) -> None:
        """See `Bus.publish`. It returns when the server has the message.

        Raises:
            BrokerUnavailable: the server is not there; the message may have been sent.
            MessageTooLarge: the message is over `max_message_bytes`; nothing was sent.
        """
        self._check_open()
        if len(data) > self._limit:
            raise MessageTooLarge(len(data), self._limit)
        try:
            marked = data + _MARK + secrets.token_bytes(8)
            await self._commands.execute("PUBLISH", channel.name, marked)
        except (RedisError, OSError) as error:
            raise BrokerUnavailable(self._name, str(error)) from error

    async def subscribe(
        self, channel: Channel, *, queue: bool = False, size: int = DEFAULT_SIZE
    ) -> Inflow:
        """See `Bus.subscribe`.

        Raises:
            BrokerUnavailable: the server is not there, or does not confirm it.
        """
        self._check_open()
        name = channel.name
        there = self._queues if queue else self._flows
        flow = there.add(name, size)
        if queue and name not in self._workers:
            self._lines[name] = asyncio.Queue(max(size, DEFAULT_SIZE))
            self._workers[name] = asyncio.create_task(self._take_turns(name), name=f"queue {name}")
        try:
            await self._subscribed.get(name, lambda: self._subscribe(name))
        except BaseException:
            await flow.close()
            raise
        return flow

    async def close(self) -> None:
        """See `Bus.close`."""
        if self._closed:
            return
        self._closed = True
        await self._subscribed.close()
        tasks = [task for task in (self._reader, *self._workers.values()) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._commands.close()
        await self._flows.close()
        await self._queues.close()
        if self._pubsub is not None:
            with contextlib.suppress(RedisError, OSError):
                await self._pubsub.aclose()
        if self._owns:
            with contextlib.suppress(RedisError, OSError):
                await self._redis.aclose()

    # -- inside ----------------------------------------------------------------

    def _check_open(self) -> None:
        if self._closed:
            raise BusClosed("Redis bus")

    async def _subscribe(self, name: str) -> None:
        """Subscribe to a channel; the server has confirmed it when this returns."""
        if self._pubsub is None:
            self._pubsub = self._redis.pubsub()
        confirmed = self._confirmed[name] = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(_SUBSCRIBED):
                await self._command(self._pubsub.subscribe, name)
                if self._reader is None:
                    self._reader = asyncio.create_task(self._read(), name="Redis bus")
                await confirmed
        except BrokerUnavailable:
            raise
        except Exception as error:  # also others of the library, when a connection breaks under it
            reason = str(error) or "a subscription was not confirmed"
            raise BrokerUnavailable(self._name, reason) from error
        finally:
            if self._confirmed.get(name) is confirmed:
                del self._confirmed[name]

    async def _command(self, give: Callable[[str], Awaitable[None]], name: str) -> None:
        # A pubsub connects by itself. Two who make it do so at once have a connection each, and one
        # of them waits at the wrong one: so one gives the first command, and after that the
        # reader alone connects it again, and subscribes it to all channels.
        async with self._commanding:
            connection = self._pubsub.connection
            if self._reader is not None and not (connection and connection.is_connected):
                raise BrokerUnavailable(self._name, "the connection was lost, and is made again")
            await give(name)

    async def _unsubscribe(self, name: str) -> None:
        if name not in self._queues and (worker := self._workers.pop(name, None)) is not None:
            worker.cancel()
            self._lines.pop(name, None)
        if self._closed or name in self._flows or name in self._queues:
            return
        await self._subscribed.drop(name)
        if self._pubsub is None or name in self._flows or name in self._queues:
            return  # it was subscribed again meanwhile
        with contextlib.suppress(RedisError, OSError, BrokerUnavailable):
            await self._command(self._pubsub.unsubscribe, name)

    async def _read(self) -> None:
        rest = _FIRST_REST
        while True:
            try:
                # The next connection subscribes to all channels again.
                message = await self._pubsub.get_message(timeout=None)
                if message is not None:
                    rest = _FIRST_REST
                    unwanted = self._take(message)
                    if unwanted is not None:
                        await self._command(self._pubsub.unsubscribe, unwanted)
            except Exception as error:  # noqa: BLE001 - without a reader all subscriptions would stop
                _log.warning("Redis bus: %r; trying again", error)
                await asyncio.sleep(rest)
                rest = min(2 * rest, _LONGEST_REST)

    def _take(self, message: dict[str, Any]) -> str | None:
        # The channel, if it has no subscription now: its subscriber left while the server was away.
        name: str = message["channel"].decode()
        if message["type"] == "subscribe":
            confirmed = self._confirmed.get(name)
            if confirmed is not None and not confirmed.done():
                confirmed.set_result(None)
            if name not in self._flows and name not in self._queues:
                return name
        elif message["type"] == "message":
            frame = message["data"]
            self._flows.put_all(name, _unmarked(frame))
            line = self._lines.get(name)
            if line is not None:
                try:
                    line.put_nowait(frame)
                except asyncio.QueueFull:
                    _log.warning("%s: a message is left to other processes", name)
        return None

    async def _take_turns(self, name: str) -> None:
        # In the order of arrival, so that a channel's order stays; channels do not wait for others.
        line = self._lines[name]
        while True:
            frames = [await line.get()]
            while len(frames) < _AT_ONCE and not line.empty():
                frames.append(line.get_nowait())
            for frame, locking in [(frame, self._lock(frame)) for frame in frames]:
                try:
                    won = await locking
                except Exception as error:  # noqa: BLE001 - the messages after it are not lost with it
                    _log.warning("%s: a message of a queue was lost: %r", name, error)
                    continue
                if won:
                    self._queues.put_one(name, _unmarked(frame))

    def _lock(self, frame: bytes) -> asyncio.Future[Any]:
        digest = base64.b64encode(hashlib.sha256(frame).digest()).decode()
        return self._commands.execute("SET", digest, secrets.randbits(63), "EX", _LOCK, "NX")


def _client(url: str) -> Redis:
    # Its own tries would hold up calls beyond their time, and the reader when the server is back.
    return Redis.from_url(url, retry=Retry(NoBackoff(), 0))


def _unmarked(frame: bytes) -> bytes:
    return frame[:-11] if frame[-11:-8] == _MARK else frame
