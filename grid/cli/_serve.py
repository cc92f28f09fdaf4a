"""`grid serve`: one peer, in the foreground."""

from __future__ import annotations

import enum
import logging
import os
import signal
import sys
import threading
import time
from typing import Annotated, Any

import typer

from grid.cli._load import TARGET_HELP, load_server
from grid.cli._options import Connection, command, option
from grid.cli._output import print_json

__all__ = ["LogLevel", "add_to"]

_LOG_FORMAT = "%(asctime)s %(levelname)-7s %(name)s: %(message)s"
_LAST_PATIENCE = 1.0  # seconds a peer without its owner gets for each step of its end


class LogLevel(enum.StrEnum):
    """What is logged."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class OnLeaseLost(enum.StrEnum):
    """What a peer does that lost its lease."""

    REJOIN = "rejoin"
    EXIT = "exit"


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    command(app, rich_help_panel="Run")(serve)


def serve(
    target: Annotated[str, typer.Argument(metavar="MODULE:SERVER", help=TARGET_HELP)],
    connection: Connection,
    listen: Annotated[
        str | None,
        option("--listen", metavar="HOST:PORT", help="Port 0 is any. (default: 127.0.0.1:0)"),
    ] = None,
    advertise: Annotated[
        str | None,
        option(
            "--advertise",
            metavar="HOST[:PORT]|auto",
            help="What others dial; auto is this machine's address on the way to etcd.",
        ),
    ] = None,
    name: Annotated[
        str | None, option("--name", help="The peer's name. (default: made from the address)")
    ] = None,
    annotation: Annotated[
        list[str] | None,
        option("--annotation", metavar="K=V", help="What the peer says of itself; repeatable."),
    ] = None,
    lease: Annotated[
        float | None,
        option("--lease", metavar="SECONDS", help="How soon a dead peer's names are free."),
    ] = None,
    no_leader: Annotated[
        bool, option("--no-leader", help="The leader shall not run here.")
    ] = False,
    drain_timeout: Annotated[
        float | None,
        option("--drain-timeout", metavar="SECONDS", min=0, help="What actors get to end."),
    ] = None,
    on_lease_lost: Annotated[
        OnLeaseLost | None, option("--on-lease-lost", help="Come back, or exit with 1.")
    ] = None,
    reflection: Annotated[
        bool, option("--reflection", help="Offer gRPC reflection, for grpcurl.")
    ] = False,
    log_level: Annotated[
        LogLevel, option("--log-level", help="What is logged.", show_default=True)
    ] = LogLevel.INFO,
    owned: Annotated[bool, typer.Option("--owned", hidden=True)] = False,
    describe: Annotated[bool, typer.Option("--describe", hidden=True)] = False,
) -> None:
    """Run one peer until SIGTERM or Ctrl-C, then drain; a second signal cuts the drain.

    Options that are given beat what the module says.

    $ grid serve shop.app:server
    $ grid serve shop.app --etcd etcd:2379 --listen 0.0.0.0:7777 --advertise auto
    """
    if owned:
        threading.Thread(target=_end_with_owner, name="owner", daemon=True).start()
    server = load_server(target)
    given = {
        "listen": listen,
        "advertise": advertise,
        "name": name,
        "annotations": tuple(sorted(annotation)) if annotation else None,
        "lease": lease,
        "allow_leadership": False if no_leader else None,
        "drain_timeout": drain_timeout,
        "on_lease_lost": on_lease_lost and on_lease_lost.value,
        "reflection": True if reflection else None,
        "namespace": connection.namespace,
        "etcd": connection.over(server.config.etcd),
    }
    changes: dict[str, Any] = {key: value for key, value in given.items() if value is not None}
    server.configure(**changes)
    server.config.check()
    if describe:
        print_json({"namespace": server.config.namespace}, on_one_line=True)
        return
    if not logging.getLogger().handlers:
        logging.basicConfig(format=_LOG_FORMAT, level=log_level.upper())
    server.run()


def _end_with_owner() -> None:
    # Standard input is a pipe that the owner holds: it closes however the owner ends. etcd may
    # have gone with it, so the drain gets little time.
    while os.read(sys.stdin.fileno(), 4096):
        pass
    for _ in range(2):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(_LAST_PATIENCE)
    os._exit(1)
