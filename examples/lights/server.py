"""A peer whose actor exposes the crossing: `grid serve examples.lights.server:peer`."""

from __future__ import annotations

import asyncio

import grid
from examples.lights.states import CrossingStates
from machine import Machine

__all__ = ["Crossing", "peer"]

PACE = 0.3  # seconds of each light


class Crossing(Machine[CrossingStates]):
    """The crossing itself: it changes its lights by the clock, once somebody has called."""

    async def CalledState(self) -> None:
        await asyncio.sleep(PACE)
        self.add("Yellow")
        await asyncio.sleep(PACE)
        self.add("Red")  # Walk follows by itself

    async def WalkState(self) -> None:
        await asyncio.sleep(PACE)
        self.set("Green")  # ends Walk, and this handler with it


peer = grid.Server()


@peer.actor("crossing")
async def crossing(ctx: grid.ActorContext) -> None:
    await ctx.expose(Crossing(id="crossing"), interval=0.01)
    await ctx.stopping.wait()
