"""The pool of one kind: its policy, with the streams of its agents and its clients."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable

from node.conversions import from_capacity, from_order, from_settings, to_order
from node.events import tell
from node.policy.instructions import (
    Drained,
    Grant,
    Instruction,
    Ordered,
    Retire,
    Scale,
    StartAgent,
)
from node.policy.pool import PoolPolicy
from node.pool_pb2 import (
    AgentHello,
    ClientHello,
    FromAgent,
    FromClient,
    PoolStatus,
    ToAgent,
    ToClient,
    WorkerReport,
)
from node.settings import PoolSettings, differences
from node.streams import PostingStream
from node.supervisor.holders import Holders
from node.supervisor.machine import Facts, PoolMachine
from node.supervisor.messages import explained, for_client, is_ready, pool_status
from node.texts import shortened

__all__ = ["Pool"]

_log = logging.getLogger("node.supervisor")

_LAG = 2.0  # seconds until the supervisor knows of a peer that is registered
_LEAVING = 2.0  # seconds in which workers usually tell that their client has left
_MOST_PER_PROCESSOR = 64  # workers that an operator may order


class Pool:
    """The pool of one kind.

    Args:
        kind: of its workers.
        start_agent: starts the agent on a peer.
        has_joined: true if a peer that offers the kind is registered, which may not be known yet.
        now: the present time, in seconds of any clock.

    Attributes:
        kind: of its workers.
        machine: its states.
    """

    def __init__(
        self,
        kind: str,
        start_agent: Callable[[str, str], None],
        has_joined: Callable[[str], Awaitable[bool]],
        now: Callable[[], float],
    ) -> None:
        self.kind = kind
        self._start_agent = start_agent
        self._has_joined = has_joined
        self._found = asyncio.Event()  # a peer that offers the kind
        self._now = now
        self._policy = PoolPolicy()
        self._agents: dict[str, PostingStream] = {}
        self._clients: dict[str, PostingStream] = {}
        self._leaving: dict[str, float] = {}  # clients that have left, and when
        self._reports: dict[str, WorkerReport] = {}
        self._holders = Holders()
        self._present: set[str] = set()  # peers that are registered and offer the kind
        self._settings: PoolSettings | None = None  # of the agent that came last
        # Workers that have not ended, by peer.
        self._told: dict[str, set[str]] = defaultdict(set)
        self._following = False
        self.machine = PoolMachine(kind, self._is_within_reach, self.kill)

    @property
    def unused(self) -> bool:
        """True if no peer offers the kind, and no client asks for it."""
        return not (self._policy.agents or self._agents or self._clients)

    @property
    def offered(self) -> bool:
        """True if a peer offers the kind."""
        return bool(self._policy.agents)

    def peer_found(self, peer: str, annotations: tuple[str, ...]) -> None:
        """A peer that offers the kind is there, with these annotations."""
        self._present.add(peer)
        self._carry_out(self._policy.peer_found(peer, self._now(), annotations))
        self._found.set()

    def peer_lost(self, peer: str) -> None:
        """A peer has left, and its workers with it."""
        self._present.discard(peer)
        agent = self._policy.agents.get(peer)
        failed = agent is None or not agent.draining
        workers, reason = sorted(self._told.pop(peer, ())), f"peer {peer!r} has left"
        if agent is not None:
            what = ", ".join(workers) or "none"
            _log.info("peer %s has left the pool of %r; its workers: %s", peer, self.kind, what)
        found = self._policy.peer_lost(peer, self._now())
        for name in workers:
            self.machine.gone(name, reason, failed=failed)
            found = self._holders.ended(name, reason, found)
        self._carry_out(found)
        if not self.offered:
            self._found.clear()

    def tick(self) -> None:
        """Look at what time has brought."""
        self._carry_out(self._policy.tick(self._now()))
        known = self._policy.workers
        for name in [one for one in self._reports if one not in known]:
            del self._reports[name]
        self._holders.keep(known)
        for client in [one for one, at in self._leaving.items() if self._now() - at > _LEAVING]:
            del self._leaving[client]
        self._follow()

    # -- streams -----------------------------------------------------------------------------

    async def serve_agent(self, hello: AgentHello, posting: PostingStream) -> None:
        """Listen to an agent until its stream ends; raises the reason."""
        peer, policy = hello.peer, self._policy
        before = self._agents.get(peer)
        self._agents[peer] = posting
        reason = "its connection is lost"
        try:
            if before is not None:
                await before.close("another agent of this peer has come")
            self._agent_joined(hello)
            async for message in posting.stream:
                if isinstance(message, FromAgent) and self._agents.get(peer) is posting:
                    self._carry_out(self._heard(peer, message))
        finally:
            if self._agents.get(peer) is posting:
                del self._agents[peer]
                if peer in self._present:
                    self._carry_out(policy.agent_left(peer, reason, self._now()))
                else:  # it was about to leave when its agent came, so nothing else tells of it
                    self.peer_lost(peer)
                tell(self.machine, "AgentDisconnected", peer=peer)

    def _agent_joined(self, hello: AgentHello) -> None:
        settings = from_settings(hello.settings)
        self._note_settings(hello.peer, settings)
        workers = {one.name: (is_ready(one), one.client) for one in hello.workers}
        self._reports.update((one.name, one) for one in hello.workers)
        for name in sorted(self._told[hello.peer] - workers.keys()):
            self.machine.gone(name, "it ended while its agent was away", failed=False)
        self._told[hello.peer] = {*workers}
        found = self._policy.agent_joined(
            hello.peer,
            settings,
            workers,
            self._now(),
            trouble=hello.trouble,
            capacity=from_capacity(hello.capacity),
            order=from_order(hello.order),
            drained=hello.drained,
        )
        self._carry_out(found)
        tell(self.machine, "AgentConnected", peer=hello.peer)

    def _note_settings(self, peer: str, settings: PoolSettings) -> None:
        before, self._settings = self._settings, settings
        changes = [] if before is None else differences(before, settings)
        if changes:
            text = "the settings of the pool of %r are now those of peer %s: %s"
            _log.info(text, self.kind, peer, ", ".join(changes))

    def _heard(self, peer: str, message: FromAgent) -> list[Instruction]:
        policy, at = self._policy, self._now()
        match message.WhichOneof("kind"):
            case "worker":
                report = message.worker
                if report.state == WorkerReport.GONE:
                    self._reports.pop(report.name, None)
                    self._told[peer].discard(report.name)
                    self._note_end(peer, report)
                    reason = explained(report)
                    text = shortened(report.reason)
                    _log.info("worker %s on %s has ended: %s", report.name, peer, text)
                    found = policy.worker_gone(report.name, reason, at)
                    return self._holders.ended(report.name, reason, found)
                self._note(peer, report, self._reports.get(report.name))
                self._reports[report.name] = report
                return policy.worker_reported(
                    peer, report.name, at, ready=is_ready(report), serving=report.client
                )
            case "trouble":
                return policy.agent_troubled(peer, message.trouble, at)
            case "capacity":
                return policy.agent_measured(peer, from_capacity(message.capacity), at)
            case "draining":
                return policy.agent_draining(peer, at)
            case "drained":
                return policy.agent_drained(peer, message.drained, at)
        return []

    def _note(self, peer: str, report: WorkerReport, before: WorkerReport | None) -> None:
        """Show what has become of a worker."""
        self._told[peer].add(report.name)
        event = {"worker": report.name, "peer": peer}
        if before is None:
            tell(self.machine, "ForkingWorker", **event)
        if report.pid and not (before is not None and before.pid):
            tell(self.machine, "WorkerForked", **event, pid=report.pid)
        if is_ready(report) and not (before is not None and is_ready(before)):
            tell(self.machine, "WorkerReady", **event)
        if before is not None and report.errors > before.errors:
            tell(self.machine, "WorkerIssues", worker=report.name, errors=report.errors)

    def _note_end(self, peer: str, report: WorkerReport) -> None:
        worker, agent = self._policy.workers.get(report.name), self._policy.agents.get(peer)
        leaving = agent is None or agent.draining or (worker is not None and worker.retiring)
        self.machine.gone(report.name, report.reason, failed=not leaving)

    async def serve_client(self, hello: ClientHello, posting: PostingStream) -> None:
        """Listen to a client until its stream ends; raises the reason."""
        client, policy = hello.client, self._policy
        before = self._clients.get(client)
        self._clients[client] = posting
        try:
            if before is not None:
                await before.close("the client has come back")
            # What it does not name any more, it has given up while it was away.
            self._carry_out(policy.client_left(client, self._now()))
            tell(self.machine, "ClientConnected", client=client)
            await self._until_offered()
            for claim in hello.claims:
                self._hear_client(client, posting, FromClient(claim=claim))
            async for message in posting.stream:
                await self._until_offered()
                self._hear_client(client, posting, message)
        finally:
            if self._clients.get(client) is posting:
                del self._clients[client]
                self._leaving[client] = self._now()
                self._carry_out(policy.client_left(client, self._now()))
                tell(self.machine, "ClientDisconnected", client=client)

    def _hear_client(self, client: str, posting: PostingStream, message: object) -> None:
        if isinstance(message, FromClient) and self._clients.get(client) is posting:
            self._carry_out(self._claimed(client, message))

    async def _until_offered(self) -> None:
        # A peer that joined a moment ago is registered, and its watchers are told a little later:
        # claims that come in between must not be refused.
        if not self.offered and await self._has_joined(self.kind):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LAG):
                    await self._found.wait()

    def _claimed(self, client: str, message: FromClient) -> list[Instruction]:
        if message.WhichOneof("kind") == "claim":
            claim = message.claim
            self._holders.held((client, claim.id), claim.held)
            return self._policy.claimed(
                (client, claim.id),
                claim.want,
                claim.elastic,
                tuple(claim.held),
                self._now(),
                patient=claim.patient,
            )
        release = message.release
        return self._policy.released((client, release.claim), release.worker, self._now())

    # -- instructions ------------------------------------------------------------------------

    def _carry_out(self, instructions: list[Instruction]) -> None:
        self._holders.granted(instructions)
        for one in instructions:
            match one:
                case StartAgent(peer):
                    self._start_agent(self.kind, peer)
                case Scale() | Retire() | Ordered() | Drained():
                    self._to_agent(one.peer, self._for_agent(one))
                case _:
                    self._to_client(one.claim[0], for_client(one))
                    if isinstance(one, Grant):
                        tell(self.machine, "ProvideWorker", worker=one.worker, client=one.claim[0])
        if not self._following:  # once for all that happens in this turn of the loop
            self._following = True
            asyncio.get_running_loop().call_soon(self._follow)

    def _follow(self) -> None:
        self._following = False
        policy = self._policy
        workers = policy.workers.values()
        self.machine.follow(
            Facts(
                least=min(policy.settings.min, policy.size) if self.offered else 1,
                size=policy.size,
                live=len(workers),
                ready=sum(one.ready for one in workers),
                free=sum(one.free for one in workers),
                trouble=policy.trouble or policy.misplaced,
            )
        )

    def _for_agent(self, one: Scale | Retire | Ordered | Drained) -> ToAgent:
        match one:
            case Scale():
                return ToAgent(count=one.count)
            case Retire():
                return ToAgent(retire=one.worker)
            case Ordered():
                return ToAgent(order=to_order(self._policy.order))
            case Drained():
                return ToAgent(drained=one.drained)

    def _to_agent(self, peer: str, message: ToAgent) -> None:
        if peer in self._agents:
            self._agents[peer].post(message)

    def _to_client(self, client: str, message: ToClient) -> None:
        if client in self._clients:
            self._clients[client].post(message)

    # -- questions and orders ----------------------------------------------------------------

    def kill(self, worker: str) -> bool:
        """Have a worker killed; False if it is not of this pool, or its agent is away."""
        if not self._is_within_reach(worker):
            return False
        self._to_agent(self._policy.workers[worker].peer, ToAgent(kill=worker))
        return True

    def _is_within_reach(self, worker: str) -> bool:
        found = self._policy.workers.get(worker)
        return found is not None and found.peer in self._agents

    @property
    def most(self) -> int:
        """The largest size that an operator may order: a larger one is taken for a slip."""
        agents = self._policy.agents.values()
        return sum(max(1, int(one.capacity.cpus)) * _MOST_PER_PROCESSOR for one in agents)

    def scale(self, size: int | None) -> None:
        """Keep exactly this number of workers; None: as the settings say."""
        version = int(time.time() * 1000)  # above those of supervisors before this one
        self._carry_out(self._policy.ordered(size, version, self._now()))

    def drain(self, peer: str, drained: bool) -> bool:
        """Move the workers of a peer elsewhere; False if it does not offer the kind."""
        if peer not in self._policy.agents:
            return False
        self._carry_out(self._policy.drained(peer, drained, self._now()))
        return True

    def status(self) -> PoolStatus:
        """The state of the pool."""
        return pool_status(self.kind, self._policy, self._reports, self._clients, self._leaving)
