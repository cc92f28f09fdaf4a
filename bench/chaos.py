"""Chaos: jobs flow through a pool while its workers and peers are killed, paused, cut off, drained.

    python -m bench.chaos --minutes 5 --seed 1

Every input must have its result exactly once, and in the end there must be no process, key, file
or task left. All that is random comes from the seed. The exit code is 1 if a promise is broken.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from random import Random

import node
from bench.chaos_jobs import KIND
from bench.chaos_peers import Peers, processes_with
from grid import Client, GridError
from grid.embedded import Etcd

__all__ = ["main"]

_PEERS = 3
_BATCH = 200  # inputs of a run
_STALL = 180.0  # seconds without a result that are too many
_QUIET = 180.0  # seconds for the pool to be whole in the beginning and in the end
_BETWEEN = (1.0, 8.0)  # seconds from the end of a fault to the next one; two go on at once
_PATIENCE = 15.0  # seconds that a client waits for a worker


class _Broken(Exception):
    """A promise is broken."""


class _Flow:
    """Jobs that flow, in runs of many and one by one, and what became of each."""

    def __init__(self, client: Client, random: Random) -> None:
        self.sent = 0
        self.done = 0
        self.repeated = 0  # results of a second or later attempt
        self.refused: Counter[str] = Counter()
        self.came = asyncio.Event()
        self.over = False
        self._client = client
        self._random = random

    async def runs(self, *, ordered: bool) -> None:
        """Runs of many jobs, one after the other."""
        async with node.Client(self._client, KIND, timeout=_PATIENCE) as pool:
            while not self.over:
                await self._run(pool, ordered)

    async def _run(self, pool: node.Client, ordered: bool) -> None:
        left = {self._new() for _ in range(_BATCH)}
        while left:
            batch = sorted(left)
            inputs = [[number, self._random.uniform(0.0, 0.03)] for number in batch]
            try:
                async for end in pool.map(inputs, ordered=ordered, attempts=1000, errors="return"):
                    if end.error is not None:
                        raise _Broken(f"job {batch[end.index]} ended with {end.error!r}")
                    self._came(batch[end.index], end.value, left)
                    self.repeated += end.attempt > 1
            except node.PoolError as error:  # of the whole run: the rest is asked for again
                self._refused(error)
                await asyncio.sleep(0.5)

    async def singles(self) -> None:
        """Workers for this client alone, with a few jobs each."""
        async with node.Client(self._client, KIND, timeout=_PATIENCE) as pool:
            while not self.over:
                left = {self._new() for _ in range(5)}
                while left:
                    try:
                        async with pool.worker() as worker:
                            for number in sorted(left):
                                self._came(number, await worker.run([number, 0.005]), left)
                    except GridError as error:
                        self._refused(error)
                        await asyncio.sleep(0.2)

    def _refused(self, error: GridError) -> None:
        kind = type(error).__name__
        if kind not in self.refused:
            print(f"           the first {kind}: {error}", file=sys.stderr)
        self.refused[kind] += 1

    def _new(self) -> int:
        self.sent += 1
        return self.sent

    def _came(self, number: int, value: object, left: set[int]) -> None:
        if value != number**2:
            raise _Broken(f"job {number} has the result {value!r}")
        if number not in left:
            raise _Broken(f"job {number} has a second result")
        left.remove(number)
        self.done += 1
        self.came.set()


async def _faults(
    peers: Peers, random: Random, until: float, told: Counter[str], flow: _Flow
) -> None:
    began = time.monotonic()
    while time.monotonic() < until:
        name = random.choice(peers.faults)
        told[name] += 1
        seconds = time.monotonic() - began
        print(f"{seconds:7.1f} s  {flow.done:6} jobs  {peers.shown}  {name}", file=sys.stderr)
        try:
            await getattr(peers, name)()
        except GridError as error:  # there is no supervisor at the moment
            print(f"           it met another one: {type(error).__name__}", file=sys.stderr)
        await asyncio.sleep(random.uniform(*_BETWEEN))
        await peers.alive.wait()  # or a busy machine would never get a worker up


async def _watch(flow: _Flow) -> None:
    while True:
        flow.came.clear()
        try:
            async with asyncio.timeout(_STALL):
                await flow.came.wait()
        except TimeoutError:
            text = f"no result for {_STALL:g} s; {flow.sent - flow.done} jobs are open"
            raise _Broken(text) from None


async def _whole(peers: Peers) -> None:
    """Wait until the pool is whole again."""
    until = time.monotonic() + _QUIET
    while True:
        found = await peers.status()
        count = sum(len(agent.workers) for agent in found.agents)
        if found.ready == count == found.settings.min and found.settings.min:
            return
        if time.monotonic() > until:
            raise _Broken(f"the pool is not whole after {_QUIET:g} s:\n{found}")
        await asyncio.sleep(0.2)


async def _storm(given: argparse.Namespace, etcd: Etcd, environment: dict[str, str]) -> None:
    random = Random(given.seed)
    namespace = environment["GRID_NAMESPACE"]
    told: Counter[str] = Counter()
    async with (
        Client(namespace, etcd=etcd.endpoint) as client,
        Peers(client, etcd.endpoint, environment, random, _PEERS) as peers,
    ):
        flow = _Flow(client, Random(given.seed + 1))
        await _whole(peers)
        began = time.monotonic()
        async with asyncio.TaskGroup() as group:
            watching = [group.create_task(_watch(flow)), group.create_task(peers.watch())]
            flows = [
                group.create_task(flow.runs(ordered=True)),
                group.create_task(flow.runs(ordered=False)),
                group.create_task(flow.singles()),
            ]
            faults = [
                group.create_task(_faults(peers, random, began + 60 * given.minutes, told, flow))
                for _ in range(2)
            ]
            await asyncio.wait(faults)
            flow.over = True
            await asyncio.wait(flows)
            for one in watching:
                one.cancel()
        await peers.settle()
        await _whole(peers)
    print(f"{given.minutes:g} minutes, seed {given.seed}: {sum(told.values())} faults")
    print("  " + ", ".join(f"{name} {count}" for name, count in sorted(told.items())))
    print(f"{flow.done} of {flow.sent} jobs have their result, {flow.repeated} after another try")
    print("  refused meanwhile: " + (", ".join(f"{k} {v}" for k, v in flow.refused.items()) or "0"))
    if flow.done != flow.sent:
        raise _Broken("jobs are missing")


async def _left(etcd: Etcd, namespace: str, folder: Path) -> list[str]:
    """Remains of all that was started."""
    found = [f"process {pid}" for pid in processes_with(namespace)]
    async with Client(namespace, etcd=etcd.endpoint) as client:
        until = time.monotonic() + 10.0  # leases of those that were killed
        while keys := [
            str(one) for kind in ("peer", "actor", "mailbox") for one in await client.query(kind)
        ]:
            if time.monotonic() > until:
                break
            await asyncio.sleep(0.2)
    found += [f"key {one}" for one in keys]
    # A socket of a process that was killed goes when the next peer starts, after a minute.
    found += [f"file {one}" for one in await asyncio.to_thread(_files, folder)]
    others = asyncio.all_tasks() - {asyncio.current_task()}
    return found + [f"task {one.get_name()}" for one in others]


def _files(folder: Path) -> list[Path]:
    return [one for one in folder.rglob("*") if one.is_file()]  # sockets are none


async def _main(given: argparse.Namespace) -> int:
    with tempfile.TemporaryDirectory(prefix="chaos-") as folder:
        namespace = f"chaos-{os.getpid()}"
        environment = {**os.environ, "GRID_NAMESPACE": namespace, "TMPDIR": folder}
        async with Etcd() as etcd:
            broken = []
            try:
                await _storm(given, etcd, environment)
            except* (_Broken, RuntimeError) as group:
                broken = [str(one) for one in group.exceptions]
            broken += await _left(etcd, namespace, Path(folder))
    for one in broken:
        print(f"BROKEN: {one}")
    print("broken" if broken else "no process, key, file or task is left")
    return bool(broken)


def main() -> None:
    """Parse the command line and let it storm."""
    parser = argparse.ArgumentParser(prog="python -m bench.chaos", description=__doc__)
    parser.add_argument("--minutes", type=float, default=5.0, help="that it lasts")
    parser.add_argument("--seed", type=int, default=1, help="of all that is random")
    raise SystemExit(asyncio.run(_main(parser.parse_args())))


if __name__ == "__main__":
    main()
