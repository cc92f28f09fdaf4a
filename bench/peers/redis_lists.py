"""Redis: a list of requests and a list of answers, both sides in batches of our own.

Redis has no requests. What a user would build with redis-py is this: callers
push numbered requests, as many as have gathered, with one LPUSH; the server takes
all there are with BRPOP and RPOP, and sends the answers and the next BRPOP in
one pipeline.
"""

from __future__ import annotations

import asyncio
import importlib
from collections import deque
from functools import partial
from itertools import count
from typing import Any

from bench.brokers import broker
from bench.peers import PAYLOAD
from bench.running import closed_loop
from bench.talk import Orders, drive_on_order, say, until_closed

__all__ = ["drive", "serve"]

_REQUESTS, _ANSWERS = "requests", "answers"
_NUMBER = 8
_AT_ONCE = 1024


async def serve(_: dict[str, Any], orders: Orders) -> None:
    """A role: the broker and a server of its list."""
    async with broker("redis") as port:
        if port is None:
            raise FileNotFoundError("redis-server")
        redis = _connect(port)
        serving = asyncio.create_task(_echo(redis))
        say(port=port)
        await until_closed(orders)
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)
        await redis.aclose()


async def drive(given: dict[str, Any], orders: Orders) -> None:
    """A role: the callers."""
    caller = _Caller(_connect(given["port"]))
    await drive_on_order(partial(closed_loop, partial(caller.call, PAYLOAD)), orders)
    await caller.close()


def _connect(port: int) -> Any:
    return importlib.import_module("redis.asyncio").Redis(host="127.0.0.1", port=port)


async def _echo(redis: Any) -> None:
    answers: list[bytes] = []
    while True:
        pipeline = redis.pipeline(transaction=False)
        if answers:
            pipeline.lpush(_ANSWERS, *answers)
        answers = [bytes(bytearray(one)) for one in await _taken(pipeline, _REQUESTS)]


async def _taken(pipeline: Any, name: str) -> list[bytes]:
    """Wait for the list's first value, and take the others that are there."""
    pipeline.brpop(name, timeout=0)
    pipeline.rpop(name, count=_AT_ONCE)
    *_, first, others = await pipeline.execute()
    return [first[1], *(others or ())]


class _Caller:
    """Sends what has gathered when the previous push is done."""

    def __init__(self, redis: Any) -> None:
        self._redis = redis
        self._waiting: dict[int, asyncio.Future[bytes]] = {}
        self._out: deque[bytes] = deque()
        self._filled = asyncio.Event()
        self._numbers = count(1)
        self._tasks = [asyncio.create_task(self._write()), asyncio.create_task(self._read())]

    def call(self, payload: bytes) -> asyncio.Future[bytes]:
        """The answer, when it comes."""
        number = next(self._numbers)
        answer = self._waiting[number] = asyncio.get_running_loop().create_future()
        self._out.append(number.to_bytes(_NUMBER, "big") + payload)
        self._filled.set()
        return answer

    async def close(self) -> None:
        """Let go of the connections."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._redis.aclose()

    async def _write(self) -> None:
        while True:
            await self._filled.wait()
            self._filled.clear()
            batch = list(self._out)
            self._out.clear()
            await self._redis.lpush(_REQUESTS, *batch)

    async def _read(self) -> None:
        while True:
            for answer in await _taken(self._redis.pipeline(transaction=False), _ANSWERS):
                number = int.from_bytes(answer[:_NUMBER], "big")
                self._waiting.pop(number).set_result(answer[_NUMBER:])
