"""The application of `docker-compose.yml`: greeters, and a leader that keeps one running.

The leader sees to it that there is always a greeter called `front`: it starts one, and starts
the next when the peer of the last one has left or died.
"""

import contextlib

import grid
from examples.hello import server
from grid.errors import AlreadyRegistered

__all__ = ["server"]

KEPT = "front"


@server.actor("leader")
async def leader(ctx: grid.ActorContext) -> None:
    """Keep a greeter running, on whichever peer there is room."""
    async with ctx.client.watch("actor") as events:
        await start(ctx.client)
        async for event in events:
            if isinstance(event, grid.EntityLost) and event.entity.name == KEPT:
                await start(ctx.client)


async def start(client: grid.Client) -> None:
    """Start the greeter, unless it runs."""
    with contextlib.suppress(AlreadyRegistered):
        await client.start_actor("greeter", name=KEPT)
