"""The pool of one kind: its policy, with the streams of its agents and its clients."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable

from node.conversions import from_settings, to_settings
from node.policy.instructions import (
    Grant,
    Instruction,
    Loss,
    Recall,
    Refuse,
    Retire,
    Scale,
    StartAgent,
)
from node.policy.pool import PoolPolicy
from node.pool_pb2 import (
    AgentHello,
    AgentStatus,
    ClientHello,
    FromAgent,
    FromClient,
    PoolStatus,
    ToAgent,
    ToClient,
    WorkerReport,
)
from node.pool_pb2 import Grant as GrantMessage
from node.pool_pb2 import Loss as LossMessage
from node.pool_pb2 import Recall as RecallMessage
from node.pool_pb2 import Refusal as RefusalMessage
from node.streams import PostingStream

__all__ = ["Pool"]

_log = logging.getLogger("node.supervisor")


class Pool:
    """The pool of one kind.

    Args:
        kind: of its workers.
        start_agent: starts the agent on a peer.
        now: the present time, in seconds of any clock.
    """

    def __init__(
        self, kind: str, start_agent: Callable[[str, str], None], now: Callable[[], float]
    ) -> None:
        self.kind = kind
        self._start_agent = start_agent
        self._now = now
        self._policy = PoolPolicy()
        self._agents: dict[str, PostingStream] = {}
        self._clients: dict[str, PostingStream] = {}
        self._reports: dict[str, WorkerReport] = {}

    @property
    def unused(self) -> bool:
        """True if no peer offers the kind, and no client asks for it."""
        return not (self._policy.agents or self._agents or self._clients)

    def peer_found(self, peer: str) -> None:
        """A peer that offers the kind is there."""
        self._carry_out(self._policy.peer_found(peer, self._now()))

    def peer_lost(self, peer: str) -> None:
        """A peer has left."""
        self._carry_out(self._policy.peer_lost(peer, self._now()))

    def tick(self) -> None:
        """Look at what time has brought."""
        self._carry_out(self._policy.tick(self._now()))
        known = self._policy.workers
        for name in [one for one in self._reports if one not in known]:
            del self._reports[name]

    # -- streams -----------------------------------------------------------------------------

    async def serve_agent(self, hello: AgentHello, posting: PostingStream) -> None:
        """Listen to an agent until its stream ends; raises the reason."""
        peer, policy = hello.peer, self._policy
        before = self._agents.get(peer)
        self._agents[peer] = posting
        if before is not None:
            await before.close("another agent of this peer has come")
        workers = {one.name: (_is_ready(one), one.client) for one in hello.workers}
        self._reports.update((one.name, one) for one in hello.workers)
        found = policy.agent_joined(
            peer, from_settings(hello.settings), workers, self._now(), trouble=hello.trouble
        )
        self._carry_out(found)
        reason = "its connection is lost"
        try:
            async for message in posting.stream:
                if isinstance(message, FromAgent) and self._agents.get(peer) is posting:
                    self._carry_out(self._heard(peer, message))
        finally:
            if self._agents.get(peer) is posting:
                del self._agents[peer]
                self._carry_out(policy.agent_left(peer, reason, self._now()))

    def _heard(self, peer: str, message: FromAgent) -> list[Instruction]:
        policy, at = self._policy, self._now()
        match message.WhichOneof("kind"):
            case "worker":
                report = message.worker
                if report.state == WorkerReport.GONE:
                    self._reports.pop(report.name, None)
                    _log.info("worker %s on %s has ended: %s", report.name, peer, report.reason)
                    return policy.worker_gone(report.name, report.reason, at)
                self._reports[report.name] = report
                return policy.worker_reported(
                    peer, report.name, at, ready=_is_ready(report), serving=report.client
                )
            case "trouble":
                return policy.agent_troubled(peer, message.trouble, at)
            case "draining":
                return policy.agent_draining(peer, at)
        return []

    async def serve_client(self, hello: ClientHello, posting: PostingStream) -> None:
        """Listen to a client until its stream ends; raises the reason."""
        client, policy = hello.client, self._policy
        before = self._clients.get(client)
        self._clients[client] = posting
        if before is not None:
            await before.close("the client has come back")
        # What it does not name any more, it has given up while it was away.
        self._carry_out(policy.client_left(client, self._now()))
        for claim in hello.claims:
            self._carry_out(self._claimed(client, FromClient(claim=claim)))
        try:
            async for message in posting.stream:
                if isinstance(message, FromClient) and self._clients.get(client) is posting:
                    self._carry_out(self._claimed(client, message))
        finally:
            if self._clients.get(client) is posting:
                del self._clients[client]
                self._carry_out(policy.client_left(client, self._now()))

    def _claimed(self, client: str, message: FromClient) -> list[Instruction]:
        if message.WhichOneof("kind") == "claim":
            claim = message.claim
            return self._policy.claimed(
                (client, claim.id), claim.want, claim.elastic, tuple(claim.held), self._now()
            )
        release = message.release
        return self._policy.released((client, release.claim), release.worker, self._now())

    # -- instructions ------------------------------------------------------------------------

    def _carry_out(self, instructions: Iterable[Instruction]) -> None:
        for one in instructions:
            match one:
                case StartAgent(peer):
                    self._start_agent(self.kind, peer)
                case Scale(peer, count):
                    self._to_agent(peer, ToAgent(count=count))
                case Retire(peer, worker):
                    self._to_agent(peer, ToAgent(retire=worker))
                case Grant((client, claim), worker, peer):
                    grant = GrantMessage(claim=claim, worker=worker, peer=peer)
                    self._to_client(client, ToClient(grant=grant))
                case Loss((client, claim), worker, reason):
                    loss = LossMessage(claim=claim, worker=worker, reason=reason)
                    self._to_client(client, ToClient(loss=loss))
                case Recall((client, claim), worker):
                    recall = RecallMessage(claim=claim, worker=worker)
                    self._to_client(client, ToClient(recall=recall))
                case Refuse((client, claim), code, text):
                    refusal = RefusalMessage(claim=claim, code=code, text=text)
                    self._to_client(client, ToClient(refusal=refusal))

    def _to_agent(self, peer: str, message: ToAgent) -> None:
        if peer in self._agents:
            self._agents[peer].post(message)

    def _to_client(self, client: str, message: ToClient) -> None:
        if client in self._clients:
            self._clients[client].post(message)

    # -- questions and orders ----------------------------------------------------------------

    def kill(self, worker: str) -> bool:
        """Have a worker killed; False if it is not of this pool."""
        found = self._policy.workers.get(worker)
        if found is None:
            return False
        self._to_agent(found.peer, ToAgent(kill=worker))
        return True

    def status(self) -> PoolStatus:
        """The state of the pool."""
        policy = self._policy
        status = PoolStatus(
            kind=self.kind,
            settings=to_settings(policy.settings),
            size=policy.size,
            ready=sum(one.ready for one in policy.workers.values()),
            serving=sum(bool(one.serving) for one in policy.workers.values()),
            clients=len(self._clients),
            waiting=sum(not one.held for one in policy.claims.values()),
            trouble=policy.trouble,
        )
        for agent in policy.agents.values():
            status.agents.append(
                AgentStatus(
                    peer=agent.peer,
                    count=agent.count or 0,
                    trouble=agent.trouble,
                    draining=agent.draining,
                    workers=[
                        self._reports.get(one.name, WorkerReport(name=one.name))
                        for one in policy.workers.values()
                        if one.peer == agent.peer
                    ],
                )
            )
        return status


def _is_ready(report: WorkerReport) -> bool:
    return report.state in (WorkerReport.IDLE, WorkerReport.SERVING)
