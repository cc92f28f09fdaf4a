"""Helpers for the tests of grids, yours included."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable

__all__ = ["wait_until"]

_FIRST_POLL = 0.002
_LONGEST_POLL = 0.05


async def wait_until(
    condition: Callable[[], object | Awaitable[object]],
    description: str,
    *,
    timeout: float = 10.0,
) -> None:
    """Return as soon as `condition()` (plain or async) is true.

    Args:
        description: what is waited for, for the error.
        timeout: seconds.

    Raises:
        AssertionError: it did not become true in time.
    """
    give_up_at = time.monotonic() + timeout
    poll = _FIRST_POLL
    while True:
        result = condition()
        if inspect.isawaitable(result):
            result = await result
        if result:
            return
        if time.monotonic() >= give_up_at:
            raise AssertionError(f"not within {timeout:g} s: {description}")
        await asyncio.sleep(poll)
        poll = min(poll * 1.5, _LONGEST_POLL)
