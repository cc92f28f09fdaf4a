"""Time without a leader after the leader's process is killed."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from rich.console import Console

import grid
from examples.stage import Stage

__all__ = ["Failover", "kill_leader", "kill_two"]


@dataclass(frozen=True, slots=True)
class Failover:
    """From one leader to the next.

    Attributes:
        killed: the peer whose process was killed.
        successor: the peer that has the leader now.
        seconds: from the kill until the next leader was registered.
    """

    killed: str
    successor: str
    seconds: float


async def kill_leader(client: grid.Client, kill: Callable[[str], None]) -> Failover:
    """Kill the peer that has the leader, and return when another has it.

    Args:
        client: of the grid.
        kill: ends the process of the peer of that name.
    """
    async with client.watch(grid.Kind.ACTOR) as actors:
        old = await _leader(actors)
        began = time.monotonic()
        kill(old.peer)
        new = await _leader(actors, after=old.epoch)
        return Failover(old.peer, new.peer, time.monotonic() - began)


async def _leader(actors: grid.EntityWatch, after: int = 0) -> grid.Entity:
    async for event in actors:
        found = event.entity
        if isinstance(event, grid.EntityFound) and found.name == "leader" and found.epoch > after:
            return found
    raise RuntimeError("the watch ended: the client was closed")


async def kill_two(stage: Stage, console: Console) -> None:
    """Kill the leader's peer and another one, and say when another peer has the leader."""

    def kill(leader: str) -> None:
        for name in (leader, next(one for one in stage.peers.names if one != leader)):
            stage.peers.kill(name)
            console.print(f"killed {name}{', which has the leader' if name == leader else ''}")

    failover = await kill_leader(stage.client, kill)
    console.print(f"the leader is on {failover.successor} after {failover.seconds:.2f} s")
