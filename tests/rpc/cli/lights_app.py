"""A peer that serves a machine, for the tests of the command."""

from __future__ import annotations

import grid
import rpc
from machine import Event, Machine, States, state


class LightStates(States):
    Red = state(remove=["Green"])
    Green = state(remove=["Red"])
    Broken = state()


class Lights(Machine[LightStates]):
    asked_by: object = None

    def GreenEnter(self, event: Event) -> bool:
        self.asked_by = event.args.get("by")
        return self.not_("Broken")


server = grid.Server()


@server.actor("lights")
async def lights(ctx: grid.ActorContext) -> None:
    machine = Lights(id="crossing")
    machine.add("Red")
    rules = {"": rpc.Access(mutate={"Red", "Green"}), "owner": rpc.Access.all()}
    getters = {"asked_by": lambda: machine.asked_by}
    async with rpc.Server(machine, ctx, access=rules, getters=getters):
        await ctx.stopping.wait()
