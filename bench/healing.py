"""Healing of a pool: a worker, a peer and the leader's peer are killed, again and again.

The yardstick of a worker is a bare Python process that imports the same modules, started in turns:
a pool without a spare process cannot be faster than that.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from contextlib import suppress

import node
from bench.healing_jobs import KIND, LEASE
from bench.model import Progress, Row, Size, median, percentile
from grid import Client, GridError
from grid.embedded import Etcd
from node.names import SUPERVISOR
from node.pool_pb2 import PoolsQuery, PoolsStatus, PoolStatus

__all__ = ["measure"]

_WORKERS = 2
_MOST_WORKER = 2.0  # seconds
_MOST_PEER = LEASE + 2.0  # seconds
_IMPORTS = "import node.worker.process, bench.healing_jobs"


async def measure(size: Size, progress: Progress) -> list[Row]:
    """The rows of this benchmark."""
    namespace = f"healing-{os.getpid()}"
    workers: list[float] = []
    bare: list[float] = []
    peers: list[float] = []
    leaders: list[float] = []
    gaps: list[float] = []
    async with Etcd() as etcd, Client(namespace, etcd=etcd.endpoint) as client:
        grid = _Grid(
            client, {**os.environ, "GRID_ETCD": etcd.endpoint, "GRID_NAMESPACE": namespace}
        )
        try:
            await grid.start("a")
            await grid.start("b")
            for number in range(size.kills):
                progress(f"healing: worker {number + 1} of {size.kills}")
                bare.append(await _bare())
                workers.append(await grid.kill_worker())
            for number in range(size.kills):
                progress(f"healing: peers {number + 1} of {size.kills}")
                peers.append(await grid.kill_peer(leader=False))
                async with node.Client(client, KIND, timeout=60.0) as pool:
                    working = asyncio.create_task(_work(pool, gaps))
                    leaders.append(await grid.kill_peer(leader=True))
                    working.cancel()
                    await asyncio.wait([working])
        finally:
            await grid.stop()
    return [
        *_rows("a worker is killed", workers, _MOST_WORKER, bare),
        *_rows(f"a peer is killed, lease {LEASE:g} s", peers, _MOST_PEER),
        *_rows(f"the leader's peer is killed, lease {LEASE:g} s", leaders, _MOST_PEER),
        Row(
            subject="healing",
            case="the leader's peer is killed",
            figure="longest wait for a job meanwhile",
            unit="s",
            ours=max(gaps),
        ),
    ]


class _Grid:
    """The peers as processes."""

    def __init__(self, client: Client, environment: dict[str, str]) -> None:
        self._client = client
        self._environment = environment
        self._peers: dict[str, asyncio.subprocess.Process] = {}

    async def start(self, name: str) -> None:
        self._peers[name] = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "grid", "serve", "bench.healing_jobs:peer", "--name", name),
            env=self._environment,
            stderr=asyncio.subprocess.DEVNULL,
        )

    async def stop(self) -> None:
        for process in self._peers.values():
            with suppress(ProcessLookupError):
                process.terminate()
        await asyncio.gather(*(process.wait() for process in self._peers.values()))

    async def kill_worker(self) -> float:
        found = await self._whole()
        await asyncio.sleep(1.0)  # its spare is there again
        victim = min(_pids(found))
        began = time.perf_counter()
        os.kill(victim, signal.SIGKILL)
        await self._whole(without=victim)
        return time.perf_counter() - began

    async def kill_peer(self, *, leader: bool) -> float:
        await self._whole(peers=2)
        (leads,) = [one.peer for one in await self._client.query("actor") if one.name == "leader"]
        (name,) = [one for one in self._peers if (one == leads) is leader]
        began = time.perf_counter()
        self._peers[name].kill()
        await self._peers[name].wait()
        await self._whole(peers=1)
        took = time.perf_counter() - began
        await self.start(name)
        return took

    async def _whole(self, *, without: int = 0, peers: int = 0) -> PoolStatus:
        """Wait until all workers are ready, on this number of peers, 0: any, none of them lost."""
        query = PoolsQuery(kind=KIND)
        while True:
            found = PoolStatus()
            with suppress(GridError):  # there is no leader
                told = await self._client.request(SUPERVISOR, query, reply=PoolsStatus, timeout=0.5)
                found = told.pools[0] if told.pools else found
            pids = _pids(found)
            spread = sum(bool(one.workers) for one in found.agents)
            known = len(found.agents)
            whole = found.ready == len(pids) == _WORKERS and without not in pids
            if whole and (not peers or peers == known == spread):
                return found
            await asyncio.sleep(0.01)


async def _work(pool: node.Client, gaps: list[float]) -> None:
    """Run jobs one after the other, and note the longest wait."""
    gaps.append(0.0)
    while True:
        began = time.perf_counter()
        await pool.run(1)
        gaps[-1] = max(gaps[-1], time.perf_counter() - began)
        await asyncio.sleep(0.02)


async def _bare() -> float:
    began = time.perf_counter()
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", _IMPORTS)
    await process.wait()
    return time.perf_counter() - began


def _pids(found: PoolStatus) -> set[int]:
    return {one.pid for agent in found.agents for one in agent.workers}


def _rows(
    case: str, samples: list[float], most: float, bare: list[float] | None = None
) -> list[Row]:
    against = "a bare process with its imports" if bare else ""
    return [
        Row(
            subject="healing",
            case=case,
            figure="pool whole again, p50",
            unit="s",
            ours=percentile(samples, 50),
            yardstick=median(bare) if bare else None,
            against=against,
            samples=tuple(samples),
        ),
        Row(
            subject="healing",
            case=case,
            figure="pool whole again, slowest",
            unit="s",
            ours=max(samples),
            yardstick=max(bare) if bare else None,
            against=against,
            most=most,
        ),
    ]
