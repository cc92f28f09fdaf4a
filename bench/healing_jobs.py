"""The peers of `bench.healing`: `grid serve bench.healing_jobs:peer`."""

from __future__ import annotations

import grid
import node

__all__ = ["KIND", "LEASE", "peer", "work"]

KIND = "heal"
LEASE = 2.0  # seconds

peer = grid.Server(lease=LEASE)


@node.worker(peer, KIND, min=2, max=2, warm=0)
def work(number: int) -> int:
    """Nearly nothing."""
    return number + 1
