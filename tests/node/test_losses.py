"""Errors of lost workers say why: as their agents know it, not as the connection ended."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import Any

import pytest

import grid
import node
from grid.client.client import Client as GridClient
from machine.core.transition import Event
from node.client.losses import Losses
from node.names import SUPERVISOR
from node.pool_pb2 import KillWorker
from tests.node.kit import LONG, offer, status, until_ready, workers_of

Servers = Callable[..., grid.Server]


@pytest.mark.parametrize(
    ("order", "settings", "why"),
    [
        ({"do": "die"}, {}, r"its process was ended by SIGKILL"),
        ({"do": "exit", "code": 4}, {}, r"its process ended with 4"),
        (
            {"do": "sleep", "seconds": 600},
            {"job_timeout": 0.3},
            r"its job took more than 0\.3 s \(job_timeout\)",
        ),
        (
            {"do": "hoard"},
            {"memory": 200 << 20},
            r"its memory is \d+ bytes; the limit is 209715200 \(memory\)",
        ),
    ],
    ids=["killed", "exit", "job_timeout", "memory"],
)
async def test_the_error_of_a_lost_worker_says_why_and_where_its_log_is(
    grid_servers: Servers,
    grid_client: GridClient,
    order: dict[str, Any],
    settings: dict[str, Any],
    why: str,
) -> None:
    server = grid_servers()
    offer(server, "fragile", min=1, max=1, **settings)
    await server.start()
    await until_ready(grid_client, "fragile", 1)
    async with node.Client(grid_client, "fragile", timeout=LONG) as pool:
        listener = _Listener()
        pool.mach.bind(listener)
        with pytest.raises(node.WorkerLost, match=why) as caught:
            await pool.run(order, attempts=1)
        assert f"grid worker logs {caught.value.worker}" in str(caught.value)
        assert "session" not in str(caught.value)
        (end,) = await pool.map([order], attempts=1, errors="return").results()
        assert isinstance(end.error, node.WorkerLost)
        assert re.search(why, str(end.error))
        assert len(listener.heard) == 2
        assert all(re.search(why, one) for one in listener.heard)


async def test_a_job_that_may_have_run_is_lost_where_no_other_worker_starts(
    grid_servers: Servers, grid_client: GridClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = grid_servers()
    offer(server, "fragile", min=1, max=1, start_failures=1, pause=0.05, longest_pause=0.1)
    await server.start()
    await until_ready(grid_client, "fragile", 1)
    monkeypatch.setenv("TEST_BREAK_WORKERS", "1")
    async with node.Client(grid_client, "fragile", timeout=LONG) as pool:
        with pytest.raises(node.WorkerLost, match="SIGKILL") as caught:
            await pool.run({"do": "die"})
        assert (caught.value.attempts, caught.value.retryable) == (1, False)
        assert "there was no other worker: workers of kind" in caught.value.__notes__[0]
        with pytest.raises(node.PoolFailed) as refused:
            await pool.run({"value": 1})
        assert refused.value.retryable
        with pytest.raises(node.PoolFailed) as refused:
            await pool.map([{"value": 1}]).results()
        assert refused.value.retryable


async def test_a_run_that_ends_after_some_of_its_jobs_is_not_safe_to_retry(
    grid_servers: Servers, grid_client: GridClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = grid_servers()
    offer(server, "fragile", min=1, max=1, start_failures=1, pause=0.05, longest_pause=0.1)
    await server.start()
    await until_ready(grid_client, "fragile", 1)
    monkeypatch.setenv("TEST_BREAK_WORKERS", "1")
    async with node.Client(grid_client, "fragile", timeout=LONG) as pool:
        with pytest.raises(node.PoolFailed, match="broken on purpose") as caught:
            await pool.map([{"value": 1}, {"do": "die"}]).results()
        assert not caught.value.retryable
        assert caught.value.__notes__ == ["jobs of this run may have run"]


class _Listener:
    def __init__(self) -> None:
        self.heard: list[str] = []

    def ErrWorkerState(self, event: Event) -> None:
        self.heard.append(str(event.args["error"]))


async def test_a_worker_that_was_killed_by_an_operator_says_so(
    grid_servers: Servers, grid_client: GridClient
) -> None:
    server = grid_servers()
    offer(server, "fragile", min=1, max=1)
    await server.start()
    await until_ready(grid_client, "fragile", 1)
    async with node.Client(grid_client, "fragile", timeout=LONG) as pool, pool.worker() as worker:
        running = asyncio.create_task(worker.run({"do": "sleep", "seconds": 600}))
        await worker.machine(timeout=LONG)
        await grid_client.request(SUPERVISOR, KillWorker(worker=worker.name))
        with pytest.raises(node.WorkerLost, match="its end was ordered"):
            await running
        with pytest.raises(node.WorkerLost, match="its end was ordered"):
            await worker.run({})
        assert worker.name not in workers_of(await status(grid_client, "fragile"))


async def test_a_reason_is_waited_for_a_moment_and_no_longer() -> None:
    losses = Losses(patience=0.05)
    assert await losses.reason("a-1") == ""
    losses.told("a-2", "it fell")
    assert await losses.reason("a-2") == "it fell"
    asking = asyncio.create_task(losses.reason("a-3"))
    await asyncio.sleep(0)
    losses.told("a-3", "it fell, too")
    assert await asking == "it fell, too"
    for number in range(1000):
        losses.told(f"b-{number}", "it fell")
    assert len(losses) < 1000
