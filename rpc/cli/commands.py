"""`grid machines` lists served machines; `grid machine` looks at one, and changes it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import closing
from typing import Annotated, Any

import typer

from grid.client.client import Client as GridClient
from grid.environment import command_etcd
from grid.errors import UnknownMailbox
from grid.registry.names import Kind, check_namespace
from grid.sync import Client as BlockingGridClient
from machine.errors import InvalidArgument as InvalidMachineArgument
from machine.errors import MachineError, UnknownState, WaitTimeout
from rpc.cli.acting import Request, perform
from rpc.cli.options import (
    ETCD,
    FAILED,
    NOT_FOUND,
    TIMED_OUT,
    USAGE,
    Etcd,
    Format,
    Namespace,
    Output,
    Timeout,
    Watch,
    new_client,
)
from rpc.cli.repl import repl
from rpc.cli.rows import print_rows
from rpc.machines.backoff import RetryPolicy
from rpc.machines.errors import CallTimeout, NotConnected
from rpc.machines.messages import MACHINE_TYPE
from rpc.sync import Client as BlockingClient

__all__ = ["machine", "machines"]

_COLUMNS = ("name", "peer")


def machines(
    etcd: Etcd = ETCD,
    namespace: Namespace = "default",
    timeout: Timeout = 10.0,
    output: Output = Format.TABLE,
) -> int:
    """List the machines that are served, and their peers."""
    return _run(_machines(new_client(etcd, namespace, timeout), output))


async def _machines(grid_client: GridClient, output: Format) -> int:
    async with grid_client as client:
        found = [one for one in await client.query(Kind.MAILBOX) if one.type == MACHINE_TYPE]
    rows = [{"name": one.name, "peer": one.peer, "address": one.address} for one in found]
    print_rows(rows, _COLUMNS, output, "no machines are served there")
    return 0


def machine(
    name: Annotated[str, typer.Argument(help="name under which the machine is served")],
    verb: Annotated[str, typer.Argument(help="add, remove, set, when or repl; none: show it")] = "",
    states: Annotated[list[str] | None, typer.Argument(help="names of states")] = None,
    arg: Annotated[
        list[str] | None,
        typer.Option("--arg", "-a", metavar="K=V", help="argument of a mutation; JSON or a text"),
    ] = None,
    watch: Watch = False,
    inspect: Annotated[bool, typer.Option("--inspect", help="relations and ticks")] = False,
    diagram: Annotated[
        str, typer.Option("--diagram", metavar="FORMAT", help="mermaid, dot or svg")
    ] = "",
    token: Annotated[
        str, typer.Option("--token", envvar="GRID_MACHINE_TOKEN", help="for its access rules")
    ] = "",
    etcd: Etcd = ETCD,
    namespace: Namespace = "default",
    timeout: Timeout = 10.0,
    output: Output = Format.TABLE,
) -> int:
    """Show a machine, change it, wait for it, or follow it.

    $ grid machine lights
    $ grid machine lights add Green --arg by=kim
    $ grid machine lights when Red --timeout 60
    $ grid machine lights --watch -o jsonl
    $ grid machine lights repl
    """
    if verb == "repl":
        return _coded(lambda: _repl(etcd, namespace, timeout, name, token))
    request = Request(
        name=name,
        verb=verb,
        states=tuple(states or ()),
        args=tuple(arg or ()),
        watch=watch,
        inspect=inspect,
        diagram=diagram,
        token=token,
        timeout=timeout,
        as_json=output is not Format.TABLE,
        indent=2 if output is Format.JSON and not watch else None,
    )
    try:
        return _run(perform(new_client(etcd, namespace, timeout), request))
    except KeyboardInterrupt:
        if watch:  # its usual end
            return 0
        raise


def _repl(etcd: str, namespace: str, timeout: float, name: str, token: str) -> int:
    config = command_etcd(etcd, timeout=timeout)
    with (
        BlockingGridClient(check_namespace(namespace), etcd=config, timeout=timeout) as client,
        closing(
            BlockingClient[Any](
                client,
                name,
                token=token,
                timeout=timeout,
                interval=0.05,
                retry=RetryPolicy(first_timeout=0.0),
            )
        ) as remote,
    ):
        remote.start(timeout)
        return repl(remote, timeout)


def _run(work: Coroutine[Any, Any, int]) -> int:
    return _coded(lambda: asyncio.run(work))


def _coded(work: Callable[[], int]) -> int:
    try:
        return work()
    except UnknownMailbox as error:
        typer.echo(f"error: {error}", err=True)
        typer.echo("hint: see which machines are served: grid machines", err=True)
        return NOT_FOUND
    except MachineError as error:
        typer.echo(f"error: {error}", err=True)
        if isinstance(error, UnknownState | InvalidMachineArgument):
            return USAGE
        timed_out = isinstance(error, CallTimeout | WaitTimeout | NotConnected)
        return TIMED_OUT if timed_out else FAILED
