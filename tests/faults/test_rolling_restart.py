"""A rolling restart of all peers amid 50 callers loses no request, and counts none twice."""

import asyncio
import contextlib
import signal
import sys
from asyncio.subprocess import Process
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from google.protobuf.wrappers_pb2 import Int64Value

import grid
from grid.embedded import Etcd
from grid.testing import wait_until

_CALLERS = 50
_PEER = """
import sys
import grid
from google.protobuf.wrappers_pb2 import Int64Value
from grid.state import SqliteStore

namespace, etcd, file, name = sys.argv[1:]
server = grid.Server(namespace, etcd=etcd, lease=5, name=name)
server.provide(SqliteStore(file), enter=True)

class Counter:
    async def on_start(self, ctx: grid.ActorContext) -> None:
        self.total = await ctx.state.load(Int64Value) or Int64Value()
        ctx.state.save_at_end(self.total)

    @grid.handler
    async def add(self, by: Int64Value) -> Int64Value:
        self.total.value += by.value
        return self.total

server.actor("kept", keep=2)(Counter)
server.actor("room", activate=True)(Counter)
server.actor("job", move=True)(Counter)
server.run()
"""

Spawn = Callable[[str], Awaitable[Process]]


@pytest.fixture
async def spawn(grid_etcd: Etcd, grid_namespace: str, tmp_path: Path) -> AsyncIterator[Spawn]:
    """Starts a peer of a name as a process."""
    processes: list[Process] = []

    async def spawn(name: str) -> Process:
        arguments = (grid_namespace, grid_etcd.endpoint, str(tmp_path / "states"), name)
        process = await asyncio.create_subprocess_exec(sys.executable, "-c", _PEER, *arguments)
        processes.append(process)
        return process

    yield spawn
    for process in processes:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def test_a_rolling_restart_loses_no_request_of_fifty_callers(
    spawn: Spawn, grid_namespace: str, grid_etcd: Etcd
) -> None:
    names = ["kept-0", "kept-1", "job", *(f"room-{number}" for number in range(5))]
    added, over = Counter[str](), False
    totals: dict[str, int] = {}
    async with grid.Client(grid_namespace, etcd=grid_etcd.endpoint, timeout=60) as client:

        async def call(number: int) -> None:
            name = names[number % len(names)]
            while not over:
                reply = await client.request(name, Int64Value(value=1), reply=Int64Value)
                added[name] += 1
                totals[name] = max(totals.get(name, 0), reply.value)
                await asyncio.sleep(0.01)  # the processes that start need the machine, too

        peers = {name: await spawn(name) for name in ("a", "b")}
        await asyncio.gather(*(client.wait_until_serving(name) for name in peers))
        await client.start_actor("job", peer="a")

        async def all_there() -> bool:
            return set(names[:3]) <= {one.name for one in await client.query("mailbox")}

        await wait_until(all_there, "the kept actors run", timeout=30)
        async with asyncio.TaskGroup() as callers:
            for number in range(_CALLERS):
                callers.create_task(call(number))
            for name in peers:
                peers[name].send_signal(signal.SIGTERM)
                assert await peers[name].wait() == 0
                before = added.total()
                await spawn(name)
                await client.wait_until_serving(name)
                enough = before + 100
                await wait_until(lambda: added.total() >= enough, "callers go on", timeout=30)  # noqa: B023
            over = True
    assert set(added) == set(names)
    assert totals == dict(added)
