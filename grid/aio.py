"""Telling "I was cancelled" from "what I waited for was cancelled"."""

from __future__ import annotations

import asyncio

__all__ = ["being_cancelled"]


def being_cancelled() -> bool:
    """True if somebody cancels the current task, not only what it awaits.

    grpc.aio raises `CancelledError` also in a call whose channel was closed.
    """
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
