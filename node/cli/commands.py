"""`grid pools` and `grid workers` list; `grid worker` ends one, or shows its output."""

from __future__ import annotations

import asyncio
import enum
import json
from collections.abc import Callable, Coroutine
from typing import Annotated, Any

import typer

from grid.client.client import Client as GridClient
from grid.environment import command_etcd
from grid.errors import GridError, RequestFailed, UnregisteredMailbox
from grid.registry.names import Kind, check_namespace
from node.cli.rows import POOL_COLUMNS, WORKER_COLUMNS, Row, pool_rows, table, worker_rows
from node.names import SUPERVISOR, kind_of_agent
from node.pool_pb2 import KillWorker, PoolsQuery, PoolsStatus, WorkerLog, WorkerLogQuery

__all__ = ["Format", "pools", "worker", "workers"]

_NOT_FOUND = 3  # an exit code of the `grid` command
_PAUSE = 1.0  # seconds between two looks


class Format(enum.StrEnum):
    """Format of printed data."""

    TABLE = "table"
    JSON = "json"
    JSONL = "jsonl"


class Verb(enum.StrEnum):
    """Verbs of `grid worker`."""

    KILL = "kill"
    LOGS = "logs"


Etcd = Annotated[
    str, typer.Option("--etcd", envvar="GRID_ETCD", metavar="HOST:PORT,...", help="endpoints")
]
Namespace = Annotated[
    str, typer.Option("--namespace", "-n", envvar="GRID_NAMESPACE", help="the grid")
]
Timeout = Annotated[
    float, typer.Option("--timeout", envvar="GRID_TIMEOUT", min=0.001, help="seconds for a call")
]
Output = Annotated[
    Format, typer.Option("--output", "-o", envvar="GRID_OUTPUT", help="table, json or jsonl")
]
Watch = Annotated[bool, typer.Option("--watch", "-w", help="print changes until Ctrl-C")]
_ETCD = "127.0.0.1:2379"


def pools(
    kind: Annotated[str, typer.Argument(help="only this one")] = "",
    watch: Watch = False,
    etcd: Etcd = _ETCD,
    namespace: Namespace = "default",
    timeout: Timeout = 10.0,
    output: Output = Format.TABLE,
) -> int:
    """List the pools of workers: those that are ready, wanted, serving, and what is wrong.

    $ grid pools
    $ grid pools thumbnail -o json
    """
    client = _client(etcd, namespace, timeout)
    return _run(_list(client, kind, output, watch, pool_rows, POOL_COLUMNS), watch=watch)


def workers(
    kind: Annotated[str, typer.Argument(help="only those of this kind")] = "",
    watch: Watch = False,
    etcd: Etcd = _ETCD,
    namespace: Namespace = "default",
    timeout: Timeout = 10.0,
    output: Output = Format.TABLE,
) -> int:
    """List the workers: their state, client, jobs, errors, memory and age.

    $ grid workers
    $ grid workers thumbnail --watch
    """
    client = _client(etcd, namespace, timeout)
    return _run(_list(client, kind, output, watch, worker_rows, WORKER_COLUMNS), watch=watch)


def worker(
    verb: Annotated[Verb, typer.Argument(help="kill, or logs")],
    name: Annotated[str, typer.Argument(help="of the worker, as `grid workers` has it")],
    etcd: Etcd = _ETCD,
    namespace: Namespace = "default",
    timeout: Timeout = 10.0,
) -> int:
    """End a worker at once, which is then replaced; or print its last output.

    $ grid worker kill thumbnail-1f00aa07
    $ grid worker logs thumbnail-1f00aa07
    """
    client = _client(etcd, namespace, timeout)
    return _run(_kill(client, name) if verb is Verb.KILL else _logs(client, name))


async def _list(
    grid_client: GridClient,
    kind: str,
    output: Format,
    watch: bool,
    rows_of: Callable[[PoolsStatus], list[Row]],
    columns: tuple[str, ...],
) -> int:
    before: list[Row] | None = None
    async with grid_client as client:
        while True:
            try:
                status = await client.request(
                    SUPERVISOR, PoolsQuery(kind=kind), reply=PoolsStatus, idempotent=True
                )
            except UnregisteredMailbox:
                status = PoolsStatus()
            rows = rows_of(status)
            if before is None or _steady(rows) != _steady(before):
                _print(rows, columns, output, one_line=watch)
            before = rows
            if not watch:
                return 0
            await asyncio.sleep(_PAUSE)


def _steady(rows: list[Row]) -> list[Row]:
    """The rows without what changes all the time."""
    return [{key: row[key] for key in row if key not in ("age", "memory")} for row in rows]


def _print(rows: list[Row], columns: tuple[str, ...], output: Format, *, one_line: bool) -> None:
    if output is Format.JSON:
        typer.echo(json.dumps(rows, indent=None if one_line else 2))
    elif output is Format.JSONL:
        for row in rows:
            typer.echo(json.dumps(row))
    elif not rows:
        typer.echo("there are no pools, or none that somebody supervises", err=True)
    else:
        for line in table(columns, rows):
            typer.echo(line)


async def _kill(grid_client: GridClient, name: str) -> int:
    async with grid_client as client:
        try:
            await client.request(SUPERVISOR, KillWorker(worker=name))
        except (UnregisteredMailbox, RequestFailed) as error:
            return _not_found(name, error)
    typer.echo(f"worker {name!r} is killed", err=True)
    return 0


async def _logs(grid_client: GridClient, name: str) -> int:
    async with grid_client as client:
        agents = [one.name for one in await client.query(Kind.ACTOR) if kind_of_agent(one.type)]
        for agent in agents:
            try:
                found = await client.request(agent, WorkerLogQuery(worker=name), reply=WorkerLog)
            except GridError:
                continue
            for line in found.lines:
                typer.echo(line)
            return 0
    return _not_found(name, None)


def _not_found(name: str, error: GridError | None) -> int:
    typer.echo(f"error: there is no worker {name!r}" + (f": {error}" if error else ""), err=True)
    return _NOT_FOUND


def _client(etcd: str, namespace: str, timeout: float) -> GridClient:
    config = command_etcd(etcd, timeout=timeout)
    return GridClient(check_namespace(namespace), etcd=config, timeout=timeout)


def _run(work: Coroutine[Any, Any, int], *, watch: bool = False) -> int:
    try:
        return asyncio.run(work)
    except KeyboardInterrupt:
        if watch:  # its usual end
            return 0
        raise
