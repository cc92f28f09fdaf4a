"""Pools whose workers are processes: what is killed, hangs or breaks is replaced."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

import grid
import node
from grid.client.client import Client as GridClient
from grid.testing import wait_until
from tests.node.kit import LONG, offer, status, until_ready, workers_of

Servers = Callable[..., grid.Server]


def _lives(pid: int) -> bool:
    with suppress(ProcessLookupError):
        os.kill(pid, 0)
        return True
    return False


async def test_killed_workers_are_replaced_and_their_jobs_run_again(
    grid_servers: Servers, grid_client: GridClient
) -> None:
    server = grid_servers()
    offer(server, "fragile", min=2, max=2)
    await server.start()
    async with node.Client(grid_client, "fragile", timeout=LONG) as pool:
        before = workers_of(await until_ready(grid_client, "fragile", 2))
        assert os.getpid() not in {one.pid for one in before.values()}
        # A job that ends its worker runs again elsewhere, as do those that were queued there.
        orders: list[dict[str, Any]] = [{"value": n} for n in range(300)]
        orders[100] |= {"do": "die", "until": 2}
        ends = await pool.map(orders, errors="return").results()
        assert [one.value[0] for one in ends] == list(range(300))
        assert ends[100].attempt == max(one.attempt for one in ends) == 2
        # One that always does is given up.
        with pytest.raises(node.WorkerLost, match="attempt 2, the last"):
            await pool.run({"do": "die"}, attempts=2)
        after = workers_of(await until_ready(grid_client, "fragile", 2))
        assert len(before.keys() & after.keys()) < 2
    await server.stop()
    for one in (*before.values(), *after.values()):
        assert not _lives(one.pid)


async def test_a_worker_that_hangs_is_killed_and_an_idle_one_that_is_killed_is_replaced(
    grid_servers: Servers, grid_client: GridClient
) -> None:
    server = grid_servers()
    offer(server, "fragile", min=1, max=1, heartbeat=1.0)
    await server.start()
    async with node.Client(grid_client, "fragile", timeout=LONG) as pool:
        (first,) = workers_of(await until_ready(grid_client, "fragile", 1)).values()
        os.kill(first.pid, signal.SIGKILL)
        await wait_until(lambda: not _lives(first.pid), "the kill", timeout=LONG)
        assert await pool.run({"do": "hang", "until": 2, "value": 7}) == [7, 2]
        (other,) = workers_of(await until_ready(grid_client, "fragile", 1)).values()
        assert other.pid != first.pid


async def test_code_that_breaks_at_its_start_is_told_of_with_its_last_words(
    grid_servers: Servers, grid_client: GridClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEST_BREAK_WORKERS", "1")
    server = grid_servers()
    offer(server, "broken", min=1, max=1, start_failures=2, pause=0.05, longest_pause=0.1)
    await server.start()
    async with node.Client(grid_client, "broken", timeout=LONG) as pool:
        with pytest.raises(node.PoolFailed, match="this code is broken on purpose"):
            await pool.run()
        assert "RuntimeError" in (await status(grid_client, "broken")).trouble
        monkeypatch.delenv("TEST_BREAK_WORKERS")
        await until_ready(grid_client, "broken", 1)
        await wait_until(lambda: _is_well(grid_client), "the end of the trouble", timeout=LONG)
        assert await pool.run() is None


async def _is_well(client: GridClient) -> bool:
    return (await status(client, "broken")).trouble == ""


async def test_no_worker_outlives_a_killed_peer(
    grid_etcd: object, grid_namespace: str, grid_client: GridClient
) -> None:
    endpoint = grid_etcd.endpoint  # type: ignore[attr-defined]
    peer = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "grid", "serve", "tests.node.squares:peer"),
        env={**os.environ, "GRID_ETCD": endpoint, "GRID_NAMESPACE": grid_namespace},
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        pids = [one.pid for one in workers_of(await until_ready(grid_client, "square", 2)).values()]
    finally:
        peer.kill()
        await peer.wait()
    await wait_until(lambda: not any(map(_lives, pids)), "the workers to end", timeout=LONG)
