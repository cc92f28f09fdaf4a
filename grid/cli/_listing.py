"""`grid peers`, `actors`, `mailboxes` and `leader`: what there is."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Any

import typer

from grid.cli._exits import Code, NotFound
from grid.cli._options import Connection, Output, command, option
from grid.cli._output import Column, Format, print_row, print_rows, say
from grid.names import Kind

if TYPE_CHECKING:
    from grid.client import Client
    from grid.query import Entity

__all__ = ["COLUMNS", "add_to", "healths", "row_of"]

Watch = Annotated[bool, option("--watch", "-w", help="Go on with what comes and goes.")]

_HEALTH_TIMEOUT = 1.0
_PANEL = "Look"

_PEER = (
    Column("NAME", "name"),
    Column("ADDRESS", "address"),
    Column("SERVING", "serving"),
    Column("EPOCH", "epoch"),
    Column("ANNOTATIONS", "annotations"),
    Column("LEASE", "lease", wide=True),
)
_OTHER = (
    Column("NAME", "name"),
    Column("PEER", "peer"),
    Column("ADDRESS", "address"),
    Column("EPOCH", "epoch"),
    Column("LEASE", "lease", wide=True),
)
COLUMNS = {Kind.PEER: _PEER, Kind.ACTOR: _OTHER, Kind.MAILBOX: _OTHER}


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    for function in (peers, actors, mailboxes):
        command(app, interrupted=Code.OK, rich_help_panel=_PANEL)(function)
    command(app, rich_help_panel=_PANEL)(leader)


async def peers(
    connection: Connection, watch: Watch = False, output: Output = Format.TABLE
) -> None:
    """The peers, and whether they serve.

    $ grid peers
    $ grid peers -o json | jq -r '.[] | select(.serving) | .address'
    $ grid peers --watch -o jsonl
    """
    await _list(connection, Kind.PEER, watch, output)


async def actors(
    connection: Connection, watch: Watch = False, output: Output = Format.TABLE
) -> None:
    """The actors, and the peers they run on.

    $ grid actors
    $ grid actors -o wide
    """
    await _list(connection, Kind.ACTOR, watch, output)


async def mailboxes(
    connection: Connection, watch: Watch = False, output: Output = Format.TABLE
) -> None:
    """The mailboxes: every name that can be sent a request.

    $ grid mailboxes
    $ grid mailboxes -o jsonl | wc -l
    """
    await _list(connection, Kind.MAILBOX, watch, output)


async def leader(connection: Connection, output: Output = Format.TABLE) -> None:
    """Who leads. Exit code 3 if nobody does.

    $ grid leader
    $ grid leader -o json | jq -r .peer
    """
    async with connection.client() as client:
        found = [one for one in await client.query(Kind.ACTOR) if one.name == "leader"]
        if not found:
            raise NotFound(f"there is no leader in namespace {client.namespace!r}")
    print_row(row_of(found[0]), _OTHER[1:], output)


async def _list(connection: Connection, kind: Kind, watch: bool, output: Format) -> None:
    async with connection.client() as client:
        if watch:
            from grid.cli._watching import follow

            await follow(client, kind, output)
            return
        found = await client.query(kind)
        serving = await healths(client, found) if kind is Kind.PEER else {}
        rows = [row_of(one, serving) for one in found]
        if not rows:
            say(f"no {_plural(kind)} in namespace {client.namespace!r}", style="dim")
        print_rows(rows, COLUMNS[kind], output)


async def healths(client: Client, found: list[Entity]) -> dict[str, bool]:
    """Which peers answer that they serve."""
    answers = await asyncio.gather(*(_serves(client, one.name) for one in found))
    return {one.name: answer for one, answer in zip(found, answers, strict=True)}


async def _serves(client: Client, peer: str) -> bool:
    from grid.errors import GridError

    try:
        return await client.check(peer, timeout=_HEALTH_TIMEOUT) == "SERVING"
    except GridError:
        return False


def row_of(one: Entity, serving: dict[str, bool] | None = None) -> dict[str, Any]:
    """An entity as the fields that are printed."""
    row: dict[str, Any] = {
        "name": one.name,
        "peer": one.peer,
        "address": one.address,
        "epoch": one.epoch,
        # As etcdctl writes it; as a number it would not survive JavaScript or jq.
        "lease": f"{one.lease:x}",
    }
    if one.kind is Kind.PEER:
        row["annotations"] = list(one.annotations)
        if serving is not None:
            row["serving"] = serving.get(one.name, False)
    return row


def _plural(kind: Kind) -> str:
    return "mailboxes" if kind is Kind.MAILBOX else f"{kind}s"
