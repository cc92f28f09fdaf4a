"""Gathering the answers to a broadcast."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from google.protobuf.message import Message

from grid.client.broadcast import BroadcastResult, Outcome
from grid.errors import GridError

__all__ = ["collect"]


async def collect(
    asking: Mapping[asyncio.Future[Message], str], result: BroadcastResult, *, first_only: bool
) -> None:
    """Put into `result` what each member answers: all, or those until the first success.

    Who was not waited for, or all if this is cancelled, is told that nobody waits.
    """
    waiting = set(asking)
    until = asyncio.FIRST_COMPLETED if first_only else asyncio.ALL_COMPLETED
    try:
        while waiting and not (first_only and result.successes):
            done, waiting = await asyncio.wait(waiting, return_when=until)
            result.add({asking[future]: _outcome(future) for future in done})
    finally:
        for future in asking:
            if future.done() and not future.cancelled():
                future.exception()  # of several that are no `GridError` one is raised
            else:
                future.cancel()


def _outcome(future: asyncio.Future[Message]) -> Outcome:
    error = future.exception()
    if error is None:
        return Outcome(value=future.result())
    if isinstance(error, GridError):
        return Outcome(error=error)
    raise error
