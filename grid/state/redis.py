"""A store in Redis, for which the extra `redis` is needed.

A state is a hash: its bytes beside its fence, which one script compares and writes. The fence also
holds the turn of the last write, because a write that was given up may reach the server late, over
a connection of its own: it must not undo a later one of the same owner.
"""

from __future__ import annotations

import asyncio
import itertools
import secrets
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from grid.errors import InvalidArgument, StateFenced, StoreUnavailable
from grid.numbers import check_seconds
from grid.state.store import NOT_OPEN, Store

try:
    from redis.asyncio import Redis
    from redis.asyncio.retry import Retry
    from redis.backoff import NoBackoff
    from redis.exceptions import RedisError
except ImportError as _error:
    raise ImportError("RedisStore needs redis: pip install 'actor-grid[redis]'") from _error

__all__ = ["RedisStore"]

_SCRIPT = """
local epoch, writer, turn, word = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local held = redis.call('HMGET', KEYS[1], 'epoch', 'writer', 'turn')
if held[1] and epoch < held[1] then return {0} end
local newer = held[1] ~= epoch
if word == 'load' then
    if newer then
        redis.call('HSET', KEYS[1], 'epoch', epoch, 'writer', writer, 'turn', '')
    end
elseif newer or held[2] ~= writer or held[3] < turn then
    redis.call('HSET', KEYS[1], 'epoch', epoch, 'writer', writer, 'turn', turn)
    if word == 'save' then
        redis.call('HSET', KEYS[1], 'data', ARGV[5])
    else
        redis.call('HDEL', KEYS[1], 'data')
    end
end
if word == 'load' then return {1, redis.call('HGET', KEYS[1], 'data')} end
return {1}
"""
_AGAIN = 1  # times that a call is made again over another connection, if its own is lost


class RedisStore(Store):
    """States in Redis; use it as a context manager.

    A state is as durable as the server makes a write: with `appendonly yes` and
    `appendfsync always` it is on its disk. Replicas get it later; where one takes over from a
    server that failed, the last saves and fences may be gone. `maxmemory-policy` must be
    `noeviction` or one of the `volatile-` ones.

    Args:
        redis: its URL, or a client of `redis.asyncio`, which is not closed with the store.
        prefix: before the keys of the states.
        timeout: seconds for a call.
    """

    def __init__(
        self,
        redis: str | Redis = "redis://127.0.0.1:6379",
        *,
        prefix: str = "grid:",
        timeout: float = 10.0,
    ) -> None:
        if isinstance(redis, Redis):
            if redis.connection_pool.connection_kwargs.get("decode_responses"):
                given = "a client with it"  # whose text may have a password
                raise InvalidArgument("redis", given, "a client without decode_responses")
        elif not isinstance(redis, str) or not redis.startswith(("redis://", "rediss://", "unix:")):
            raise InvalidArgument("redis", redis, "a URL redis://..., or a client of redis.asyncio")
        self._given = redis
        self._prefix = prefix
        self._timeout = check_seconds("timeout", timeout, zero=False)
        self._writer = secrets.token_hex(8)
        self._turns = itertools.count(1)
        self._redis: Any = None
        self._script: Any = None

    def __repr__(self) -> str:
        return f"<RedisStore {self._place()}>"

    async def __aenter__(self) -> Self:
        given = self._given
        if isinstance(given, str):
            again = Retry(NoBackoff(), _AGAIN)
            self._redis = Redis.from_url(given, socket_connect_timeout=self._timeout, retry=again)
        else:
            self._redis = given
        self._script = self._redis.register_script(_SCRIPT)
        try:
            await self._call(self._redis.ping())
        except BaseException:
            await self.__aexit__(None, None, None)
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        redis, self._redis = self._redis, None
        if redis is not None and redis is not self._given:
            await redis.aclose()

    async def load(self, key: str, epoch: int) -> bytes | None:
        """See `Store.load`."""
        found: bytes | None = await self._run("load", key, epoch, b"")
        return found

    async def save(self, key: str, epoch: int, data: bytes) -> None:
        """See `Store.save`."""
        await self._run("save", key, epoch, data)

    async def delete(self, key: str, epoch: int) -> None:
        """See `Store.delete`."""
        await self._run("delete", key, epoch, b"")

    async def _run(self, word: str, key: str, epoch: int, data: bytes) -> Any:
        if self._redis is None:
            raise StoreUnavailable(NOT_OPEN)
        # Texts of one length are in the order of the numbers; Lua's numbers have 53 bits.
        fence = [f"{epoch:020d}", self._writer, f"{next(self._turns):020d}"]
        call = self._script(keys=[self._prefix + key], args=[*fence, word, data])
        taken, *found = await self._call(call)
        if not taken:
            raise StateFenced(key, epoch)
        return found[0] if found else None

    async def _call(self, call: Any) -> Any:
        try:
            async with asyncio.timeout(self._timeout):
                return await call
        except TimeoutError as error:
            text = f"no answer within {self._timeout:g} s"
            raise StoreUnavailable(f"Redis, {self._place()}: {text}") from error
        except (RedisError, OSError) as error:
            raise StoreUnavailable(f"Redis, {self._place()}: {error}") from error

    def _place(self) -> str:
        # A URL may have a password.
        if not isinstance(self._given, str):
            return "the client that was given"
        parts = urlsplit(self._given)
        return parts.netloc.rpartition("@")[2] + parts.path
