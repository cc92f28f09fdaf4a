"""Policy of one pool: which peers run how many workers, and which claim gets which of them.

Plain object: the supervisor reports events with the time and carries the instructions out.

A worker is free if no claim has it and it serves no client. The worker itself knows whom it
serves, and says so by its agent. A new supervisor therefore learns from agents and clients what
there is, and ends nothing.
"""

from __future__ import annotations

from collections.abc import Mapping

from node.policy.instructions import (
    ClaimKey,
    Grant,
    Instruction,
    Loss,
    Recall,
    Refuse,
    Retire,
    Scale,
    StartAgent,
)
from node.policy.parts import Agent, Claim, Worker
from node.policy.sizes import distributed, wanted_size
from node.settings import PoolSettings

__all__ = ["PoolPolicy"]

_TRY_AGENT_AGAIN = 2.0  # seconds
_ABSENCE = 10.0  # seconds for which claims wait for a peer, after the last one has left


class PoolPolicy:
    """The pool of one kind. Methods return the instructions that follow.

    Attributes:
        settings: those of the agent that connected last.
        size: number of workers that shall be alive.
        agents: by peer.
        workers: by name.
        claims: by key, in their order of arrival.
    """

    def __init__(self) -> None:
        self.settings = PoolSettings()
        self.size = 0
        self.agents: dict[str, Agent] = {}
        self.workers: dict[str, Worker] = {}
        self.claims: dict[ClaimKey, Claim] = {}
        self._told_settings = False
        self._low_since: float | None = None
        self._alone_since = float("-inf")

    @property
    def trouble(self) -> str:
        """Last words of a worker, if workers start nowhere; "" for none."""
        agents = [one for one in self.agents.values() if one.usable]
        if not agents or any(not one.trouble for one in agents):
            return ""
        return "" if any(one.ready for one in self.workers.values()) else agents[0].trouble

    # -- peers and agents --------------------------------------------------------------------

    def peer_found(self, peer: str, at: float) -> list[Instruction]:
        """A peer that offers the kind is there."""
        self.agents.setdefault(peer, Agent(peer))
        return self._decide(at)

    def peer_lost(self, peer: str, at: float) -> list[Instruction]:
        """A peer has left, with its workers."""
        lost = [one for one in self.workers.values() if one.peer == peer]
        found = [told for one in lost for told in self._forget(one, f"peer {peer!r} has left")]
        if self.agents.pop(peer, None) is not None and not self.agents:
            self._alone_since = at
        return found + self._decide(at)

    def agent_joined(
        self,
        peer: str,
        settings: PoolSettings,
        workers: Mapping[str, tuple[bool, str]],
        at: float,
        *,
        trouble: str = "",
    ) -> list[Instruction]:
        """An agent has connected.

        Args:
            peer: where it runs.
            settings: of the kind, as its peer defines it.
            workers: all that it has: whether each is ready, and the client that it serves.
            at: the present time.
            trouble: see `agent_troubled`.
        """
        agent = self.agents.setdefault(peer, Agent(peer))
        agent.connected, agent.count, agent.trouble = True, None, trouble
        agent.draining = False
        if settings != self.settings or not self._told_settings:
            self.settings, self._told_settings = settings, True
            self.size, self._low_since = 0, None
        found: list[Instruction] = []
        for worker in [one for one in self.workers.values() if one.peer == peer]:
            if worker.name not in workers:
                found += self._forget(worker, "its agent was started again without it")
        for name, (ready, serving) in workers.items():
            self._seen(peer, name, ready, serving)
            self.workers[name].retiring = False  # the order to end it may have been lost
        # Those that are there are not ended at once because few are needed at this moment.
        self.size = max(self.size, min(settings.max, len(self.workers)))
        return found + self._decide(at)

    def agent_left(self, peer: str, reason: str, at: float) -> list[Instruction]:
        """The connection with an agent is lost, and with it the view of its workers.

        Those that claims have stay with them: their clients notice if they end.
        """
        agent = self.agents.get(peer)
        if agent is not None:
            agent.connected, agent.count, agent.asked_at = False, None, at
        for worker in [one for one in self.workers.values() if one.peer == peer]:
            if worker.claim is None:
                del self.workers[worker.name]
            else:
                worker.ready = False
        return self._decide(at)

    def agent_troubled(self, peer: str, text: str, at: float) -> list[Instruction]:
        """Workers fail at their start on a peer; "": no more."""
        if peer in self.agents:
            self.agents[peer].trouble = text
        return self._decide(at)

    def agent_draining(self, peer: str, at: float) -> list[Instruction]:
        """A peer is about to leave: it gets no more work."""
        found: list[Instruction] = []
        if peer in self.agents:
            self.agents[peer].draining = True
        for worker in self.workers.values():
            if worker.peer == peer:
                worker.retiring = True
                found += self._recall(worker)
        return found + self._decide(at)

    # -- workers -----------------------------------------------------------------------------

    def worker_reported(
        self, peer: str, name: str, at: float, *, ready: bool, serving: str = ""
    ) -> list[Instruction]:
        """The state of a worker, as its agent tells it."""
        self._seen(peer, name, ready, serving)
        return self._decide(at)

    def worker_gone(self, name: str, reason: str, at: float) -> list[Instruction]:
        """A worker has ended."""
        worker = self.workers.get(name)
        found = [] if worker is None else self._forget(worker, reason)
        return found + self._decide(at)

    # -- claims ------------------------------------------------------------------------------

    def claimed(
        self, key: ClaimKey, want: int, elastic: bool, held: tuple[str, ...], at: float
    ) -> list[Instruction]:
        """A client asks for workers, or names those that it has after a reconnect."""
        claim = self.claims[key] = Claim(key, max(1, want), elastic)
        for name in held:
            worker = self.workers.get(name)
            if worker is None or worker.claim in (None, key):
                claim.held.add(name)
                if worker is not None:
                    worker.claim = key
        limit = self.settings.per_client
        fixed = [one for one in self.claims.values() if one.key[0] == key[0] and not one.elastic]
        if limit and not elastic and sum(one.want for one in fixed) > limit:
            return [*self._end_claim(key), Refuse(key, "client-limit", str(limit))]
        return self._decide(at)

    def released(self, key: ClaimKey, name: str, at: float) -> list[Instruction]:
        """A claim lets go of a worker; `name` "": of all, and ends."""
        claim = self.claims.get(key)
        if claim is None:
            return []
        found: list[Instruction] = []
        if not name:
            found = self._end_claim(key)
        elif name in claim.held:
            claim.held.discard(name)
            found = self._free(name)
        return found + self._decide(at)

    def client_left(self, client: str, at: float) -> list[Instruction]:
        """A client has gone, with all its claims."""
        found: list[Instruction] = []
        for key in [one for one in self.claims if one[0] == client]:
            found += self._end_claim(key)
        return found + self._decide(at)

    # -- time --------------------------------------------------------------------------------

    def tick(self, at: float) -> list[Instruction]:
        """Look at what time has brought."""
        return self._decide(at)

    # -- decisions ---------------------------------------------------------------------------

    def _decide(self, at: float) -> list[Instruction]:
        found = self._refuse(at)
        found += self._grant()
        self._resize(at)
        found += self._start_agents(at)
        found += self._scale()
        found += self._retire()
        found += self._share()
        return found

    def _refuse(self, at: float) -> list[Instruction]:
        text = self.trouble
        code = "pool-failed" if text else "unknown-kind"
        if not text and (self.agents or at - self._alone_since < _ABSENCE):
            return []
        refused = [key for key, claim in self.claims.items() if not claim.held]
        return [one for key in refused for one in (*self._end_claim(key), Refuse(key, code, text))]

    def _grant(self) -> list[Instruction]:
        free = [one for one in self.workers.values() if one.free]
        found: list[Instruction] = []
        while free:
            claim = self._next_claim()
            if claim is None:
                break
            worker = max(free, key=lambda one: sum(other.peer == one.peer for other in free))
            free.remove(worker)
            worker.claim, worker.recalled = claim.key, False
            claim.held.add(worker.name)
            found.append(Grant(claim.key, worker.name, worker.peer))
        return found

    def _next_claim(self) -> Claim | None:
        """The open claim of the client that has the fewest workers; of these the emptiest."""
        limit = self.settings.per_client
        best, least = None, (0, 0)
        for claim in self.claims.values():
            if len(claim.held) >= claim.want:
                continue
            has = self._held_by(claim.key[0])
            if limit and has >= limit:
                continue
            rank = (has, len(claim.held))
            if best is None or rank < least:
                best, least = claim, rank
        return best

    def _resize(self, at: float) -> None:
        settings = self.settings
        if not self._told_settings:
            return
        used = sum(one.claim is not None or bool(one.serving) for one in self.workers.values())
        wanted = wanted_size(settings, used, sum(map(self._missing, self.claims.values())))
        if wanted >= self.size or self.size > settings.max:
            self.size, self._low_since = wanted, None
        elif self._low_since is None:
            self._low_since = at
        elif at - self._low_since >= settings.rest:
            self.size, self._low_since = wanted, None

    def _missing(self, claim: Claim) -> int:
        missing = claim.want - len(claim.held)
        limit = self.settings.per_client
        return max(0, min(missing, limit - self._held_by(claim.key[0])) if limit else missing)

    def _start_agents(self, at: float) -> list[Instruction]:
        found: list[Instruction] = []
        for agent in self.agents.values():
            if not agent.connected and at - agent.asked_at >= _TRY_AGENT_AGAIN:
                agent.asked_at = at
                found.append(StartAgent(agent.peer))
        return found

    def _scale(self) -> list[Instruction]:
        usable = [one for one in self.agents.values() if one.usable]
        well = {one.peer: self._live_at(one.peer) for one in usable if not one.trouble}
        pinned = {one.peer: 0 for one in usable}
        for worker in self.workers.values():
            if worker.peer in pinned and not worker.retiring and self._is_pinned(worker):
                pinned[worker.peer] += 1
        counts = distributed(self.size, well, pinned, self.settings.per_peer)
        found: list[Instruction] = []
        for agent in usable:
            # One worker tries out whether a peer in trouble can start them again.
            count = min(1, self.size) if agent.trouble else counts[agent.peer]
            if agent.count != count:
                agent.count = count
                found.append(Scale(agent.peer, count))
        return found

    def _is_pinned(self, worker: Worker) -> bool:
        """True if it cannot be ended, because a client has it for itself."""
        if worker.claim is not None:
            return not self.claims[worker.claim].elastic
        return bool(worker.serving)

    def _retire(self) -> list[Instruction]:
        """End workers where there are too many, once there are enough elsewhere: free ones first.

        Those of elastic claims are recalled, and end when they are released.
        """
        staying = [one for one in self.workers.values() if one.ready and not one.retiring]
        spare = len(staying) - self.size
        found: list[Instruction] = []
        for agent in self.agents.values():
            if not agent.usable or agent.count is None:
                continue
            surplus = self._live_at(agent.peer) - agent.count
            there = [one for one in staying if one.peer == agent.peer and not self._is_pinned(one)]
            there.sort(key=lambda one: not one.free)
            for worker in there[: max(0, min(spare, surplus))]:
                spare -= 1
                if worker.free:
                    found.append(Retire(worker.peer, worker.name))
                found += self._recall(worker)
                worker.retiring = True
        return found

    def _share(self) -> list[Instruction]:
        """Recall workers of elastic claims that have several, for claims that have none."""
        starving = sum(not claim.held for claim in self.claims.values() if self._missing(claim))
        coming = sum(one.recalled or not one.ready for one in self.workers.values())
        found: list[Instruction] = []
        growing = self.size - sum(not one.retiring for one in self.workers.values())
        for _ in range(starving - coming - max(0, growing)):
            rich = [one for one in self.claims.values() if one.elastic and self._keeps(one) > 1]
            if not rich:
                break
            claim = max(rich, key=self._keeps)
            held = (self.workers.get(name) for name in sorted(claim.held))
            found += self._recall(next(one for one in held if one and not one.recalled))
        return found

    def _keeps(self, claim: Claim) -> int:
        held = (self.workers.get(name) for name in claim.held)
        return sum(one is not None and not one.recalled for one in held)

    # -- small parts -------------------------------------------------------------------------

    def _seen(self, peer: str, name: str, ready: bool, serving: str) -> None:
        worker = self.workers.setdefault(name, Worker(name, peer))
        worker.ready, worker.serving = ready, serving
        agent = self.agents.get(peer)
        if agent is not None and agent.draining:
            worker.retiring = True
        if worker.claim is None:  # a claim from before this supervisor may have it
            for claim in self.claims.values():
                if name in claim.held:
                    worker.claim = claim.key

    def _recall(self, worker: Worker) -> list[Instruction]:
        if worker.claim is None or worker.recalled or self._is_pinned(worker):
            return []
        worker.recalled = True
        return [Recall(worker.claim, worker.name)]

    def _forget(self, worker: Worker, reason: str) -> list[Instruction]:
        del self.workers[worker.name]
        if worker.claim is None:
            return []
        self.claims[worker.claim].held.discard(worker.name)
        return [Loss(worker.claim, worker.name, reason)]

    def _end_claim(self, key: ClaimKey) -> list[Instruction]:
        claim = self.claims.pop(key, None)
        found: list[Instruction] = []
        for name in sorted(claim.held) if claim else ():
            found += self._free(name)
        return found

    def _free(self, name: str) -> list[Instruction]:
        worker = self.workers.get(name)
        if worker is None:
            return []
        worker.claim, worker.recalled = None, False
        agent = self.agents.get(worker.peer)
        if agent is None or not agent.connected:
            del self.workers[name]  # its agent tells of it again, if it is there
        elif worker.retiring and not agent.draining:
            return [Retire(worker.peer, name)]
        return []

    def _live_at(self, peer: str) -> int:
        return sum(one.peer == peer and not one.retiring for one in self.workers.values())

    def _held_by(self, client: str) -> int:
        return sum(len(one.held) for one in self.claims.values() if one.key[0] == client)
