"""`grid peers`, `actors`, `mailboxes` and `leader`: what there is."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from grid.cli._exits import Code, NotFound
from grid.cli._options import Connection, Output, command, option
from grid.cli._output import Format, print_row, print_rows, say
from grid.cli._rows import COLUMNS, row_of
from grid.registry.names import Kind

if TYPE_CHECKING:
    from grid.client.client import Client
    from grid.registry.entities import Entity

__all__ = ["add_to", "healths"]

Watch = Annotated[bool, option("--watch", "-w", help="Go on with what comes and goes.")]

_HEALTH_TIMEOUT = 1.0
_PANEL = "Look"


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
    print_row(row_of(found[0]), COLUMNS[Kind.ACTOR][1:], output)


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


def _plural(kind: Kind) -> str:
    return "mailboxes" if kind is Kind.MAILBOX else f"{kind}s"
