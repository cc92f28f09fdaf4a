"""The log of a worker, printed and followed."""

from __future__ import annotations

import asyncio
import contextlib

import typer

from grid.client.client import Client as GridClient
from grid.errors import GridError, RequestFailed
from grid.registry.names import Kind
from grid.stdout_reader import UntilReaderGoes
from node.cli.finding import ask, no_such, workers_of
from node.names import LOG_GONE, kind_of_agent
from node.pool_pb2 import WorkerLog, WorkerLogQuery
from rpc.cli.options import NOT_FOUND

__all__ = ["show_log"]

_PAUSE = 0.3  # seconds between two looks
_FAILED = 1  # an exit code of the `grid` command


async def show_log(grid_client: GridClient, name: str, *, follow: bool, tail: int) -> int:
    """Print the output of a worker; with `follow` until it ends. The exit code.

    Raises:
        BrokenPipeError: the reader of what is followed has gone.
    """
    query = WorkerLogQuery(worker=name, tail=tail)
    async with grid_client as client:
        found = await _first(client, query)
        if isinstance(found, str):
            typer.echo(f"error: {found}", err=True)
            return NOT_FOUND
        if found is None:
            return no_such(f"no worker {name!r}", name, workers_of(await ask(client)))
        agent, part = found
        if part.ended and not part.lines:
            typer.echo(f"worker {name!r} has ended, and printed nothing", err=True)
        with UntilReaderGoes() if follow else contextlib.nullcontext():
            return await _print_parts(client, agent, query, part, follow=follow)


async def _print_parts(
    client: GridClient, agent: str, query: WorkerLogQuery, part: WorkerLog, *, follow: bool
) -> int:
    while True:
        for line in part.lines:
            typer.echo(line)
        if not part.more and (part.ended or not follow):
            return 0
        if not part.more:
            await asyncio.sleep(_PAUSE)
        query.after = part.position
        try:
            part = await client.request(agent, query, reply=WorkerLog, idempotent=True)
        except GridError as error:
            text = f"error: the log of {query.worker!r} is out of reach: {error}"
            typer.echo(text, err=True)
            return _FAILED


async def _first(client: GridClient, query: WorkerLogQuery) -> tuple[str, WorkerLog] | str | None:
    """The agent that has the log, and its first part; of two the one whose worker lives.

    A text says why there is no log of a worker that is known.
    """
    found: tuple[str, WorkerLog] | str | None = None
    for one in await client.query(Kind.ACTOR):
        # The kind is the worker's name without its number.
        if kind_of_agent(one.type) != query.worker.rpartition("-")[0]:
            continue
        try:
            part = await client.request(one.name, query, reply=WorkerLog, idempotent=True)
        except RequestFailed as error:
            if error.code == LOG_GONE and found is None:
                found = error.text
            continue
        except GridError:
            continue
        found = (one.name, part)
        if not part.ended:
            break
    return found
