"""Peers of `bench.chaos` as processes, each with an etcd that can be cut off, and their faults."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from random import Random
from types import TracebackType
from typing import Self

from bench.chaos_jobs import KIND
from grid import Client, GridError
from grid.errors import RequestFailed
from grid.testing.fault_proxy import FaultProxy
from node.names import SUPERVISOR
from node.pool_pb2 import (
    DrainPeer,
    KillWorker,
    PoolsQuery,
    PoolsStatus,
    PoolStatus,
    ScalePool,
    WorkerReport,
)

__all__ = ["Peers", "processes_with"]

_TRIES = 40  # of an order
_DRAINS = 30.0  # seconds that a peer may take to end


class _Peer:
    """One peer, which may be started again."""

    def __init__(self, name: str, proxy: FaultProxy, environment: dict[str, str]) -> None:
        self.name = name
        self.proxy = proxy
        self.restarting = asyncio.Lock()
        self._environment = environment
        self._process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int:
        return self._process.pid if self._process is not None else 0

    async def start(self) -> None:
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "grid", "serve", "bench.chaos_jobs:peer", "--name", self.name),
            env={**self._environment, "GRID_ETCD": self.proxy.endpoint},
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )

    def signal(self, number: signal.Signals) -> None:
        if self._process is not None:
            with suppress(ProcessLookupError):
                self._process.send_signal(number)

    async def ended(self) -> None:
        if self._process is not None:
            try:
                await asyncio.wait_for(self._process.wait(), _DRAINS)
            except TimeoutError:
                self._process.kill()
                await self._process.wait()
                raise RuntimeError(f"{self.name} did not end within {_DRAINS:g} s") from None


class Peers:
    """All peers, and the faults that happen to them. Use it with `async with`.

    Args:
        client: of the grid.
        etcd: its endpoint.
        environment: of the processes; its namespace marks them.
        random: decides.
        count: of peers.
    """

    def __init__(
        self, client: Client, etcd: str, environment: dict[str, str], random: Random, count: int
    ) -> None:
        self._client = client
        self._random = random
        self._etcd = etcd
        self._environment = environment
        self._count = count
        self._peers: list[_Peer] = []
        self._stack = AsyncExitStack()
        self.shown = ""
        self.alive = asyncio.Event()  # a worker is ready

    async def __aenter__(self) -> Self:
        for number in range(self._count):
            proxy = await self._stack.enter_async_context(FaultProxy(self._etcd))
            peer = _Peer(f"peer-{number}", proxy, self._environment)
            self._peers.append(peer)
            await peer.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for peer in self._peers:
            peer.proxy.heal()
            peer.signal(signal.SIGCONT)
            peer.signal(signal.SIGTERM if error is None else signal.SIGKILL)
        await asyncio.gather(*(peer.ended() for peer in self._peers))
        await self._stack.aclose()

    async def status(self) -> PoolStatus:
        """The pool as its supervisor sees it; an empty one if there is none."""
        query = PoolsQuery(kind=KIND)
        try:
            found = await self._client.request(SUPERVISOR, query, reply=PoolsStatus, timeout=2.0)
        except GridError:
            return PoolStatus()
        return found.pools[0] if found.pools else PoolStatus()

    async def watch(self) -> None:
        """Keep an account in `shown`: workers of each peer, with `!` where it drains."""
        while True:
            found = await self.status()
            agents = [f"{len(one.workers)}{'!' if one.draining else ''}" for one in found.agents]
            account = f"{found.ready} of {found.size} ready ({' '.join(agents)})"
            self.shown = account if found.kind else "no supervisor"
            if found.ready:
                self.alive.set()
            else:
                self.alive.clear()
            await asyncio.sleep(0.5)

    # -- faults ------------------------------------------------------------------------------

    @property
    def faults(self) -> list[str]:
        """The names of the methods that are faults."""
        return [
            *("kill_worker", "kill_worker", "pause_worker", "order_kill", "kill_spare_or_worker"),
            *("kill_peer", "kill_leader", "pause_peer", "restart_peer", "drain_peer", "cut_etcd"),
            "scale",
        ]

    async def kill_worker(self) -> None:
        """SIGKILL a worker."""
        for worker in await self._some_worker():
            _signal(worker.pid, signal.SIGKILL)

    async def kill_spare_or_worker(self) -> None:
        """SIGKILL any process of the grid that is no peer."""
        peers = {peer.pid for peer in self._peers}
        others = sorted(set(processes_with(self._environment["GRID_NAMESPACE"])) - peers)
        if others:
            _signal(self._random.choice(others), signal.SIGKILL)

    async def pause_worker(self) -> None:
        """SIGSTOP a worker, for less or more than its heartbeat."""
        for worker in await self._some_worker():
            _signal(worker.pid, signal.SIGSTOP)
            await asyncio.sleep(self._random.uniform(0.5, 5.0))
            _signal(worker.pid, signal.SIGCONT)

    async def order_kill(self) -> None:
        """Have the supervisor kill a worker."""
        for worker in await self._some_worker():
            with suppress(RequestFailed):
                await self._client.request(SUPERVISOR, KillWorker(worker=worker.name))

    async def kill_peer(self) -> None:
        """SIGKILL a peer, and start it again."""
        await self._restarted(self._random.choice(self._peers), signal.SIGKILL)

    async def kill_leader(self) -> None:
        """SIGKILL the leader's peer, and start it again."""
        leaders = [one.peer for one in await self._client.query("actor") if one.name == "leader"]
        for peer in self._peers:
            if peer.name in leaders:
                await self._restarted(peer, signal.SIGKILL)

    async def restart_peer(self) -> None:
        """SIGTERM a peer, and start it again."""
        await self._restarted(self._random.choice(self._peers), signal.SIGTERM)

    async def _restarted(self, peer: _Peer, number: signal.Signals) -> None:
        async with peer.restarting:
            peer.signal(number)
            peer.signal(signal.SIGCONT)  # another fault may have stopped it
            await peer.ended()
            await asyncio.sleep(self._random.uniform(0.0, 4.0))
            await peer.start()

    async def pause_peer(self) -> None:
        """SIGSTOP a peer, for less or more than its lease."""
        peer = self._random.choice(self._peers)
        peer.signal(signal.SIGSTOP)
        await asyncio.sleep(self._random.uniform(0.2, 9.0))
        peer.signal(signal.SIGCONT)

    async def cut_etcd(self) -> None:
        """Cut a peer off from etcd, for less or more than its lease."""
        peer = self._random.choice(self._peers)
        self._random.choice((peer.proxy.cut, peer.proxy.blackhole))()
        await asyncio.sleep(self._random.uniform(0.2, 9.0))
        peer.proxy.heal()

    async def drain_peer(self) -> None:
        """Drain a peer by order, and undo it."""
        peer = self._random.choice(self._peers).name
        with suppress(RequestFailed):
            await self._client.request(SUPERVISOR, DrainPeer(peer=peer))
            await asyncio.sleep(self._random.uniform(0.5, 3.0))
            await self._ordered(DrainPeer(peer=peer, undo=True))

    async def scale(self) -> None:
        """Order a size, and give it back to the settings."""
        with suppress(RequestFailed):
            size = self._random.randint(1, 8)
            await self._client.request(SUPERVISOR, ScalePool(kind=KIND, size=size))
            await asyncio.sleep(self._random.uniform(0.5, 3.0))
            await self._ordered(ScalePool(kind=KIND))

    async def settle(self) -> None:
        """Undo what orders may have been left by faults that met each other."""
        await self._ordered(ScalePool(kind=KIND))
        for peer in self._peers:
            await self._ordered(DrainPeer(peer=peer.name, undo=True))

    async def _ordered(self, order: ScalePool | DrainPeer) -> None:
        """Give an order until a supervisor has it; one that knows no such peer need not."""
        for _ in range(_TRIES):
            try:
                await self._client.request(SUPERVISOR, order, timeout=2.0)
                return
            except RequestFailed:
                return
            except GridError:
                await asyncio.sleep(0.5)

    async def _some_worker(self) -> list[WorkerReport]:
        agents = (await self.status()).agents
        found = [one for agent in agents for one in agent.workers if one.pid]
        return [self._random.choice(found)] if found else []


def _signal(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)


def processes_with(text: str) -> list[int]:
    """The processes that have this text in their environment."""
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):
            if text.encode() in path.read_bytes() and int(path.parts[2]) != os.getpid():
                found.append(int(path.parts[2]))
    return found
