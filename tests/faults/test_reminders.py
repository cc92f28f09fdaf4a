"""A reminder comes although the process of its actor, or of the elected sender, is killed."""

import asyncio
import contextlib
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from google.protobuf.wrappers_pb2 import DoubleValue

import grid
from grid.embedded import Etcd
from grid.server.reminders import REMINDERS
from grid.testing import wait_until

_PEER = """
import os, sys
import grid
from google.protobuf.wrappers_pb2 import DoubleValue, StringValue

server = grid.Server(sys.argv[1], etcd=sys.argv[2], lease=2, name="p" + str(os.getpid()))

@server.actor("alarm")
class Alarm:
    @grid.handler
    async def set(self, after: DoubleValue, ctx: grid.ActorContext) -> None:
        await ctx.remind("ring", StringValue(value=sys.argv[3]), after=after.value)

    @grid.handler
    async def ring(self, file: StringValue, ctx: grid.ActorContext) -> None:
        with open(file.value, "a") as rings:
            rings.write(ctx.peer + "\\n")

server.run()
"""


@pytest.fixture
async def processes(
    grid_etcd: Etcd, grid_namespace: str, tmp_path: Path
) -> AsyncIterator[dict[str, Process]]:
    """Three peers, by their names."""
    arguments = (grid_namespace, grid_etcd.endpoint, str(tmp_path / "rings"))
    started = [
        await asyncio.create_subprocess_exec(sys.executable, "-c", _PEER, *arguments)
        for _ in range(3)
    ]
    yield {f"p{one.pid}": one for one in started}
    for process in started:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


@pytest.mark.parametrize("victim", ["actor", "sender"])
async def test_a_killed_process_does_not_lose_a_reminder(
    victim: str,
    processes: dict[str, Process],
    grid_namespace: str,
    grid_etcd: Etcd,
    tmp_path: Path,
) -> None:
    async with grid.Client(grid_namespace, etcd=grid_etcd.endpoint, timeout=30) as client:

        async def names() -> dict[str, str]:
            return {one.name: one.peer for one in await client.query("actor")}

        await asyncio.gather(*(client.wait_until_serving(name) for name in processes))
        await client.start_actor("alarm", peer=min(processes))
        await client.request("alarm", DoubleValue(value=1.0))

        async def elected() -> bool:
            return REMINDERS in await names()

        await wait_until(elected, "a sender is elected", timeout=30)
        owner = (await names())["alarm" if victim == "actor" else REMINDERS]
        processes[owner].kill()
        rings = tmp_path / "rings"

        def rung_by() -> list[str]:
            return rings.read_text().split() if rings.exists() else []

        await wait_until(rung_by, "the reminder", timeout=30)
        assert rung_by()[0] in processes

        async def empty() -> bool:
            return not await client.reminders()

        await wait_until(empty, "no reminder waits", timeout=30)
        if victim == "actor":
            assert owner not in rung_by()
