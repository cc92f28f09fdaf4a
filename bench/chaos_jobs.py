"""The peers and the jobs of `bench.chaos`: `grid serve bench.chaos_jobs:peer`."""

from __future__ import annotations

import time

import grid
import node

__all__ = ["KIND", "peer", "square"]

KIND = "chaos"

peer = grid.Server(lease=5.0, drain_timeout=8.0)


@node.worker(peer, KIND, min=4, max=6, warm=0, heartbeat=3.0, grace=3.0, rest=2.0, pause=0.1)
def square(order: list[float]) -> int:
    """The square of a number, after some seconds."""
    number, seconds = order
    time.sleep(seconds)
    return int(number) ** 2
