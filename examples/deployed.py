"""The application of `docker-compose.yml`: a pool of workers, and a leader that keeps a greeter.

Peers offer workers that count the tokens of source files. The leader supervises them, and sees to
it that there is always a greeter called `front`: it starts one, and starts the next when the peer
of the last one has left or died.

    docker compose exec peer python -m examples.deployed

counts the files of Python's standard library on the pool.
"""

import asyncio
import sysconfig
from pathlib import Path

import grid
import node
from examples.corpus.app import KIND, WORKERS, count_file
from examples.corpus.job import Job
from examples.hello import server
from grid.errors import AlreadyRegistered

__all__ = ["server"]

KEPT = "front"


@server.actor("leader")
async def leader(ctx: grid.ActorContext) -> None:
    """Supervise the workers, and keep a greeter running, on whichever peer there is room."""
    async with asyncio.TaskGroup() as tasks:
        keeping = tasks.create_task(keep_greeter(ctx))
        await node.supervise(ctx)
        keeping.cancel()


async def keep_greeter(ctx: grid.ActorContext) -> None:
    """Start the greeter, and start it again whenever it is gone."""
    async with ctx.client.watch("actor") as events:
        await start(ctx.client)
        async for event in events:
            if isinstance(event, grid.EntityLost) and event.entity.name == KEPT:
                await start(ctx.client)


async def start(client: grid.Client) -> None:
    """Start the greeter, unless it runs."""
    while True:
        try:
            await client.start_actor("greeter", name=KEPT)
            return
        except AlreadyRegistered:
            if any(actor.name == KEPT for actor in await client.query("actor")):
                return
            await asyncio.sleep(0.05)  # the peer of the last one has not quite let go of the name


node.worker(server, KIND, min=WORKERS, max=2 * WORKERS, warm=0)(count_file)


async def main(files: list[Path]) -> None:
    """Count files on the pool of the grid that the environment names."""
    async with grid.Client() as client:
        job = Job(client, files)
        await job.run()
    for worker, number in sorted(job.tally.workers.items()):
        print(f"{worker} counted {number} files")
    print(f"{len(job.tally.files)} of {len(files)} files have {job.tally.tokens} tokens")


if __name__ == "__main__":
    asyncio.run(main(sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))))
