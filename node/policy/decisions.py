"""Decisions about one pool, from what its policy knows at a moment."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Mapping

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
from node.policy.parts import Agent, Claim, Order, Worker
from node.policy.placement import place_of, room_for
from node.policy.sizes import Site, distributed, wanted_size
from node.settings import PoolSettings

__all__ = ["Decisions"]

_TRY_AGENT_AGAIN = 2.0  # seconds
_ABSENCE = 10.0  # seconds for which claims wait for a peer, after the last one has left


class Decisions:
    """Knowledge of a pool policy, and the instructions that follow from it.

    Attributes:
        settings: those of the agent that connected last.
        size: number of workers that shall be alive.
        placed: those of them that the peers have room for.
        order: the latest order of an operator.
        agents: by peer.
        workers: by name.
        claims: by key, in their order of arrival.
    """

    def __init__(self) -> None:
        self.settings = PoolSettings()
        self.size = 0
        self.placed = 0
        self.order = Order()
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

    @property
    def misplaced(self) -> str:
        """Why there is no room for all workers, by peers; "" if there is."""
        refusals = [f"{one.peer}: {one.refusal}" for one in self.agents.values() if one.refusal]
        if self.placed >= self.size or not refusals:
            return ""
        return f"no peer has room for {self.size - self.placed} more: " + "; ".join(refusals)

    def _decide(self, at: float) -> list[Instruction]:
        found = self._grant()
        self._resize(at)
        found += self._start_agents(at)
        found += self._scale()
        found += self._refuse(at)
        found += self._retire()
        found += self._share()
        return found

    def _refuse(self, at: float) -> list[Instruction]:
        text = self.trouble
        code = "pool-failed" if text else "unknown-kind"
        if not text and self.agents:
            # One that is about to leave, or to come, may be followed by a better one.
            known = all(one.connected and not one.draining for one in self.agents.values())
            if self.placed or not self.size or self.workers or not known:
                return []
            code, text = "no-place", self.misplaced
        elif not text and at - self._alone_since < _ABSENCE:
            return []
        refused = [key for key, claim in self.claims.items() if not claim.held]
        return [one for key in refused for one in (*self._end_claim(key), Refuse(key, code, text))]

    def _grant(self) -> list[Instruction]:
        # Those of a drained peer serve only if there are, and will be, no others.
        drained = {one.peer for one in self.agents.values() if one.drained and self.placed}
        free = [one for one in self.workers.values() if one.free and one.peer not in drained]
        found: list[Instruction] = []
        held = self._held() if free else Counter[str]()
        while free:
            claim = self._next_claim(held)
            if claim is None:
                break
            held[claim.key[0]] += 1
            worker = max(free, key=lambda one: sum(other.peer == one.peer for other in free))
            free.remove(worker)
            worker.claim, worker.recalled = claim.key, False
            claim.held.add(worker.name)
            found.append(Grant(claim.key, worker.name, worker.peer))
        return found

    def _next_claim(self, held: Mapping[str, int]) -> Claim | None:
        """The open claim of the client that has the fewest workers; of these the emptiest."""
        limit = self.settings.per_client
        best, least = None, (0, 0)
        for claim in self.claims.values():
            if len(claim.held) >= claim.want:
                continue
            has = held[claim.key[0]]
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
        if self.order.size is not None:
            self.size, self._low_since = self.order.size, None
            return
        used = sum(one.claim is not None or bool(one.serving) for one in self.workers.values())
        wanted = wanted_size(settings, used, self._missing())
        if wanted >= self.size or self.size > settings.max:
            self.size, self._low_since = wanted, None
        elif self._low_since is None:
            self._low_since = at
        elif at - self._low_since >= settings.rest:
            self.size, self._low_since = wanted, None

    def _missing(self) -> int:
        """Workers that open claims wait for, within the limits of their clients."""
        wanted = Counter[str]()
        for claim in self.claims.values():
            wanted[claim.key[0]] += max(0, claim.want - len(claim.held))
        return sum(map(min, wanted.values(), self._rooms(wanted)))

    def _rooms(self, clients: Iterable[str]) -> list[int]:
        """Number of workers that each client may have beside those that it has."""
        limit, held = self.settings.per_client, self._held()
        return [max(0, limit - held[one]) if limit else sys.maxsize for one in clients]

    def _start_agents(self, at: float) -> list[Instruction]:
        found: list[Instruction] = []
        for agent in self.agents.values():
            if not agent.connected and at - agent.asked_at >= _TRY_AGENT_AGAIN:
                agent.asked_at = at
                found.append(StartAgent(agent.peer))
        return found

    def _scale(self) -> list[Instruction]:
        usable = [one for one in self.agents.values() if one.usable]
        pinned = {one.peer: 0 for one in usable}
        for worker in self.workers.values():
            if worker.peer in pinned and not worker.retiring and self._is_pinned(worker):
                pinned[worker.peer] += 1
        sites = {one.peer: self._site(one) for one in usable if not one.trouble}
        counts = distributed(self.size, sites, pinned)
        self.placed = sum(counts.values())
        self._explain(counts)
        found: list[Instruction] = []
        for agent in self.agents.values():
            # One worker tries out whether a peer in trouble can start them again.
            count = min(1, self.size) if agent.trouble else counts.get(agent.peer, 0)
            if agent.drained:
                count = 0
            if agent.connected and not agent.draining and agent.count != count:
                agent.count = count
                found.append(Scale(agent.peer, count))
        return found

    def _site(self, agent: Agent) -> Site:
        room = room_for(self.settings, agent.annotations, agent.capacity)
        place = place_of(self.settings.spread, agent.peer, agent.annotations)
        return Site(self._live_at(agent.peer), room.workers, place)

    def _explain(self, counts: dict[str, int]) -> None:
        """Note why each peer gets no more workers, if there are too few in all."""
        for agent in self.agents.values():
            agent.refusal = ""
            if self.placed >= self.size:
                continue
            if not agent.usable:
                agent.refusal = "it drains" if agent.connected else "its agent is not connected"
            elif agent.trouble:
                agent.refusal = "workers fail at their start"
            else:
                room = room_for(self.settings, agent.annotations, agent.capacity)
                if counts[agent.peer] >= room.workers:
                    agent.refusal = room.refusal

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
        # Where no other peer has room for them, those of a drained one end all the same.
        spare = len(staying) - min(self.size, self.placed)
        found: list[Instruction] = []
        for agent in self.agents.values():
            if not agent.connected or agent.draining or agent.count is None:
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
        """Recall workers of elastic claims that have several, for claims that have none.

        A client that has as many as it may have gets one of its own.
        """
        starving = Counter(claim.key[0] for claim in self.claims.values() if not claim.held)
        coming = sum(one.recalled or not one.ready for one in self.workers.values())
        growing = self.size - sum(not one.retiring for one in self.workers.values())
        missing = -coming - max(0, growing)
        found: list[Instruction] = []
        for (client, count), room in zip(starving.items(), self._rooms(starving), strict=True):
            missing += min(count, room)
            if room < count:
                own = [one for one in self.claims.values() if one.key[0] == client]
                recalled = sum(len(one.held) - self._keeps(one) for one in own)
                found += self._take(own, count - room - recalled)
        return found + self._take(self.claims.values(), missing)

    def _take(self, claims: Iterable[Claim], count: int) -> list[Instruction]:
        """Recall workers of the elastic claims among these that keep most."""
        found: list[Instruction] = []
        for _ in range(count):
            rich = [one for one in claims if one.elastic and self._keeps(one) > 1]
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

    def _held(self) -> Counter[str]:
        """Number of workers of each client."""
        held = Counter[str]()
        for claim in self.claims.values():
            held[claim.key[0]] += len(claim.held)
        return held
