"""`grid peers`, `actors`, `mailboxes` and `leader`: lists of names and their owners."""

from __future__ import annotations

from typing import Annotated

from grid.cli._exits import NotFound
from grid.cli._options import Connection, Output, option
from grid.cli._output import Format, print_row, print_rows, say
from grid.cli._rows import COLUMNS, row_of
from grid.registry.names import Kind

__all__ = ["actors", "leader", "mailboxes", "peers"]

Watch = Annotated[bool, option("--watch", "-w", help="print changes until Ctrl-C")]


async def peers(
    connection: Connection, watch: Watch = False, output: Output = Format.TABLE
) -> None:
    """List the peers, and whether they serve.

    $ grid peers
    $ grid peers -o json | jq -r '.[] | select(.serving) | .address'
    $ grid peers --watch -o jsonl
    """
    await _list(connection, Kind.PEER, watch, output)


async def actors(
    connection: Connection, watch: Watch = False, output: Output = Format.TABLE
) -> None:
    """List the actors, their types and peers.

    $ grid actors
    $ grid actors -o wide
    """
    await _list(connection, Kind.ACTOR, watch, output)


async def mailboxes(
    connection: Connection, watch: Watch = False, output: Output = Format.TABLE
) -> None:
    """List the names that accept messages.

    $ grid mailboxes
    $ grid mailboxes -o jsonl | wc -l
    """
    await _list(connection, Kind.MAILBOX, watch, output)


async def leader(connection: Connection, output: Output = Format.TABLE) -> None:
    """Show the leader; exit code 3 if there is none.

    $ grid leader
    $ grid leader -o json | jq -r .peer
    """
    async with connection.client() as client:
        found = [one for one in await client.query(Kind.ACTOR) if one.name == "leader"]
        if not found:
            raise NotFound(f"there is no leader in {connection.where}")
    print_row(row_of(found[0]), COLUMNS[Kind.ACTOR][2:], output)


async def _list(connection: Connection, kind: Kind, watch: bool, output: Format) -> None:
    from grid.cli._health import healths

    async with connection.client() as client:
        if watch:
            from grid.cli._watching import follow

            await follow(client, kind, output)
            return
        found = await client.query(kind)
        peers = kind is Kind.PEER
        serving = await healths(client, (one.name for one in found)) if peers else {}
        rows = [row_of(one, serving) for one in found]
        if not rows:
            say(f"no {_plural(kind)} in {connection.where}", style="dim")
        print_rows(rows, COLUMNS[kind], output)


def _plural(kind: Kind) -> str:
    return "mailboxes" if kind is Kind.MAILBOX else f"{kind}s"
