"""Pools of processes: each failure that a worker, a client or a peer can have, and its end.

The names say which row of the reference's tests of its nodes they stand for.
"""

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
import rpc
from grid.client.client import Client as GridClient
from grid.testing import wait_until
from node.names import process_peer
from tests.node.kit import LONG, offer, status, until_ready, workers_of

Servers = Callable[..., grid.Server]

_HOLDER = """
import asyncio, sys, grid, node
async def main():
    async with grid.Client() as client, node.Client(client, "whoami", timeout=30) as pool:
        async with pool.worker() as worker:
            print("has it", flush=True)
            await asyncio.sleep(600)
asyncio.run(main())
"""


async def test_fork1_process_and_client_worker_payload(
    grid_servers: Servers, grid_client: GridClient, grid_etcd: Any, grid_namespace: str
) -> None:
    server = grid_servers()
    offer(server, "squarer", min=1, max=1)
    await server.start()
    (worker,) = workers_of(await until_ready(grid_client, "squarer", 1)).values()
    assert worker.pid != os.getpid()
    async with rpc.Client[Any](grid_client, "squarer-pool", states=node.PoolStates) as remote:
        assert remote.machine.is_("Ready", "WorkersAvailable")
        assert remote.machine.not_("Exception")
        forked = [remote.machine.tick(f"{name}") for name in ("ForkingWorker", "WorkerForked")]
        assert forked == [2, 2]
    # ClientSupervisorFallback: the first address has no peer.
    async with (
        GridClient(grid_namespace, etcd=f"127.0.0.1:1,{grid_etcd.endpoint}") as other,
        node.Client(other, "squarer", timeout=LONG) as pool,
        pool.worker() as one,
    ):
        payloads: list[rpc.Payload] = []
        machine = await one.machine(on_payload=payloads.append, timeout=LONG)
        assert machine.is_("ClientConnected")
        await machine.add("WorkRequested", args={"input": 2})
        await wait_until(lambda: bool(payloads), "the payload", timeout=LONG)
        assert payloads[0].data == b"4"


@pytest.mark.parametrize(
    ("settings", "count"),
    [({"min": 2, "max": 5, "warm": 2}, 4), ({"min": 7, "max": 15, "warm": 0}, 7)],
    ids=["fork5_warm2_min2", "fork15_warm0_min7"],
)
async def test_a_pool_has_its_minimum_and_its_warm_workers(
    settings: dict[str, int], count: int, grid_servers: Servers, grid_client: GridClient
) -> None:
    server = grid_servers()
    offer(server, "square", isolation="task", **settings)
    await server.start()
    found = await until_ready(grid_client, "square", count)
    assert (found.size, found.serving, found.trouble) == (count, 0, "")


async def test_four_errors_replace_a_worker_and_three_do_not(
    grid_servers: Servers, grid_client: GridClient
) -> None:
    server = grid_servers()
    offer(server, "squarer", min=1, max=1, error_limit=3, heartbeat=20.0)
    await server.start()
    (first,) = workers_of(await until_ready(grid_client, "squarer", 1))

    async def errors() -> int:
        return sum(one.errors for one in workers_of(await status(grid_client, "squarer")).values())

    async def fail(times: int) -> None:
        async with node.Client(grid_client, "squarer", timeout=LONG) as pool:
            for _ in range(times):
                with pytest.raises(node.JobFailed):
                    await pool.run(13)

    await fail(3)

    async def counted() -> bool:
        return await errors() == 3

    await wait_until(counted, "three errors to be told of", timeout=LONG)
    assert workers_of(await status(grid_client, "squarer")).keys() == {first}
    await fail(1)

    async def replaced() -> bool:
        found = await status(grid_client, "squarer")
        return found.ready == 1 and workers_of(found).keys().isdisjoint({first})

    await wait_until(replaced, "another worker", timeout=LONG)


async def test_a_worker_with_too_much_memory_is_replaced(
    grid_servers: Servers, grid_client: GridClient
) -> None:
    server = grid_servers()
    offer(server, "fragile", min=1, max=1, memory=300 << 20, heartbeat=20.0)
    await server.start()
    async with node.Client(grid_client, "fragile", timeout=LONG) as pool:
        assert await pool.run({"do": "hoard", "until": 2, "value": 1}) == [1, 2]


async def test_two_clients_have_different_workers_and_one_that_hangs_loses_its_own(
    grid_servers: Servers, grid_client: GridClient, grid_etcd: Any, grid_namespace: str
) -> None:
    server = grid_servers()
    offer(server, "whoami", min=2, max=2)
    await server.start()
    await until_ready(grid_client, "whoami", 2)
    holder = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", _HOLDER),
        env={**os.environ, "GRID_ETCD": grid_etcd.endpoint, "GRID_NAMESPACE": grid_namespace},
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert holder.stdout is not None
        assert await holder.stdout.readline() == b"has it\n"
        async with (
            node.Client(grid_client, "whoami", timeout=LONG) as pool,
            pool.worker() as mine,
        ):
            found = workers_of(await status(grid_client, "whoami"))
            assert len({one.client for one in found.values()}) == len(found) == 2
            with pytest.raises(node.NoWorker):
                await pool.worker(timeout=0.1)
            holder.send_signal(signal.SIGSTOP)  # it answers nothing any more
            async with pool.worker(timeout=LONG) as its:
                assert its.name != mine.name
    finally:
        holder.kill()
        await holder.wait()


