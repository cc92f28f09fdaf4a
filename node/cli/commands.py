"""`grid pools` and `grid workers` list; `grid worker` ends one, or shows its output."""

from __future__ import annotations

import asyncio
import enum
from collections.abc import Callable, Coroutine
from typing import Annotated, Any

import typer

from grid.client.client import Client as GridClient
from grid.errors import RequestFailed, UnregisteredMailbox
from grid.registry.names import check_name
from node.cli.finding import NO_POOLS, ask, no_such, workers_of
from node.cli.logs import show_log
from node.cli.rows import POOL_COLUMNS, WORKER_COLUMNS, cell, pool_rows, worker_rows
from node.cli.watching import follow
from node.names import SUPERVISOR
from node.pool_pb2 import KillWorker, PoolsStatus
from rpc.cli.options import (
    ETCD,
    FAILED,
    Etcd,
    Format,
    Namespace,
    Output,
    Timeout,
    Watch,
    new_client,
)
from rpc.cli.rows import Row, print_rows

__all__ = ["pools", "worker", "workers"]


_MOST_LINES = (1 << 32) - 1


class Verb(enum.StrEnum):
    """Verbs of `grid worker`."""

    KILL = "kill"
    LOGS = "logs"


def pools(
    kind: Annotated[str, typer.Argument(help="only this one")] = "",
    watch: Watch = False,
    etcd: Etcd = ETCD,
    namespace: Namespace = "default",
    timeout: Timeout = 10.0,
    output: Output = Format.TABLE,
) -> int:
    """List the pools of workers.

    The columns are the workers that are ready, wanted and serving; clients, and claims that wait;
    peers; and what is wrong.

    $ grid pools
    $ grid pools thumbnail -o json
    $ grid pools --watch -o jsonl
    """
    client = new_client(etcd, namespace, timeout)
    return _run(_list(client, kind, output, watch, pool_rows, POOL_COLUMNS), watch=watch)


def workers(
    kind: Annotated[str, typer.Argument(help="only those of this kind")] = "",
    watch: Watch = False,
    etcd: Etcd = ETCD,
    namespace: Namespace = "default",
    timeout: Timeout = 10.0,
    output: Output = Format.TABLE,
) -> int:
    """List the workers of pools.

    The columns are their state, client, jobs, errors, memory and age.

    $ grid workers
    $ grid workers thumbnail --watch
    """
    client = new_client(etcd, namespace, timeout)
    return _run(_list(client, kind, output, watch, worker_rows, WORKER_COLUMNS), watch=watch)


def worker(
    verb: Annotated[Verb, typer.Argument(help="kill, or logs")],
    name: Annotated[str, typer.Argument(help="of the worker, as `grid workers` has it")],
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="logs: go on until the worker ends, or Ctrl-C")
    ] = False,
    tail: Annotated[
        int,
        typer.Option(
            "--tail", min=0, max=_MOST_LINES, help="logs: number of lines; 0: all that are kept"
        ),
    ] = 200,
    etcd: Etcd = ETCD,
    namespace: Namespace = "default",
    timeout: Timeout = 10.0,
) -> int:
    """End a worker at once, or print its output.

    `kill` ends its process, whatever it does; another one takes its place, and its jobs run again
    there. `logs` prints the last lines of its output, also of one that has ended, as long as they
    are kept; `--follow` goes on until it ends.

    $ grid worker kill thumbnail-1f00aa07
    $ grid worker logs thumbnail-1f00aa07 --follow
    """
    client = new_client(etcd, namespace, timeout)
    check_name(name, "worker")
    if verb is Verb.KILL:
        return _run(_kill(client, name))
    return _run(show_log(client, name, follow=follow, tail=tail), watch=follow)


async def _list(
    grid_client: GridClient,
    kind: str,
    output: Format,
    watch: bool,
    rows_of: Callable[[PoolsStatus], list[Row]],
    columns: tuple[str, ...],
) -> int:
    async with grid_client as client:

        async def look() -> list[Row] | None:
            status = await ask(client)
            if status is None:
                return None
            return [row for row in rows_of(status) if not kind or row["kind"] == kind]

        if kind:
            status = await ask(client)
            kinds = None if status is None else [one.kind for one in status.pools]
            if kind not in (kinds or ()):
                return no_such(f"no pool {kind!r}", kind, kinds)
        if watch:
            return await follow(look, columns, output)
        print_rows(await look() or [], columns, output, _none_of(kind), cell=cell)
        return 0


def _none_of(kind: str) -> str:
    return f"no worker of {kind!r} runs" if kind else NO_POOLS


async def _kill(grid_client: GridClient, name: str) -> int:
    async with grid_client as client:
        try:
            await client.request(SUPERVISOR, KillWorker(worker=name))
        except (UnregisteredMailbox, RequestFailed):
            names = workers_of(await ask(client))
            if name in (names or ()):
                typer.echo(f"error: the agent of worker {name!r} is not connected", err=True)
                return FAILED
            return no_such(f"no worker {name!r}", name, names)
    typer.echo(f"worker {name!r} is killed", err=True)
    return 0


def _run(work: Coroutine[Any, Any, int], *, watch: bool = False) -> int:
    try:
        return asyncio.run(work)
    except KeyboardInterrupt:
        if watch:  # its usual end
            return 0
        raise
