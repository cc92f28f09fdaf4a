"""Options that the commands of machines, services and pools share, and the client they make."""

from __future__ import annotations

import enum
from typing import Annotated

import typer

from grid.client.client import Client
from grid.environment import command_etcd
from grid.registry.names import check_namespace

__all__ = [
    "ETCD",
    "FAILED",
    "NOT_FOUND",
    "TIMED_OUT",
    "USAGE",
    "Etcd",
    "Format",
    "Namespace",
    "Output",
    "Timeout",
    "Watch",
    "new_client",
]

FAILED, USAGE, NOT_FOUND, TIMED_OUT = 1, 2, 3, 4  # the exit codes of the `grid` command


class Format(enum.StrEnum):
    """Format of printed data."""

    TABLE = "table"
    JSON = "json"
    JSONL = "jsonl"


ETCD = "127.0.0.1:2379"
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


def new_client(etcd: str, namespace: str, timeout: float) -> Client:
    """A client for the options of a command; raises `GridError` if they make no sense."""
    config = command_etcd(etcd, timeout=timeout)
    return Client(check_namespace(namespace), etcd=config, timeout=timeout)
