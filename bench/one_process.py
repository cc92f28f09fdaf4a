"""Measurements against asyncio alone: requests inside a process, and idle mailboxes."""

from __future__ import annotations

from dataclasses import replace

from bench import local
from bench.model import Progress, Row, Size

__all__ = ["measure"]


async def measure(etcd: str, size: Size, progress: Progress) -> list[Row]:
    """The rows of this part: those of the subject `local`."""
    progress("transport: inside one process")
    return [replace(row, subject="transport") for row in await local.rows(etcd, size, progress)]
