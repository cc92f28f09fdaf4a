"""Jobs that are hard on their worker's process."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import grid
import node
from grid.client.client import Client as GridClient
from grid.testing import wait_until
from node.names import process_peer
from tests.node.kit import LONG, offer, status, until_ready, workers_of
from tests.processes import alive

Servers = Callable[..., grid.Server]


async def _names(client: GridClient, worker: str) -> list[str]:
    found = [one for kind in ("peer", "mailbox") for one in await client.query(kind)]
    return [one.name for one in found if one.peer == process_peer(worker)]


@pytest.mark.parametrize(
    ("kind", "order"), [("rough", {"do": "hold", "seconds": 10.0}), ("waiter", "block")]
)
async def test_a_job_may_hold_its_process_for_longer_than_the_lease(
    grid_servers: Servers, grid_client: GridClient, kind: str, order: Any
) -> None:
    server = grid_servers(lease=2.0)
    offer(server, kind, min=1, max=1)
    await server.start()
    (worker,) = workers_of(await until_ready(grid_client, kind, 1)).values()
    async with node.Client(grid_client, kind, timeout=LONG) as pool:
        assert (await pool.run(order, attempts=1))[0] == worker.pid
    assert workers_of(await until_ready(grid_client, kind, 1)).keys() == {worker.name}


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
async def test_the_names_of_a_worker_that_was_killed_are_free_at_once(
    grid_servers: Servers, grid_client: GridClient, number: signal.Signals
) -> None:
    server = grid_servers(lease=20.0)
    offer(server, "rough", min=1, max=1, heartbeat=20.0 if number == signal.SIGKILL else 1.0)
    await server.start()
    (first,) = workers_of(await until_ready(grid_client, "rough", 1)).values()
    assert len(await _names(grid_client, first.name)) > 2
    os.kill(first.pid, number)

    async def free() -> bool:
        return not await _names(grid_client, first.name)

    await wait_until(free, "names to be free", timeout=10.0)  # half of the lease


async def test_jobs_that_read_find_the_end_of_the_input(
    grid_servers: Servers, grid_client: GridClient
) -> None:
    server = grid_servers()
    offer(server, "rough", min=1, max=1)
    await server.start()
    async with node.Client(grid_client, "rough", timeout=LONG) as pool:
        with pytest.raises(node.JobFailed, match="EOFError"):
            await asyncio.wait_for(pool.run({"do": "input"}), LONG)
        assert await asyncio.wait_for(pool.run({"do": "cat"}), LONG) == b""


@pytest.mark.parametrize(
    ("do", "number"), [("terminate", signal.SIGTERM), ("interrupt", signal.SIGINT)]
)
async def test_a_signal_ends_what_a_job_has_started_and_not_its_worker(
    grid_servers: Servers, grid_client: GridClient, do: str, number: signal.Signals
) -> None:
    server = grid_servers()
    offer(server, "rough", min=1, max=1)
    await server.start()
    async with node.Client(grid_client, "rough", timeout=LONG) as pool, pool.worker() as worker:
        for _ in range(2):
            pid, code, _ = await worker.run({"do": do}, timeout=LONG)
            assert code == -number
        assert await worker.run({"do": "nothing"}, timeout=LONG) == [pid, 1]


@pytest.mark.parametrize("end", ["kill", "leave", "stop", "stop the peer"])
async def test_what_a_job_has_started_ends_with_its_worker(
    grid_servers: Servers, grid_client: GridClient, end: str
) -> None:
    server = grid_servers()
    offer(server, "rough", min=1, max=1)
    await server.start()
    async with node.Client(grid_client, "rough", timeout=LONG) as pool:
        started = await pool.run({"do": "start"})
        (worker,) = workers_of(await status(grid_client, "rough")).values()
        assert alive(started)
        match end:
            case "kill":
                os.kill(worker.pid, signal.SIGKILL)
            case "leave":
                with pytest.raises(node.WorkerLost):
                    await pool.run({"do": "leave"}, attempts=1)
            case "stop":
                os.kill(worker.pid, signal.SIGTERM)
    if end == "stop the peer":
        await server.stop()
    await wait_until(lambda: not alive(started), "the end of what was started", timeout=LONG)


async def test_what_a_job_has_started_ends_with_a_peer_that_was_killed(
    grid_etcd: Any, grid_namespace: str, grid_client: GridClient
) -> None:
    peer = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "grid", "serve", "tests.node.rough:peer"),
        env={**os.environ, "GRID_ETCD": grid_etcd.endpoint, "GRID_NAMESPACE": grid_namespace},
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        (worker,) = workers_of(await until_ready(grid_client, "rough", 1)).values()
        async with node.Client(grid_client, "rough", timeout=LONG) as pool:
            started = await pool.run({"do": "start"})
            assert alive(started)
    finally:
        peer.kill()
        await peer.wait()
    await wait_until(
        lambda: not any(map(alive, (worker.pid, started))), "the end of all", timeout=LONG
    )


async def test_a_worker_whose_thread_has_ended_is_replaced(
    grid_servers: Servers, grid_client: GridClient, tmp_path: Path
) -> None:
    server = grid_servers()
    offer(server, "rough", min=1, max=1)
    await server.start()
    mark = tmp_path / "ended"
    async with node.Client(grid_client, "rough", timeout=LONG) as pool:
        first, _ = await pool.run({"do": "end the thread", "mark": str(mark)})
        # The thread ends when the next job comes.
        await wait_until(mark.exists, "the job's timer to go off", timeout=LONG)
        second, attempt = await asyncio.wait_for(pool.run({"do": ""}), 2 * LONG)
    assert second != first
    assert attempt == 2
