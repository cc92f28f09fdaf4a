"""The sub-commands `grid pools`, `pool`, `workers` and `worker`, found by their entry points."""

from __future__ import annotations

from node.cli.commands import pools, worker, workers
from node.cli.orders import pool

__all__ = ["pool", "pools", "worker", "workers"]
