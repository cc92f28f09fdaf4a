"""Pools of workers: jobs a second, the time to a free worker, and to a new one.

The yardstick is `concurrent.futures.ProcessPoolExecutor` with as many processes and the same
jobs, in turns, one job at a time as `map` of both does by default.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import node
from bench.model import Progress, Row, Size, median, percentile
from bench.worker_jobs import burn, small
from grid import Client, GridError, Server
from grid.embedded import Etcd
from node.names import SUPERVISOR
from node.pool_pb2 import PoolsQuery, PoolsStatus

__all__ = ["measure"]

_WORKERS = 2
_LONG = 0.1  # seconds of a job
_JOBS = 10_000
_LONG_JOBS = 40
_RUNS = 200
_LEAST_RATIO = 0.5
_LEAST_LONG_RATIO = 0.95
_MOST_RUN = 20.0  # ms
_MOST_HEAL = 2.0  # seconds


async def measure(size: Size, progress: Progress) -> list[Row]:
    """The rows of this benchmark."""
    pairs: list[tuple[float, float]] = []
    long: list[tuple[float, float]] = []
    settings: dict[str, Any] = {"min": _WORKERS, "max": _WORKERS, "warm": 0}
    async with Etcd() as etcd:
        server = Server("workers", etcd=etcd.endpoint)
        node.worker(server, "small", **settings)(small)
        node.worker(server, "burn", **settings)(burn)
        spawn = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(_WORKERS, mp_context=spawn) as executor:
            await asyncio.to_thread(list, executor.map(small, range(100)))
            async with (
                server,
                Client("workers", etcd=etcd.endpoint) as client,
                node.Client(client, "small", timeout=60.0) as smalls,
                node.Client(client, "burn", timeout=60.0) as burns,
            ):
                await _pids(client, "small")
                await _pids(client, "burn")
                for number in range(size.rounds):
                    progress(f"workers: round {number + 1} of {size.rounds}")
                    for pool, function, jobs, found in (
                        (smalls, small, range(_JOBS), pairs),
                        (burns, burn, [_LONG] * _LONG_JOBS, long),
                    ):
                        ours = await _rate(pool, jobs)
                        theirs = await asyncio.to_thread(_their_rate, executor, function, jobs)
                        found.append((ours, theirs))
                progress("workers: runs")
                runs = await _runs(smalls)
                heals = [await _heal(client, progress) for _ in range(size.kills)]
    return _rows(pairs, long, runs, heals)


async def _rate(pool: node.Client, jobs: Sequence[Any]) -> float:
    began = time.perf_counter()
    results = await pool.map(jobs).results()
    elapsed = time.perf_counter() - began
    if len(results) != len(jobs):
        raise RuntimeError("the jobs were not done")
    return len(jobs) / elapsed


def _their_rate(
    executor: ProcessPoolExecutor, function: Callable[[Any], Any], jobs: Sequence[Any]
) -> float:
    began = time.perf_counter()
    for _ in executor.map(function, jobs):
        pass
    return len(jobs) / (time.perf_counter() - began)


async def _runs(pool: node.Client) -> list[float]:
    """Milliseconds of `run`: a worker is asked for, does one job and is released."""
    found = []
    for number in range(_RUNS):
        began = time.perf_counter()
        await pool.run(number)
        found.append((time.perf_counter() - began) * 1000)
    return found


async def _heal(client: Client, progress: Progress) -> float:
    """Seconds from the kill of a worker to a pool with all its workers ready again."""
    progress("workers: a kill")
    before = await _pids(client, "small")
    began = time.perf_counter()
    os.kill(min(before), signal.SIGKILL)
    await _pids(client, "small", without=min(before))
    return time.perf_counter() - began


async def _pids(client: Client, kind: str, without: int = 0) -> set[int]:
    """The processes of a pool once all its workers are ready, and this one is gone."""
    while True:
        try:
            told = await client.request(SUPERVISOR, PoolsQuery(kind=kind), reply=PoolsStatus)
        except GridError:  # there is no leader yet
            told = PoolsStatus()
        for pool in told.pools:
            pids = {one.pid for agent in pool.agents for one in agent.workers}
            if pool.ready == len(pids) == _WORKERS and without not in pids:
                return pids
        await asyncio.sleep(0.005)


def _rows(
    pairs: list[tuple[float, float]],
    long: list[tuple[float, float]],
    runs: list[float],
    heals: list[float],
) -> list[Row]:
    subject, case = "workers", f"{_WORKERS} worker processes"
    return [
        Row(
            subject=subject,
            case=f"{case}, small jobs",
            figure="map",
            unit="/s",
            ours=median([ours for ours, _ in pairs]),
            yardstick=median([theirs for _, theirs in pairs]),
            against="ProcessPoolExecutor.map",
            least_ratio=_LEAST_RATIO,
            ratios=tuple(ours / theirs for ours, theirs in pairs),
        ),
        Row(
            subject=subject,
            case=f"{case}, jobs of {_LONG * 1000:.0f} ms CPU",
            figure="map",
            unit="/s",
            ours=median([ours for ours, _ in long]),
            yardstick=median([theirs for _, theirs in long]),
            against="ProcessPoolExecutor.map",
            least_ratio=_LEAST_LONG_RATIO,
            ratios=tuple(ours / theirs for ours, theirs in long),
        ),
        Row(
            subject=subject,
            case="warm pool",
            figure="run p50",
            unit="ms",
            ours=percentile(runs, 50),
            most=_MOST_RUN,
        ),
        Row(
            subject=subject,
            case="a worker is killed",
            figure="pool whole again, p50",
            unit="s",
            ours=percentile(heals, 50),
            samples=tuple(heals),
        ),
        Row(
            subject=subject,
            case="a worker is killed",
            figure="pool whole again, slowest",
            unit="s",
            ours=max(heals),
            most=_MOST_HEAL,
        ),
    ]
