"""Pools of workers: jobs a second, the time to a free worker, and to a new one.

The yardsticks have as many processes and the same jobs, in turns: `ProcessPoolExecutor` of
`concurrent.futures`, one job at a time as its `map` does by default, and those of `bench.pools`.
The ideal for long jobs is the same executor with all jobs of a process in one message.
"""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import node
from bench.model import Progress, Row, Size, median, percentile
from bench.peers import Peer, environment
from bench.pools import POOLS
from bench.processes import Child
from bench.talk import notice
from bench.worker_jobs import Sender, burn, small
from grid import Client, GridError, Server
from grid.embedded import Etcd
from node.names import SUPERVISOR
from node.pool_pb2 import PoolsQuery, PoolsStatus

__all__ = ["measure"]

_WORKERS = 2
_KINDS = {2: "small", 4: "small-4"}  # by the number of workers
_LONG = 0.1  # seconds of a job
_JOBS = 10_000
_LONG_JOBS = 40
_RUNS = 200
_PAYLOADS = 50
_PEER_ROUNDS = 3
_PEER_SECONDS = 4.0  # of one round of a slow one
_LEAST_RATIO = 0.5
_LEAST_LONG_RATIO = 0.95
_MOST_RUN = 20.0  # ms


async def measure(size: Size, progress: Progress) -> list[Row]:
    """The rows of this benchmark."""
    async with Etcd() as etcd, contextlib.AsyncExitStack() as stack:
        server = Server("workers", etcd=etcd.endpoint)
        for workers, kind in _KINDS.items():
            node.worker(server, kind, **_settings(workers))(small)
        node.worker(server, "burn", **_settings(_WORKERS))(burn)
        node.worker(server, "sender", **_settings(1))(Sender)
        spawn = multiprocessing.get_context("spawn")
        executors = {
            workers: stack.enter_context(ProcessPoolExecutor(workers, mp_context=spawn))
            for workers in _KINDS
        }
        for executor in executors.values():
            await asyncio.to_thread(list, executor.map(small, range(100)))
        await stack.enter_async_context(server)
        client = await stack.enter_async_context(Client("workers", etcd=etcd.endpoint))
        pools: dict[str, node.Client] = {}
        for kind, workers in (*zip(_KINDS.values(), _KINDS, strict=True), ("burn", _WORKERS)):
            await _ready(client, kind, workers)
            pools[kind] = await stack.enter_async_context(node.Client(client, kind, timeout=60.0))
            await pools[kind].map([0] * 100).results()  # as the others: not from cold
        rows: list[Row] = []
        for workers, kind in _KINDS.items():
            rows.append(await _beside_executor(workers, pools[kind], executors[workers], size))
            for peer in _installed(size, workers):
                progress(f"workers: {peer.name}, {workers} processes")
                rows += await _beside(peer, workers, pools[kind], size)
        progress("workers: long jobs")
        rows += await _long(pools["burn"], executors[_WORKERS], size)
        progress("workers: runs")
        runs = await _runs(pools[_KINDS[_WORKERS]])
        payloads = await _payloads(client)
    return rows + _rows(runs, payloads)


def _settings(workers: int) -> dict[str, Any]:
    # A busy machine takes long to start all of them.
    return {"min": workers, "max": workers, "warm": 0, "start_timeout": 300.0}


def _jobs(size: Size) -> int:
    return _JOBS if size.seconds >= 1 else _JOBS // 10


def _installed(size: Size, workers: int) -> list[Peer]:
    """The other systems that can be measured here; says how to get those that cannot."""
    chosen = [peer for peer in POOLS if size.peers is None or peer.module in size.peers]
    if workers == min(_KINDS):
        for peer in chosen:
            if peer.missing:
                notice(f"{peer.name} is skipped, for it is not installed: {peer.get}")
    return [peer for peer in chosen if not peer.missing]


async def _beside_executor(
    workers: int, pool: node.Client, executor: ProcessPoolExecutor, size: Size
) -> Row:
    pairs = []
    for _ in range(size.rounds):
        ours = await _rate(pool, range(_jobs(size)))
        theirs = await asyncio.to_thread(_their_rate, executor, small, range(_jobs(size)))
        pairs.append((ours, theirs))
    return _pair_row(_small(workers), pairs, "ProcessPoolExecutor.map", _LEAST_RATIO)


