"""Health of peers, as they answer for themselves."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from grid.client.client import Client

__all__ = ["healths", "serves"]

_TIMEOUT = 1.0  # seconds


async def healths(client: Client, peers: Iterable[str]) -> dict[str, bool]:
    """Answers of the peers, by name: True for one that serves."""
    names = list(peers)
    answers = await asyncio.gather(*(serves(client, one) for one in names))
    return dict(zip(names, answers, strict=True))


async def serves(client: Client, peer: str) -> bool:
    """True if the peer answers in time that it serves."""
    from grid.errors import GridError

    try:
        return await client.check(peer, timeout=_TIMEOUT) == "SERVING"
    except GridError:
        return False
