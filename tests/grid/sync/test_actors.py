"""Blocking actors: what their context has, with calls that block."""

import grid
from grid.sync import BlockingContext
from grid.testing import wait_until


async def test_a_blocking_actor_waits_for_its_end(
    grid_server: grid.Server, grid_client: grid.Client
) -> None:
    seen: list[object] = []

    @grid_server.actor("patient")
    def patient(ctx: BlockingContext) -> None:
        seen.append(ctx.stopping.wait(0.01))
        seen.append(bool(ctx.stopping))
        seen.append(ctx.stopping.wait())
        seen.append((ctx.stopping.is_set(), ctx.stopping.reason))

    await grid_client.start_actor("patient")
    await wait_until(lambda: len(seen) == 2, "it waits")
    await grid_client.stop_actor("patient")
    assert seen == [False, False, True, (True, "stopped by request")]
