"""`grid peers`, `actors`, `mailboxes`, `kept` and `leader`: names and their owners."""

from __future__ import annotations

from typing import Annotated

from grid.cli._exits import BadInput, NotFound
from grid.cli._options import Connection, Output, option
from grid.cli._output import Column, Format, print_row, print_rows, say
from grid.cli._rows import ACTOR_REPORT, COLUMNS, row_of
from grid.registry.names import Kind

__all__ = ["actors", "kept", "leader", "mailboxes", "peers"]

Watch = Annotated[bool, option("--watch", "-w", help="print changes until Ctrl-C")]
Failed = Annotated[
    bool, option("--failed", help="also list actors that ended by an error, and are gone")
]

All = Annotated[bool, option("--all", "-a", help="also list processes of pool workers")]

_POOL_WORKER = "pool-worker"  # annotation of peers that are processes of workers, not servers

_KEPT = (
    Column("TYPE", "type"),
    Column("KEEP", "keep"),
    Column("RUNNING", "running"),
    Column("MISSING", "missing"),
)
_LONGEST_ERROR = 60  # characters of an error in a table that is not wide


async def peers(
    connection: Connection,
    watch: Watch = False,
    every: All = False,
    output: Output = Format.TABLE,
) -> None:
    """List the peers, and whether they serve.

    Processes of pool workers are peers, too: `--all` lists them, `grid workers` tells more.

    $ grid peers
    $ grid peers --all
    $ grid peers -o json | jq -r '.[] | select(.serving) | .address'
    $ grid peers --watch -o jsonl
    """
    await _list(connection, Kind.PEER, watch, output, every=every)


async def actors(
    connection: Connection,
    watch: Watch = False,
    failed: Failed = False,
    output: Output = Format.TABLE,
) -> None:
    """List the actors, their types, states and peers.

    $ grid actors
    $ grid actors --failed -o wide
    $ grid actors -o json | jq '.[] | select(.restarts > 0) | .name, .error'
    """
    from grid.cli._reports import actor_rows

    if watch:
        if failed:
            raise BadInput("--failed does not go with --watch, which follows names")
        await _list(connection, Kind.ACTOR, watch, output)
        return
    async with connection.client() as client:
        rows = await actor_rows(client, await client.query(Kind.ACTOR), failed=failed)
        if not rows:
            say(f"no actors in {connection.where}", style="dim")
        if output in (Format.TABLE, Format.WIDE):
            for row in rows:
                row["error_line"] = _one_line(row["error"], wide=output is Format.WIDE)
        print_rows(rows, ACTOR_REPORT, output)


async def mailboxes(
    connection: Connection, watch: Watch = False, output: Output = Format.TABLE
) -> None:
    """List the names that accept messages.

    $ grid mailboxes
    $ grid mailboxes -o jsonl | wc -l
    """
    await _list(connection, Kind.MAILBOX, watch, output)


async def kept(connection: Connection, output: Output = Format.TABLE) -> None:
    """List the kept actors, and the missing ones.

    $ grid kept
    $ grid kept -o json | jq -e 'all(.missing == [])'
    """
    from grid.registry.keeping import declared
    from grid.registry.keeping import kept as kept_names

    async with connection.client() as client:
        peers = await client.query(Kind.PEER)
        there = {one.name: one.type for one in await client.query(Kind.ACTOR)}
    rows = []
    for type_, amount in sorted(declared(peers).items()):
        names = kept_names(type_, amount, peers)
        missing = [name for name in names if there.get(name) != type_]
        running = len(names) - len(missing)
        rows.append({"type": type_, "keep": amount, "running": running, "missing": missing})
    if not rows:
        say(f"no kept actors in {connection.where}", style="dim")
    print_rows(rows, _KEPT, output)


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


async def _list(
    connection: Connection, kind: Kind, watch: bool, output: Format, *, every: bool = True
) -> None:
    from grid.cli._health import healths

    async with connection.client() as client:
        if watch:
            from grid.cli._watching import follow

            await follow(client, kind, output, without=None if every else _POOL_WORKER)
            return
        entities = await client.query(kind)
        found = [one for one in entities if every or _POOL_WORKER not in one.annotations]
        peers = kind is Kind.PEER
        serving = await healths(client, (one.name for one in found)) if peers else {}
        rows = [row_of(one, serving) for one in found]
        if not rows:
            say(f"no {_plural(kind)} in {connection.where}", style="dim")
        if hidden := len(entities) - len(found):
            say(f"{hidden} processes of pool workers are left out: --all lists them", style="dim")
        print_rows(rows, COLUMNS[kind], output)


def _plural(kind: Kind) -> str:
    return "mailboxes" if kind is Kind.MAILBOX else f"{kind}s"


def _one_line(error: str | None, *, wide: bool) -> str:
    line = " ".join((error or "").split())
    return line if wide or len(line) <= _LONGEST_ERROR else f"{line[:_LONGEST_ERROR]}..."
