"""Waits that a second signal cuts short."""

from __future__ import annotations

import asyncio

__all__ = ["wait_or_hurry"]


async def wait_or_hurry(task: asyncio.Task[None], timeout: float, hurried: asyncio.Event) -> None:
    """Wait until a task is done, `timeout` seconds are over, or there is a hurry."""
    hurry = asyncio.create_task(hurried.wait())
    try:
        await asyncio.wait([task, hurry], timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
    finally:
        hurry.cancel()