async def test_a_worker_whose_module_is_missing_is_told_of_and_others_take_over(
    grid_servers: Servers,
    grid_client: GridClient,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    module = tmp_path / "vanishing_jobs.py"
    module.write_text("def work(_):\n    return 'never'\n")
    monkeypatch.syspath_prepend(tmp_path)
    work = importlib.import_module("vanishing_jobs").work
    module.unlink()
    broken, well = grid_servers(), grid_servers()
    settings: dict[str, Any] = {"min": 2, "max": 2, "warm": 0, "spare": 0, "start_failures": 2}
    settings |= {"pause": 0.05, "longest_pause": 0.2}
    node.worker(broken, "broken", **settings)(work)
    await broken.start()
    async with node.Client(grid_client, "broken", timeout=LONG) as pool:
        with pytest.raises(node.PoolFailed, match="No module named 'vanishing_jobs'"):
            await pool.run()
        async with rpc.Client[Any](grid_client, "broken-pool") as remote:
            await asyncio.wait_for(remote.machine.when("ErrPool"), LONG)
            offer(well, "broken", **settings)
            await well.start()
            await asyncio.wait_for(remote.machine.when("Ready"), LONG)
        assert await pool.run() is None
        found = {one.peer: one for one in (await status(grid_client, "broken")).agents}
        assert "vanishing_jobs" in found[str(broken.name)].trouble
        assert found[str(well.name)].trouble == ""


async def test_workers_of_a_peer_that_is_killed_are_gone_for_the_pool(
    grid_etcd: Any, grid_namespace: str, grid_servers: Servers, grid_client: GridClient
) -> None:
    leading = grid_servers()
    leading.actor("leader")(node.supervise)
    await leading.start()
    peer = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "grid", "serve", "tests.node.squares:peer"),
        env={**os.environ, "GRID_ETCD": grid_etcd.endpoint, "GRID_NAMESPACE": grid_namespace},
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        workers = workers_of(await until_ready(grid_client, "square", 2))
        async with rpc.Client[Any](grid_client, "square-pool", states=node.PoolStates) as remote:
            gone = remote.machine.when_ticks("WorkerGone", 4)
            failed = remote.machine.when_ticks("ErrWorker", 4)
            # One of them is in a client's hands, so that the supervisor goes on to count it.
            async with node.Client(grid_client, "square", timeout=LONG) as pool:
                held = await pool.worker()
                peer.kill()
                await asyncio.wait_for(gone, LONG)
                await asyncio.wait_for(failed, LONG)
                # While nothing tells of its agent it cannot be killed.
                assert (await remote.machine.add("KillWorker", args={"worker": held.name})).canceled
                await held.close()
        assert held.name in workers
    finally:
        if peer.returncode is None:
            peer.kill()
        await peer.wait()


async def test_when_the_leaders_peer_is_killed_workers_go_on_and_are_adopted(
    grid_etcd: Any, grid_namespace: str, grid_client: GridClient
) -> None:
    environment = {**os.environ, "GRID_ETCD": grid_etcd.endpoint, "GRID_NAMESPACE": grid_namespace}

    async def peer(name: str) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "grid", "serve", "tests.node.squares:peer", "--name", name),
            env=environment,
            stderr=asyncio.subprocess.DEVNULL,
        )

    async def leads(name: str) -> bool:
        return any(
            (one.name, one.peer) == ("leader", name) for one in await grid_client.query("actor")
        )

    first = await peer("first")
    processes = [first]
    try:
        await wait_until(lambda: leads("first"), "the first leader", timeout=LONG)
        processes.append(await peer("second"))

        async def spread() -> bool:
            found = await status(grid_client, "square")
            return found.ready == 2 == sum(len(one.workers) == 1 for one in found.agents)

        await wait_until(spread, "a worker on each peer", timeout=LONG)
        agents = {one.peer: one for one in (await status(grid_client, "square")).agents}
        (staying,) = (one.name for one in agents["second"].workers)
        async with node.Client(grid_client, "square", timeout=LONG) as pool:
            one, other = await pool.worker(), await pool.worker()
            worker = one if one.name == staying else other
            first.kill()
            await first.wait()
            assert [await worker.run(number) for number in range(20)] == [n * n for n in range(20)]
            await wait_until(lambda: leads("second"), "the next leader", timeout=LONG)
            after = workers_of(await until_ready(grid_client, "square", 2))
            assert after[staying].client == pool.id
            lost = [process_peer(one.name) for one in agents["first"].workers]

            async def forgotten() -> bool:
                return not any(found.name in lost for found in await grid_client.query("peer"))

            await wait_until(forgotten, "free names of workers that died with their peer")
            assert await worker.run(3) == 9
            await one.close()
            await other.close()
            assert await pool.map(range(10)).results() == [n * n for n in range(10)]
    finally:
        for process in processes:
            if process.returncode is None:
                process.terminate()
        await asyncio.gather(*(process.wait() for process in processes))
