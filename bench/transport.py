"""All of the transport in one table: every figure beside its yardstick, and what is required.

Server and client are processes of their own, both on uvloop and, where gRPC is
in it, under the same `GRPC_EXPERIMENTS`. Messages have 100 bytes.
"""

from __future__ import annotations

import importlib
from collections.abc import Awaitable, Callable

from bench.model import TRANSPORT_PARTS, Progress, Row, Size
from grid.embedded import Etcd

__all__ = ["measure"]

_Part = Callable[[str, Size, Progress], Awaitable[list[Row]]]


async def measure(size: Size, progress: Progress) -> list[Row]:
    """The rows of this benchmark."""
    rows: list[Row] = []
    async with Etcd() as etcd:
        for name in TRANSPORT_PARTS:
            if size.parts is None or name in size.parts:
                part: _Part = importlib.import_module(f"bench.{name}").measure
                rows += await part(etcd.endpoint, size, progress)
    return rows
