"""The work of `grid machine`: one remote machine, one request."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import Any

import typer

from grid.client.client import Client as GridClient
from grid.stdout_reader import UntilReaderGoes
from machine.core.tracer import Tracer
from machine.core.transition import Transition
from machine.draw import draw
from machine.errors import InvalidArgument, WaitTimeout
from rpc.cli.arguments import arguments
from rpc.machines.backoff import RetryPolicy
from rpc.machines.client import Client
from rpc.machines.remote_machine import RemoteMachine

__all__ = ["Request", "perform"]

_MUTATIONS = ("add", "remove", "set")
_DIAGRAMS = ("mermaid", "dot", "svg")
_CANCELED = 1  # exit code


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """The command line of `grid machine`.

    Attributes:
        name: of the machine.
        verb: "add", "remove", "set", "when", or "" to show it.
        states: of the verb.
        args: of a mutation, each as `key=value`.
        watch: follow the changes.
        inspect: show relations and ticks.
        diagram: the format of a picture, or "".
        token: for access rules.
        timeout: seconds for a call or a wait.
        as_json: print JSON.
        indent: of the JSON; None: one line.
    """

    name: str
    verb: str
    states: tuple[str, ...]
    args: tuple[str, ...]
    watch: bool
    inspect: bool
    diagram: str
    token: str
    timeout: float
    as_json: bool
    indent: int | None


async def perform(grid_client: GridClient, request: Request) -> int:
    """Carry a request out; the exit code.

    Raises:
        InvalidArgument, UnknownState: the request makes no sense; nothing was sent.
        GridError, MachineError: as of `rpc.Client`.
        BrokenPipeError: the reader of the changes has gone.
    """
    _check(request)
    args = arguments(request.args)
    async with (
        grid_client as client,
        Client[Any](
            client,
            request.name,
            token=request.token,
            timeout=request.timeout,
            interval=0.05,
            retry=RetryPolicy(timeout=request.timeout if request.watch else 0.0, first_timeout=0.0),
        ) as remote,
    ):
        code = 0
        if request.verb in _MUTATIONS:
            result = await getattr(remote.machine, request.verb)(*request.states, args=args)
            if result.queued:
                result = await result
            code = _CANCELED if result.canceled else 0
            typer.echo(str(result), err=True)
        elif request.verb == "when":
            await _wait(remote.machine, request)
        if request.watch:
            with UntilReaderGoes():
                await _watch(remote, request)
        else:
            _show(remote.machine, request)
        return code


def _check(request: Request) -> None:
    if request.verb not in ("", "when", *_MUTATIONS):
        raise InvalidArgument(
            f"{request.verb!r} is not a verb", hint=f"Use {', '.join(_MUTATIONS)}, when or repl."
        )
    if request.verb and not request.states:
        raise InvalidArgument(f"{request.verb} needs the name of a state")
    if request.args and request.verb not in _MUTATIONS:
        raise InvalidArgument("--arg goes with add, remove or set")
    if request.diagram and request.diagram not in _DIAGRAMS:
        raise InvalidArgument(f"--diagram is {', '.join(_DIAGRAMS)}, not {request.diagram!r}")


async def _wait(machine: RemoteMachine[Any], request: Request) -> None:
    wait = machine.when(*request.states)
    try:
        async with asyncio.timeout(request.timeout):
            await wait
    except TimeoutError:
        raise WaitTimeout(wait.what, request.timeout) from None


def _show(machine: RemoteMachine[Any], request: Request) -> None:
    if request.diagram:
        typer.echo(draw(machine.schema, request.diagram, active=machine.active))
    elif request.as_json:
        typer.echo(json.dumps(_as_json(machine), indent=request.indent))
    elif request.inspect:
        typer.echo(machine.inspect())
    else:
        typer.echo(str(machine))


def _as_json(machine: RemoteMachine[Any]) -> dict[str, Any]:
    return {
        "machine": machine.id,
        "active": list(machine.active),
        "ticks": machine.clock(),
        "queue_tick": machine.queue_tick,
        "error": None if machine.err is None or machine.not_("Exception") else str(machine.err),
    }


class _Changes(Tracer):
    """Wakes a task after each change."""

    def __init__(self) -> None:
        self.event = asyncio.Event()

    def transition_end(self, tx: Transition) -> None:
        self.event.set()

    def machine_disposed(self, machine: object) -> None:
        self.event.set()


async def _watch(remote: Client[Any], request: Request) -> None:
    machine = remote.machine
    changes = _Changes()
    machine.bind_tracer(changes)
    while not machine.disposed:
        _show(machine, request)
        await changes.event.wait()
        changes.event.clear()
    typer.echo(f"machine {request.name!r} has ended", err=True)
