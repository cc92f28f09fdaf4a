"""State machines under measurement: ours, those of others, and plain Python.

A module for each of them makes `Side`s: a number of mutations goes in, the CPU
seconds that they took come out. What is compared does the same work:

* `TOGGLE`: two states, to and fro;
* `TEN`: ten states. Ours are bound by relations, and a mutation starts two and
  ends two, or the other way round; theirs are a ring, with one step at a time;
* `AUTOS`: the same with states that start by themselves, which others have not.

Each mutation calls as many handlers on every side: none; two plain ones; or an
async one, which returns at once, or awaits once. An async one has returned
before the next mutation begins.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any

from bench.model import Size
from bench.peers import Peer
from bench.talk import notice

__all__ = [
    "ASYNC",
    "AUTOS",
    "AWAITS",
    "NONE",
    "PEERS",
    "RING",
    "TEN",
    "TOGGLE",
    "TWO",
    "Drive",
    "LoopDrive",
    "Side",
    "in_loop",
    "installed",
    "plain",
    "repeated",
    "uvloop_or_none",
]

TOGGLE, TEN, AUTOS = "toggle", "10 states with relations", "10 states with relations and Auto"
NONE, TWO = "no handlers", "two handlers"
ASYNC, AWAITS = "an async handler", "an async handler that awaits"
RING = tuple(f"s{number}" for number in range(10))

Drive = Callable[[int], object]
"""Makes a given number of mutations."""
LoopDrive = Callable[[int], Coroutine[Any, Any, object]]
"""The same inside a loop."""
Side = Callable[[int], float]
"""Makes a given number of mutations; returns the CPU seconds of its thread."""

PEERS = (
    Peer(
        name="transitions",
        module="with_transitions",
        imports="transitions",
        get="pip install transitions",
    ),
    Peer(
        name="python-statemachine",
        module="with_statemachine",
        imports="statemachine",
        get="pip install python-statemachine",
    ),
)


def installed(size: Size) -> frozenset[str]:
    """The other systems that can be measured here, by module; says how to get the others."""
    chosen = [peer for peer in PEERS if size.peers is None or peer.module in size.peers]
    for peer in chosen:
        if peer.missing:
            notice(f"{peer.name} is skipped, for it is not installed: {peer.get}")
    return frozenset(peer.module for peer in chosen if not peer.missing)


def plain(drive: Drive) -> Side:
    """A side without a loop."""

    def measure(count: int) -> float:
        began = time.thread_time()
        drive(count)
        return time.thread_time() - began

    return measure


def in_loop(drive: LoopDrive, runner: asyncio.Runner) -> Side:
    """A side in a loop; the loop's own start does not count."""

    async def timed(count: int) -> float:
        began = time.thread_time()
        await drive(count)
        return time.thread_time() - began

    return lambda count: runner.run(timed(count))


def repeated(step: Callable[[], object]) -> Drive:
    """Calls one function again and again."""

    def drive(count: int) -> None:
        for _ in range(count):
            step()

    return drive


def uvloop_or_none() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Factory of uvloop's loops, where it exists."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop
