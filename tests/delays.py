"""A pytest plugin that delays what a busy machine delays, so that one run shows which tests mind.

`make test-delayed` loads it: etcd answers late, its watches tell late, and event loops stand
still now and then. A test that fails takes for granted how soon something is known.
"""

from __future__ import annotations

import asyncio
import functools
import random
import time
import weakref
from collections.abc import Awaitable, Callable
from typing import Any

from grid.etcd import EtcdClient, Watch, WatchBatch

__all__: list[str] = []

_LATEST_ANSWER = 0.15  # seconds
_LATEST_CHANGE = 0.3
_LONGEST_STALL = 0.15
_CALLS = ("get", "get_prefix", "put", "delete", "txn", "open_lease")

# Not the shared generator, whose seed makes a run repeatable: delays are chance.
_chance = random.SystemRandom()
_told_late: weakref.WeakKeyDictionary[Watch, WatchBatch] = weakref.WeakKeyDictionary()
_stalling: weakref.WeakSet[asyncio.AbstractEventLoop] = weakref.WeakSet()


def _answer_late(name: str) -> None:
    call: Callable[..., Awaitable[Any]] = getattr(EtcdClient, name)

    @functools.wraps(call)
    async def late(*args: Any, **options: Any) -> Any:
        answer = await call(*args, **options)
        await asyncio.sleep(_LATEST_ANSWER * _chance.random())
        return answer

    setattr(EtcdClient, name, late)


def _tell_late() -> None:
    tell = Watch.__anext__

    async def late(watch: Watch) -> WatchBatch:
        batch = _told_late.pop(watch, None) or await tell(watch)
        try:
            await asyncio.sleep(_LATEST_CHANGE * _chance.random())
        except asyncio.CancelledError:
            _told_late[watch] = batch  # a cancelled `anext` loses nothing
            raise
        return batch

    Watch.__anext__ = late  # type: ignore[assignment,method-assign]


def _stall() -> None:
    run = asyncio.BaseEventLoop.run_forever

    def stalling(loop: asyncio.BaseEventLoop) -> None:
        def stall() -> None:
            time.sleep(_LONGEST_STALL * _chance.random())
            loop.call_later(4 * _LONGEST_STALL * _chance.random(), stall)

        if loop not in _stalling:
            _stalling.add(loop)
            loop.call_soon(stall)
        run(loop)

    asyncio.BaseEventLoop.run_forever = stalling  # type: ignore[assignment,method-assign]


for _name in _CALLS:
    _answer_late(_name)
_tell_late()
_stall()
