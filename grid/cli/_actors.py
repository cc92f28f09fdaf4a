"""`grid start`, `stop`, `rebalance` and `drain`: actors and peers from the command line."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from grid.cli._completion import actor_names, actor_types, peer_names
from grid.cli._exits import BadInput, NotFound
from grid.cli._options import Connection, Output, argument, option
from grid.cli._output import Column, Format, print_row, print_rows, say
from grid.cli._values import seconds
from grid.errors import NotPlaced, UnregisteredMailbox

if TYPE_CHECKING:
    from grid.client.client import Client

__all__ = ["drain", "rebalance", "start", "stop"]

_MOVES = (
    Column("NAME", "name"),
    Column("TYPE", "type"),
    Column("FROM", "from"),
    Column("TO", "to"),
)
_COLUMNS = (Column("NAME", "name"), Column("TYPE", "type"), Column("PEER", "peer"))


async def start(
    type: Annotated[  # noqa: A002
        str,
        argument("TYPE", help="name of its definition", complete=actor_types),
    ],
    connection: Connection,
    name: Annotated[
        str | None,
        option(
            "--name",
            metavar="NAME",
            env="GRID_START_NAME",
            help="name of the actor (default: its type)",
        ),
    ] = None,
    peer: Annotated[
        str | None,
        option(
            "--peer",
            metavar="PEER",
            env="GRID_START_PEER",
            help="peer to start it on (default: by hashing the name over the peers)",
            complete=peer_names,
        ),
    ] = None,
    data: Annotated[
        str | None,
        option("--data", metavar="TEXT", env="GRID_START_DATA", help="text for its factory"),
    ] = None,
    data_file: Annotated[
        Path | None,
        option(
            "--data-file",
            metavar="FILE",
            env="GRID_START_DATA_FILE",
            help="file with bytes for its factory; - reads stdin",
        ),
    ] = None,
    annotation: Annotated[
        list[str] | None,
        option(
            "--annotation",
            env="GRID_START_ANNOTATION",
            metavar="K=V",
            help="only on a peer with this annotation; repeatable",
        ),
    ] = None,
    output: Output = Format.TABLE,
) -> None:
    """Start an actor and print its peer. It holds its name when this returns.

    $ grid start worker
    $ grid start worker --name worker-7 --peer peer-2 --data '{"shard": 7}'
    """
    async with connection.client() as client:
        try:
            chosen = await client.start_actor(
                type,
                name=name,
                peer=peer,
                data=_data(data, data_file),
                annotations=annotation or (),
                timeout=connection.seconds,
            )
        except UnregisteredMailbox:
            raise NotFound(_no_peer(peer, connection.where)) from None
        except NotPlaced as error:
            if error.asked:
                raise
            raise NotFound(str(error)) from None
    row = {"name": name or type, "type": type, "peer": chosen}
    print_row(row, _COLUMNS, output)


async def stop(
    name: Annotated[str, argument("NAME", help="name of the actor", complete=actor_names)],
    connection: Connection,
    grace: Annotated[
        float | None,
        option(
            "--grace",
            env="GRID_STOP_GRACE",
            metavar="SECONDS",
            parser=seconds("--grace", zero=True),
            help="time until it is cancelled (default: its peer's)",
        ),
    ] = None,
) -> None:
    """Stop an actor; its names are free afterwards.

    $ grid stop worker-7
    $ grid stop worker-7 --grace 0
    """
    async with connection.client() as client:
        await client.stop_actor(name, grace=grace, timeout=connection.timeout)
    say(f"stopped {name}", style="dim")


async def rebalance(
    connection: Connection,
    type: Annotated[  # noqa: A002
        list[str] | None,
        option(
            "--type",
            metavar="TYPE",
            env="GRID_REBALANCE_TYPE",
            help="only actors of this type; repeatable",
            complete=actor_types,
        ),
    ] = None,
    output: Output = Format.TABLE,
) -> None:
    """Move actors to where they start now, as after a peer has joined.

    Kept actors are spread, activated and movable ones go to the peer of their name. They end and
    start again; requests wait meanwhile. It prints the moves.

    $ grid rebalance
    $ grid rebalance --type room -o json | jq length
    """
    async with connection.client() as client:
        moved = await client.rebalance(type, timeout=connection.timeout)
    if not moved:
        say(f"nothing to move in {connection.where}", style="dim")
    rows = [
        {"name": one.name, "type": one.type, "from": one.source, "to": one.target} for one in moved
    ]
    print_rows(rows, _MOVES, output)


async def drain(
    name: Annotated[str, argument("PEER", help="name of the peer", complete=peer_names)],
    connection: Connection,
) -> None:
    """Drain a peer: its actors end, and it leaves.

    It is told to, as by SIGTERM; kept, movable and activated actors start on other peers. The
    command returns once the peer has left, or after --timeout.

    $ grid drain peer-2 --timeout 60
    """
    from grid.deadline import Deadline, within
    from grid.registry.names import Kind

    deadline = Deadline.after(connection.seconds)
    async with connection.client() as client:
        if name not in {one.name for one in await client.query(Kind.PEER)}:
            raise NotFound(_no_peer(name, connection.where))
        draining = _drained(client, name, connection.seconds)
        await within(deadline, f"peer {name!r} to leave", draining)
    say(f"{name} has left", style="dim")


async def _drained(client: Client, name: str, timeout: float) -> None:
    from grid.registry.entities import EntityLost
    from grid.registry.names import Kind

    async with client.watch(Kind.PEER) as events:
        await client.drain_peer(name, timeout=timeout)
        async for event in events:
            if isinstance(event, EntityLost) and event.entity.name == name:
                return


def _data(text: str | None, file: Path | None) -> bytes:
    if text is not None and file is not None:
        raise BadInput("give --data or --data-file, not both")
    if file is None:
        return (text or "").encode()
    if str(file) == "-":
        return sys.stdin.buffer.read()
    try:
        return file.read_bytes()
    except OSError as error:
        raise BadInput(f"--data-file: {error}") from None


def _no_peer(peer: str | None, where: str) -> str:
    if peer is not None:
        return f"there is no peer {peer!r} in {where}; see: grid peers"
    return f"there is no peer in {where}"
