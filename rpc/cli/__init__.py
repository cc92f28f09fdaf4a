"""The sub-commands `grid machines` and `grid machine`, found by their entry points."""

from __future__ import annotations

from rpc.cli.commands import machine, machines

__all__ = ["machine", "machines"]
