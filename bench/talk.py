"""Talk between a measured process and the benchmark: orders on stdin, JSON lines on stdout."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import asdict
from typing import Any

from bench.running import Load

__all__ = [
    "Drive",
    "Orders",
    "Role",
    "drive_on_order",
    "keep_answers_apart",
    "notice",
    "read_orders",
    "say",
    "until_closed",
]

Orders = AsyncIterator[str]
Role = Callable[[dict[str, Any], Orders], Awaitable[None]]
Drive = Callable[[int, float], Awaitable[Load]]
"""Let a number of callers call for a number of seconds."""

_answers = sys.stdout


def keep_answers_apart() -> None:
    """Let stdout carry answers only: whatever else a library prints goes to stderr."""
    global _answers
    _answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)


def say(**what: Any) -> None:
    """Answer the benchmark."""
    _answers.write(json.dumps(what) + "\n")
    _answers.flush()


def notice(text: str) -> None:
    """Tell the person who runs the benchmark."""
    sys.stderr.write(f"bench: {text}\n")


async def read_orders() -> Orders:
    """The lines of stdin; ends when it is closed."""
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        yield line.decode().strip()


async def until_closed(orders: Orders) -> None:
    """Wait for the benchmark to close stdin."""
    async for _order in orders:
        pass


async def drive_on_order(drive: Drive, orders: Orders, **first: Any) -> None:
    """Say that the process is ready, and what else is `first`; then drive: `CALLERS SECONDS`."""
    say(ready=True, **first)
    async for order in orders:
        callers, seconds = order.split()
        say(**asdict(await drive(int(callers), float(seconds))))
