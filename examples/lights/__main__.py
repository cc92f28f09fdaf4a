"""An etcd, a peer with the crossing, and a pedestrian here."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys

import grid
from examples.lights.pedestrian import cross
from grid.embedded import Etcd

_NAMESPACE = "street"


async def main(times: int) -> None:
    """Serve the crossing in a process, and use it in this one."""
    async with Etcd() as etcd:
        where = {**os.environ, "GRID_ETCD": etcd.endpoint, "GRID_NAMESPACE": _NAMESPACE}
        serve = ("-m", "grid", "serve", "examples.lights.server:peer")
        peer = await asyncio.create_subprocess_exec(sys.executable, *serve, env=where)
        try:
            async with grid.Client(_NAMESPACE, etcd=etcd.endpoint) as client:
                async with client.watch("peer") as events:
                    await anext(events)  # it has joined
                await client.start_actor("crossing")
                changes = await cross(client, times)
            print(
                f"the light for pedestrians has changed {changes} times, seen from another process"
            )
        finally:
            peer.terminate()
            await peer.wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m examples.lights")
    parser.add_argument("--times", type=int, default=3, help="how often to cross (default: 3)")
    asyncio.run(main(parser.parse_args().times))