async def _beside(peer: Peer, workers: int, pool: node.Client, size: Size) -> list[Row]:
    """Ours and theirs in turns; a slow one gets fewer jobs, for a rate is a rate."""
    pairs = []
    role = f"pools.{peer.module}.run"
    try:
        async with Child(role, environment=environment(), workers=workers) as child:
            first = 200 / (await child.ask("200"))["seconds"]
            jobs = max(200, min(_jobs(size), int(first * _PEER_SECONDS)))
            for _ in range(min(_PEER_ROUNDS, size.rounds)):
                ours = await _rate(pool, range(_jobs(size)))
                pairs.append((ours, jobs / (await child.ask(str(jobs)))["seconds"]))
    except (RuntimeError, TimeoutError) as error:
        notice(f"{peer.name} is skipped: {error or 'it was not ready in time'}")
    return [_pair_row(_small(workers), pairs, peer.name, 1.0)] if pairs else []


async def _long(pool: node.Client, executor: ProcessPoolExecutor, size: Size) -> list[Row]:
    """Beside the same pool of processes, and beside processes that are given all jobs at once."""
    jobs = [_LONG] * _LONG_JOBS
    one_by_one: list[tuple[float, float]] = []
    ideal: list[tuple[float, float]] = []
    for _ in range(size.rounds):
        ours = await _rate(pool, jobs)
        for pairs, chunk in ((one_by_one, 1), (ideal, _LONG_JOBS // _WORKERS)):
            theirs = await asyncio.to_thread(_their_rate, executor, burn, jobs, chunk)
            pairs.append((ours, theirs))
    case = f"{_WORKERS} worker processes, jobs of {_LONG * 1000:.0f} ms CPU"
    return [
        _pair_row(case, ideal, "ideal: one loop in each process", _LEAST_LONG_RATIO),
        _pair_row(case, one_by_one, "ProcessPoolExecutor.map", _LEAST_LONG_RATIO),
    ]


def _small(workers: int) -> str:
    return f"{workers} worker processes, small jobs"


async def _rate(pool: node.Client, jobs: Sequence[Any]) -> float:
    began = time.perf_counter()
    results = await pool.map(jobs).results()
    elapsed = time.perf_counter() - began
    if len(results) != len(jobs):
        raise RuntimeError("the jobs were not done")
    return len(jobs) / elapsed


def _their_rate(
    executor: ProcessPoolExecutor,
    function: Callable[[Any], Any],
    jobs: Sequence[Any],
    chunk: int = 1,
) -> float:
    began = time.perf_counter()
    for _ in executor.map(function, jobs, chunksize=chunk):
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


async def _payloads(client: Client) -> list[float]:
    """Milliseconds from asking for a worker until its first payload is here."""
    await _ready(client, "sender", 1)
    found = []
    async with node.Client(client, "sender", timeout=60.0) as pool:
        for number in range(_PAYLOADS):
            came = asyncio.Event()
            began = time.perf_counter()
            async with pool.worker() as worker:
                await worker.machine(on_payload=_setter(came))
                await worker.run(number)
                await came.wait()
                found.append((time.perf_counter() - began) * 1000)
    return found


def _setter(event: asyncio.Event) -> Callable[[object], None]:
    return lambda _: event.set()


async def _ready(client: Client, kind: str, workers: int) -> None:
    """Wait until all workers of a pool are ready."""
    while True:
        try:
            told = await client.request(SUPERVISOR, PoolsQuery(kind=kind), reply=PoolsStatus)
        except GridError:  # there is no leader yet
            told = PoolsStatus()
        if any(pool.ready == workers for pool in told.pools):
            return
        await asyncio.sleep(0.005)


def _pair_row(case: str, pairs: list[tuple[float, float]], against: str, least_ratio: float) -> Row:
    return Row(
        subject="workers",
        case=case,
        figure="map",
        unit="/s",
        ours=median([ours for ours, _ in pairs]),
        yardstick=median([theirs for _, theirs in pairs]),
        against=against,
        least_ratio=least_ratio,
        ratios=tuple(ours / theirs for ours, theirs in pairs),
    )


def _rows(runs: list[float], payloads: list[float]) -> list[Row]:
    subject = "workers"
    return [
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
            case="warm pool",
            figure="worker to first payload, p50",
            unit="ms",
            ours=percentile(payloads, 50),
            most=_MOST_RUN,
        ),
    ]
