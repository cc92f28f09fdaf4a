"""Sub-commands of `grid`, found by their entry points: machines and services."""

from __future__ import annotations

from rpc.cli.commands import machine, machines
from rpc.cli.services import call, services

__all__ = ["call", "machine", "machines", "services"]
