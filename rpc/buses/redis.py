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
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeout

from rpc.buses.broker_errors import BrokerUnavailable
from rpc.buses.bus import DEFAULT_SIZE, BusClosed, Capabilities, Channel, Inflow
from rpc.buses.flows import Flows

__all__ = ["RedisBus"]

_log = logging.getLogger("rpc.services")

_LOCK = 5  # seconds for which the lock of a queue's message is kept
_MARK = b"\xc2\x3e\x08"  # the field 1000 of an envelope, with 8 bytes
_SUBSCRIBED = 5.0  # seconds for the server to confirm a subscription
_FIRST_REST = 0.1  # seconds after a connection was lost
_LONGEST_REST = 1.0


class RedisBus:
    """A bus of a Redis server; see `Bus`.

    Args:
        redis: its URL (`redis://127.0.0.1:6379`), or a client of `redis.asyncio`, which is
            not closed with the bus.
    """

    capabilities = Capabilities()

    def __init__(self, redis: str | Redis = "redis://127.0.0.1:6379") -> None:
        self._owns = isinstance(redis, str)
        self._redis: Any = Redis.from_url(redis) if isinstance(redis, str) else redis
        self._name = redis if isinstance(redis, str) else repr(redis)
        self._flows = Flows(self._unsubscribe)
        self._queues = Flows(self._unsubscribe)
        self._pubsub: Any = None
        self._reader: asyncio.Task[None] | None = None
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
        """
        self._check_open()
        try:
            await self._redis.publish(channel.name, data + _MARK + secrets.token_bytes(8))
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
        known = name in self._flows or name in self._queues
        flow = there.add(name, size)
        if queue and name not in self._workers:
            self._lines[name] = asyncio.Queue(max(size, DEFAULT_SIZE))
            self._workers[name] = asyncio.create_task(self._take_turns(name), name=f"queue {name}")
        try:
            if not known:
                self._confirmed[name] = asyncio.get_running_loop().create_future()
                await self._subscribe(name)
            confirmed = self._confirmed.get(name)
            if confirmed is not None:
                async with asyncio.timeout(_SUBSCRIBED):
                    await asyncio.shield(confirmed)
        except TimeoutError:
            await flow.close()
            raise BrokerUnavailable(self._name, "a subscription was not confirmed") from None
        except BaseException:
            await flow.close()
            raise
        return flow

    async def close(self) -> None:
        """See `Bus.close`."""
        if self._closed:
            return
        self._closed = True
        tasks = [task for task in (self._reader, *self._workers.values()) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._flows.close()
        await self._queues.close()
        for future in self._confirmed.values():
            future.cancel()
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
        if self._pubsub is None:
            self._pubsub = self._redis.pubsub()
        try:
            await self._pubsub.subscribe(name)
        except (RedisError, OSError) as error:
            raise BrokerUnavailable(self._name, str(error)) from error
        if self._reader is None:
            self._reader = asyncio.create_task(self._read(), name="Redis bus")

    async def _unsubscribe(self, name: str) -> None:
        if name not in self._queues and (worker := self._workers.pop(name, None)) is not None:
            worker.cancel()
            self._lines.pop(name, None)
        if self._closed or name in self._flows or name in self._queues:
            return
        confirmed = self._confirmed.pop(name, None)
        if confirmed is not None:
            confirmed.cancel()
        with contextlib.suppress(RedisError, OSError):
            await self._pubsub.unsubscribe(name)

    async def _read(self) -> None:
        rest = _FIRST_REST
        while True:
            try:
                # The next connection subscribes to all channels again.
                message = await self._pubsub.get_message(timeout=None)
                if message is not None:
                    rest = _FIRST_REST
                    self._take(message)
            except (RedisConnectionError, RedisTimeout, OSError) as error:
                _log.warning("Redis bus: %s; trying again", error)
                await asyncio.sleep(rest)
                rest = min(2 * rest, _LONGEST_REST)

    def _take(self, message: dict[str, Any]) -> None:
        name = message["channel"].decode()
        if message["type"] == "subscribe":
            confirmed = self._confirmed.get(name)
            if confirmed is not None and not confirmed.done():
                confirmed.set_result(None)
        elif message["type"] == "message":
            frame = message["data"]
            self._flows.put_all(name, _unmarked(frame))
            line = self._lines.get(name)
            if line is not None:
                try:
                    line.put_nowait(frame)
                except asyncio.QueueFull:
                    _log.warning("%s: a message is left to other processes", name)

    async def _take_turns(self, name: str) -> None:
        # One after the other, so that a channel's order stays; channels do not wait for each other.
        line = self._lines[name]
        while True:
            frame = await line.get()
            digest = base64.b64encode(hashlib.sha256(frame).digest()).decode()
            try:
                won = await self._redis.set(digest, secrets.randbits(63), ex=_LOCK, nx=True)
            except (RedisError, OSError) as error:
                _log.warning("%s: a message of a queue was lost: %s", name, error)
                continue
            if won:
                self._queues.put_one(name, _unmarked(frame))


def _unmarked(frame: bytes) -> bytes:
    return frame[:-11] if frame[-11:-8] == _MARK else frame
