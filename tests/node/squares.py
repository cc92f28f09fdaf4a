"""A peer that offers one kind of workers, run by the `grid` command."""

from __future__ import annotations

import grid
import node

peer = grid.Server(lease=2.0)


@node.worker(peer, "square", min=2, max=4, warm=0)
def square(number: int) -> int:
    """The square of a number."""
    return number * number
