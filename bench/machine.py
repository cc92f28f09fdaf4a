"""State machines of one process: against transitions, python-statemachine and plain Python.

CPU time of the measuring thread, not the time that passes: the machine is
shared with others.
"""

from __future__ import annotations

import asyncio
from contextlib import ExitStack

from bench.machines import installed, scale, speed, weight
from bench.machines.timing import Clock, rows_of
from bench.model import Progress, Row, Size

__all__ = ["measure"]


async def measure(size: Size, progress: Progress) -> list[Row]:
    """The rows of this benchmark."""
    peers = installed(size)
    # In a thread, as each kind of loop is started there, and none runs in it now.
    rows = await asyncio.to_thread(_mutations, peers, size, progress)
    return [*rows, *await weight.measure(peers, size, progress)]


def _mutations(peers: frozenset[str], size: Size, progress: Progress) -> list[Row]:
    clock = Clock(size.seconds)
    with ExitStack() as stack:
        pairs = [*stack.enter_context(speed.pairs(peers)), *scale.pairs()]
        for number in range(size.rounds):
            for done, pair in enumerate(pairs):
                progress(
                    f"machine: round {number + 1} of {size.rounds}, {done + 1} of {len(pairs)}"
                )
                pair.take(clock)
    return [*rows_of(pairs), scale.tasks()]
