"""Commands of one process to a Redis server, many in one write: for the bus of Redis.

What is asked for while a batch is under way goes out with the next one, so a lone command does
not wait, many share a round trip, and one connection carries them all in their order.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any

from rpc.buses.bus import BusClosed

__all__ = ["Commands"]

_AT_ONCE = 256  # commands of a batch


class Commands:
    """Sends commands to a server in batches.

    Args:
        redis: a client of `redis.asyncio`.
    """

    def __init__(self, redis: Any) -> None:
        self._redis = redis
        self._waiting: deque[tuple[tuple[Any, ...], asyncio.Future[Any]]] = deque()
        self._wanted = asyncio.Event()
        self._sender: asyncio.Task[None] | None = None
        self._closed = False

    def execute(self, *words: Any) -> asyncio.Future[Any]:
        """Send a command; the future has its answer, or the error of the client.

        That is a `RedisError` or an `OSError` as a rule, and `BusClosed` after `close`.
        """
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        if self._closed:
            _settle(answer, BusClosed("Redis bus"))
            return answer
        if self._sender is None:
            self._sender = asyncio.create_task(self._send(), name="Redis commands")
        self._waiting.append((words, answer))
        self._wanted.set()
        return answer

    async def close(self) -> None:
        """Fail what waits for an answer with `BusClosed`."""
        self._closed = True
        if self._sender is not None:
            self._sender.cancel()
            await asyncio.wait([self._sender])
        while self._waiting:
            _settle(self._waiting.popleft()[1], BusClosed("Redis bus"))

    async def _send(self) -> None:
        while True:
            await self._wanted.wait()
            count = min(len(self._waiting), _AT_ONCE)
            batch = [self._waiting.popleft() for _ in range(count)]
            if not self._waiting:
                self._wanted.clear()
            try:
                pipeline = self._redis.pipeline(transaction=False)
                for words, _ in batch:
                    pipeline.execute_command(*words)
                results = await pipeline.execute(raise_on_error=False)
            except asyncio.CancelledError:
                for _, answer in batch:
                    _settle(answer, BusClosed("Redis bus"))
                raise
            except Exception as error:  # noqa: BLE001 - theirs, whatever it is; the next batch goes on
                results = [error] * len(batch)
            for (_, answer), result in zip(batch, results, strict=True):
                _settle(answer, result)


def _settle(answer: asyncio.Future[Any], result: Any) -> None:
    if answer.done():
        return
    if isinstance(result, Exception):
        answer.set_exception(result)
        answer.exception()  # read, or it would be logged if its caller has left
    else:
        answer.set_result(result)
