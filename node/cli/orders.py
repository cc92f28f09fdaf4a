"""`grid pool scale` and `grid pool drain`: orders of an operator to the supervisor."""

from __future__ import annotations

import asyncio
import contextlib
import enum
from typing import Annotated

import typer

from grid.client.client import Client as GridClient
from grid.errors import GridError, RequestFailed, UnregisteredMailbox
from grid.registry.names import check_name
from node.cli.finding import ask, no_such, peers_of
from node.cli.rows import POOL_COLUMNS, cell, pool_rows
from node.names import SUPERVISOR
from node.pool_pb2 import DrainPeer, PoolsQuery, PoolsStatus, ScalePool, WorkerReport
from rpc.cli.options import (
    ETCD,
    TIMED_OUT,
    USAGE,
    Etcd,
    Format,
    Namespace,
    Output,
    Timeout,
    new_client,
)
from rpc.cli.rows import Row, print_rows

__all__ = ["pool"]

_PAUSE = 0.1  # seconds between two looks
_SHOWN = 10  # workers that are named
_DIGITS = 9  # of a number of workers; the supervisor says which ones there is room for


class Verb(enum.StrEnum):
    """Verbs of `grid pool`."""

    SCALE = "scale"
    DRAIN = "drain"


def pool(
    verb: Annotated[Verb, typer.Argument(help="scale, or drain")],
    target: Annotated[str, typer.Argument(metavar="KIND|PEER", help="what is meant")],
    size: Annotated[
        str, typer.Argument(metavar="[N|auto]", help="of scale: workers; auto: as the settings say")
    ] = "",
    undo: Annotated[bool, typer.Option("--undo", help="of drain: workers may run there again")] = (
        False
    ),
    etcd: Etcd = ETCD,
    namespace: Namespace = "default",
    timeout: Timeout = 60.0,
    output: Output = Format.TABLE,
) -> int:
    """Keep a number of workers, or move all workers away from a peer.

    `scale` holds, whatever the settings say, until the next one; `auto` ends that. `drain` returns
    when the peer has no workers any more: they finish their jobs, and others have begun elsewhere.

    $ grid pool scale thumbnail 8
    $ grid pool scale thumbnail auto
    $ grid pool drain host-1-7777
    $ grid pool drain host-1-7777 --undo -o json
    """
    client = new_client(etcd, namespace, timeout)
    if verb is Verb.SCALE:
        if undo:
            raise typer.BadParameter("--undo goes with drain; to undo a scale, say auto")
        check_name(target, "kind")
        return asyncio.run(_scale(client, target, _number(size), output))
    if size:
        raise typer.BadParameter(f"drain takes a peer and nothing else, not {size!r}")
    check_name(target, "peer")
    return asyncio.run(_drain(client, target, undo, timeout, output))


def _number(size: str) -> int | None:
    if size == "auto":
        return None
    if not size.isdecimal() or len(size) > _DIGITS:
        text = f"scale needs a number of workers, or auto, not {size!r}"
        raise typer.BadParameter(text)
    return int(size)


async def _scale(grid_client: GridClient, kind: str, size: int | None, output: Format) -> int:
    async with grid_client as client:
        try:
            await client.request(SUPERVISOR, ScalePool(kind=kind, size=size))
        except (UnregisteredMailbox, RequestFailed) as error:
            if isinstance(error, RequestFailed) and error.code == "OUT_OF_RANGE":
                typer.echo(f"error: {error.text}", err=True)
                return USAGE
            status = await ask(client)
            kinds = None if status is None else [one.kind for one in status.pools if one.agents]
            return no_such(f"no peer offers workers of kind {kind!r}", kind, kinds)
        found = [row for row in pool_rows(await _status(client)) if row["kind"] == kind]
    print_rows(found, POOL_COLUMNS, output, "", cell=cell)
    return 0


async def _drain(
    grid_client: GridClient, peer: str, undo: bool, timeout: float, output: Format
) -> int:
    def concerned(row: Row) -> bool:
        return any(one["peer"] == peer for one in row["agents"])

    left: list[WorkerReport] = []
    rows: list[Row] = []
    drain = DrainPeer(peer=peer, undo=undo)
    async with grid_client as client:
        try:
            await client.request(SUPERVISOR, drain, idempotent=True)
            async with asyncio.timeout(timeout):
                while True:
                    with contextlib.suppress(UnregisteredMailbox):  # the next leader is to come
                        status = await _status(client)
                        rows = [row for row in pool_rows(status) if concerned(row)]
                        agents = [
                            one for pool in status.pools for one in pool.agents if one.peer == peer
                        ]
                        if any(one.drained == undo for one in agents):  # it does not know
                            await client.request(SUPERVISOR, drain, idempotent=True)
                        left = [worker for one in agents for worker in one.workers]
                        known = not any(one.pending for one in agents)
                        if known and (undo or not left):
                            break
                    await asyncio.sleep(_PAUSE)
        except (UnregisteredMailbox, RequestFailed):
            return no_such(f"no peer {peer!r} offers workers", peer, peers_of(await ask(client)))
        except TimeoutError as error:
            if isinstance(error, GridError):
                raise
            _say_what_is_left(peer, left, timeout)
            return TIMED_OUT
    print_rows(rows, POOL_COLUMNS, output, "", cell=cell)
    return 0


async def _status(client: GridClient) -> PoolsStatus:
    return await client.request(SUPERVISOR, PoolsQuery(), reply=PoolsStatus, idempotent=True)


def _say_what_is_left(peer: str, left: list[WorkerReport], timeout: float) -> None:
    if left:
        text = "1 worker still runs" if len(left) == 1 else f"{len(left)} workers still run"
        text = f"{text} on {peer!r} after {timeout:g} s; the drain goes on"
    else:
        text = f"{peer!r} does not answer after {timeout:g} s; the drain goes on"
    typer.echo(f"error: {text}", err=True)
    for one in left[:_SHOWN]:
        serves = f" serves {one.client}" if one.client else ""
        typer.echo(f"  {one.name}{serves}; to end it now: grid worker kill {one.name}", err=True)
    if len(left) > _SHOWN:
        typer.echo(f"  and {len(left) - _SHOWN} more: grid workers", err=True)
