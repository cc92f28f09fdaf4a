"""Subscriptions go on after the process of their actor is killed."""

import asyncio
import contextlib
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator

import pytest
from google.protobuf.wrappers_pb2 import Int64Value

import grid
from grid.embedded import Etcd

_PEER = """
import os, sys
from collections.abc import AsyncIterator
import grid
from google.protobuf.wrappers_pb2 import Int64Value

server = grid.Server(sys.argv[1], etcd=sys.argv[2], lease=2, annotations=[str(os.getpid())])

@server.actor("feed", keep=1)
class Feed:
    @grid.handler
    async def numbers(self, start: Int64Value) -> AsyncIterator[Int64Value]:
        for number in range(start.value, 1_000_000):
            yield Int64Value(value=number)

server.run()
"""


@pytest.fixture
async def processes(grid_etcd: Etcd, grid_namespace: str) -> AsyncIterator[list[Process]]:
    """Two peers that keep one feed."""
    started = [
        await asyncio.create_subprocess_exec(
            sys.executable, "-c", _PEER, grid_namespace, grid_etcd.endpoint
        )
        for _ in range(2)
    ]
    yield started
    for process in started:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def test_each_item_comes_once_though_the_process_of_the_actor_is_killed(
    processes: list[Process], grid_namespace: str, grid_etcd: Etcd
) -> None:
    async with grid.Client(grid_namespace, etcd=grid_etcd.endpoint, timeout=30) as client:

        async def pid() -> int:
            feeds: list[grid.Entity] = []
            while not feeds:
                found = await client.query("mailbox")
                feeds = [one for one in found if one.name == "feed-0"]
            peers = {one.name: one for one in await client.query("peer")}
            return int(peers[feeds[0].peer].annotations[0])

        await pid()
        found: list[int] = []
        async with client.subscribe(
            "feed-0",
            Int64Value(),
            item=Int64Value,
            resume=lambda last: Int64Value(value=last.value + 1),
            patience=60,
        ) as items:
            async for item in items:
                found.append(item.value)
                if len(found) == 500:
                    killed = await pid()
                    next(one for one in processes if one.pid == killed).kill()
                if len(found) == 5000:
                    break
            assert items.openings >= 2
        assert found == list(range(5000))
