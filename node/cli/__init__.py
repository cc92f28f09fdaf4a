"""The sub-commands `grid pools`, `grid workers` and `grid worker`, found by their entry points."""

from __future__ import annotations

from node.cli.commands import pools, worker, workers

__all__ = ["pools", "worker", "workers"]
