"""Names that users type: of pools, peers and workers that there may not be."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable

import typer

from grid.client.client import Client as GridClient
from grid.errors import UnregisteredMailbox
from node.names import SUPERVISOR
from node.pool_pb2 import PoolsQuery, PoolsStatus, WorkerReport
from rpc.cli.options import NOT_FOUND

__all__ = ["NO_POOLS", "ask", "no_such", "peers_of", "workers_of"]

NO_POOLS = "there are no pools, or they have no supervisor"

_SHOWN = 3  # names that may be meant


async def ask(client: GridClient) -> PoolsStatus | None:
    """The state of all pools; None if there is no supervisor."""
    try:
        return await client.request(SUPERVISOR, PoolsQuery(), reply=PoolsStatus, idempotent=True)
    except UnregisteredMailbox:
        return None


def no_such(text: str, name: str, names: Collection[str] | None) -> int:
    """Say that there is none of a name, and which ones may be meant. The exit code.

    Args:
        text: that says so.
        name: that was typed.
        names: that there are; None if there is no supervisor.
    """
    if names is None:
        typer.echo(f"error: {text}: {NO_POOLS}", err=True)
        return NOT_FOUND
    close = difflib.get_close_matches(name, names, n=_SHOWN)
    # Of a worker's name the kind may be known, and no more.
    close = close or sorted(one for one in names if one.startswith(f"{name}-"))[:_SHOWN]
    meant = f"; did you mean {' or '.join(map(repr, close))}?" if close else ""
    typer.echo(f"error: {text}{meant}", err=True)
    return NOT_FOUND


def workers_of(status: PoolsStatus | None) -> list[str] | None:
    """Names of all workers; None if there is no supervisor."""
    return None if status is None else [one.name for one in _workers(status)]


def peers_of(status: PoolsStatus | None) -> list[str] | None:
    """Names of the peers that offer workers; None if there is no supervisor."""
    if status is None:
        return None
    return sorted({agent.peer for pool in status.pools for agent in pool.agents})


def _workers(status: PoolsStatus) -> Iterable[WorkerReport]:
    return (one for pool in status.pools for agent in pool.agents for one in agent.workers)
