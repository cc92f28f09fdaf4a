"""Pools whose workers are processes: what is killed, hangs or breaks is replaced."""

from __future__ import annotations

import asyncio
import importlib
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
from tests.node.kit import LONG, offer, status, until_ready, workers_of
from tests.processes import alive
from tests.processes import own_children as all_children

Servers = Callable[..., grid.Server]


def own_children() -> set[int]:
    """The processes that this one has started, without the guards of agents."""
    return {one for one in all_children() if b"guard of workers" not in _command(one)}


def _command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""


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
        assert not alive(one.pid)


async def test_a_worker_begins_without_a_temporary_file_which_a_kill_would_leave(
    grid_servers: Servers, grid_client: GridClient
) -> None:
    server = grid_servers()
    offer(server, "whoami", min=1, max=1)
    await server.start()
    async with node.Client(grid_client, "whoami", timeout=LONG) as pool:
        # `tempfile` looks for its folder with files that it removes.
        assert (await pool.run())["folder"] is None


@pytest.mark.skipif(sys.platform != "linux", reason="looks at /proc")
async def test_a_spare_process_takes_the_place_of_a_worker_that_was_killed(
    grid_servers: Servers, grid_client: GridClient
) -> None:
    others = own_children()
    server = grid_servers()
    offer(server, "whoami", min=1, max=1, spare=1)
    await server.start()
    (first,) = workers_of(await until_ready(grid_client, "whoami", 1)).values()

    def spares(worker: int) -> set[int]:
        return own_children() - others - {worker}

    await wait_until(lambda: len(spares(first.pid)) == 1, "a spare process", timeout=LONG)
    (lost,) = spares(first.pid)
    os.kill(lost, signal.SIGKILL)  # another one takes its place
    await wait_until(lambda: len(spares(first.pid) - {lost}) == 1, "a spare", timeout=LONG)
    (spare,) = spares(first.pid) - {lost}
    os.kill(first.pid, signal.SIGKILL)
    async with node.Client(grid_client, "whoami", timeout=LONG) as pool:
        await wait_until(lambda: not alive(first.pid), "the kill", timeout=LONG)
        assert (await pool.run())["pid"] == spare
    await wait_until(lambda: len(spares(spare)) == 1, "the next spare", timeout=LONG)
    left = own_children() - others
    await server.stop()
    assert not any(map(alive, left))


@pytest.mark.skipif(sys.platform != "linux", reason="looks at /proc")
async def test_a_spare_of_old_code_and_one_that_has_died_are_not_taken(
    grid_servers: Servers,
    grid_client: GridClient,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    module = tmp_path / "changing_jobs.py"
    text = "import grid, node\npeer = grid.Server()\n@node.worker(peer, 'changing')\n"
    module.write_text(text + "def work(_):\n    return 'old'\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    others = own_children()
    server = grid_servers()
    work = importlib.import_module("changing_jobs").work
    node.worker(server, "changing", min=1, max=1, warm=0, spare=1)(work)
    await server.start()
    (first,) = workers_of(await until_ready(grid_client, "changing", 1)).values()
    await wait_until(lambda: len(own_children() - others) == 2, "a spare process", timeout=LONG)
    (spare,) = own_children() - others - {first.pid}
    module.write_text(text + "def work(_):\n    return 'new one'\n")
    os.kill(first.pid, signal.SIGKILL)
    async with node.Client(grid_client, "changing", timeout=LONG) as pool:
        assert await pool.run() == "new one"
        await wait_until(lambda: not alive(spare), "the end of the old one", timeout=LONG)
        (second,) = workers_of(await until_ready(grid_client, "changing", 1)).values()
        await wait_until(lambda: len(own_children() - others) == 2, "a spare process", timeout=LONG)
        (spare,) = own_children() - others - {second.pid}
        # Both at once: the spare must not be the next worker, which would count as failed.
        os.kill(spare, signal.SIGKILL)
        os.kill(second.pid, signal.SIGKILL)
        await wait_until(lambda: not alive(spare), "the kill", timeout=LONG)
        assert await pool.run() == "new one"
        assert (await status(grid_client, "changing")).trouble == ""
    left = own_children() - others
    await server.stop()
    assert not any(map(alive, left))


async def test_a_worker_that_hangs_is_killed_and_an_idle_one_that_is_killed_is_replaced(
    grid_servers: Servers, grid_client: GridClient
) -> None:
    server = grid_servers()
    offer(server, "fragile", min=1, max=1, heartbeat=1.0)
    await server.start()
    async with node.Client(grid_client, "fragile", timeout=LONG) as pool:
        (first,) = workers_of(await until_ready(grid_client, "fragile", 1)).values()
        os.kill(first.pid, signal.SIGKILL)
        await wait_until(lambda: not alive(first.pid), "the kill", timeout=LONG)
        assert await pool.run({"do": "hang", "until": 2, "value": 7}) == [7, 2]
        (other,) = workers_of(await until_ready(grid_client, "fragile", 1)).values()
        assert other.pid != first.pid


async def test_code_that_breaks_at_its_start_is_told_of_with_its_last_words(
    grid_servers: Servers,
    grid_client: GridClient,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")
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
    told = [one for one in caplog.records if "broken on purpose" in one.getMessage()]
    assert {one.name for one in told} == {"node.worker", "node.agent", "node.supervisor"}
    for one in told:  # the traceback is there once, as the worker has printed it
        assert "\n" not in one.getMessage()


async def test_a_search_path_may_have_entries_that_python_passes_over(
    grid_servers: Servers,
    grid_client: GridClient,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path, tmp_path])
    server = grid_servers()
    offer(server, "square", min=1, max=1, start_failures=1)
    await server.start()
    async with node.Client(grid_client, "square", timeout=LONG) as pool:
        assert await pool.run(3) == 9


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
    await wait_until(lambda: not any(map(alive, pids)), "the workers to end", timeout=LONG)
