"""A pedestrian in another process: asks the crossing, presses its button, waits for its lights."""

from __future__ import annotations

from collections.abc import Callable

import grid
import rpc
from examples.lights.states import CrossingStates
from machine import Tracer, Transition

__all__ = ["cross"]


class Changes(Tracer):
    """Reports each change of the lights."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say

    def transition_end(self, tx: Transition) -> None:
        self._say(f"  {tx.machine}")


async def cross(client: grid.Client, times: int, say: Callable[[str], None] = print) -> int:
    """Cross the street some times; the number of changes of the light for pedestrians."""
    async with rpc.Client(client, "crossing", states=CrossingStates) as remote:
        crossing = remote.machine
        crossing.bind_tracer(Changes(say))
        for number in range(1, times + 1):
            walk = crossing.when("Walk")
            result = await crossing.add("Called", args={"by": f"pedestrian {number}"})
            say(f"pedestrian {number} has pressed the button: {result}")
            await walk
            say(f"pedestrian {number} walks")
            await crossing.when("Green")
        return crossing.tick("Walk")
