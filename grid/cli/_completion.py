"""Names of what lives now, offered while the user types."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import typer

from grid.cli._options import Connection
from grid.registry.names import Kind

__all__ = ["actor_names", "mailbox_names", "peer_names"]

_BUDGET = 0.3  # seconds: a shell that hangs is worse than one that does not know


def mailbox_names(ctx: typer.Context, incomplete: str) -> list[str]:
    """Mailboxes whose names begin with what is typed."""
    return _names(ctx, Kind.MAILBOX, incomplete)


def actor_names(ctx: typer.Context, incomplete: str) -> list[str]:
    """Actors whose names begin with what is typed."""
    return _names(ctx, Kind.ACTOR, incomplete)


def peer_names(ctx: typer.Context, incomplete: str) -> list[str]:
    """Peers whose names begin with what is typed."""
    return _names(ctx, Kind.PEER, incomplete)


def _names(ctx: typer.Context, kind: Kind, incomplete: str) -> list[str]:
    from grid.aio import run
    from grid.errors import GridError

    logging.disable()
    given: dict[str, Any] = {**ctx.params, "timeout": _BUDGET}
    known = {name: given[name] for name in Connection.__dataclass_fields__ if name in given}
    try:
        found = run(_query(Connection(**known), kind))
    except (GridError, OSError):
        return []
    return [name for name in found if name.startswith(incomplete)]


async def _query(connection: Connection, kind: Kind) -> list[str]:
    async with asyncio.timeout(_BUDGET), connection.client() as client:
        return [one.name for one in await client.query(kind)]
