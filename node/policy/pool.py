"""Policy of one pool: which peers run how many workers, and which claim gets which of them.

Plain object: the supervisor reports events with the time and carries the instructions out.

A worker is free if no claim has it and it serves no client. The worker itself knows whom it
serves, and says so by its agent. A new supervisor therefore learns from agents and clients what
there is, and ends nothing.
"""

from __future__ import annotations

from collections.abc import Mapping

from node.policy.decisions import Decisions
from node.policy.instructions import ClaimKey, Drained, Instruction, Ordered, Refuse
from node.policy.parts import Agent, Claim, Order
from node.policy.placement import Capacity
from node.settings import PoolSettings

__all__ = ["PoolPolicy"]

_NONE = Capacity()
_NO_ORDER = Order()


class PoolPolicy(Decisions):
    """The pool of one kind. Methods return the instructions that follow."""

    # -- peers and agents --------------------------------------------------------------------

    def peer_found(
        self, peer: str, at: float, annotations: tuple[str, ...] = ()
    ) -> list[Instruction]:
        """A peer that offers the kind is there, with these annotations."""
        self.agents.setdefault(peer, Agent(peer)).annotations = annotations
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
        capacity: Capacity = _NONE,
        order: Order = _NO_ORDER,
        drained: bool = False,
    ) -> list[Instruction]:
        """An agent has connected.

        Args:
            peer: where it runs.
            settings: of the kind, as its peer defines it.
            workers: all that it has: whether each is ready, and the client that it serves.
            at: the present time.
            trouble: see `agent_troubled`.
            capacity: of the peer.
            order: the latest that it was told.
            drained: True if its peer is drained by order.
        """
        agent = self.agents.setdefault(peer, Agent(peer))
        agent.connected, agent.count, agent.trouble = True, None, trouble
        agent.draining, agent.drain_known, agent.capacity = False, drained, capacity
        agent.drained = drained if agent.drain_order is None else agent.drain_order
        if settings != self.settings or not self._told_settings:
            self.settings, self._told_settings = settings, True
            self.size, self._low_since = 0, None
        found: list[Instruction] = []
        if agent.pending:  # it was away when the order came
            found.append(Drained(peer, agent.drained))
        for worker in [one for one in self.workers.values() if one.peer == peer]:
            if worker.name not in workers:
                found += self._forget(worker, "its agent was started again without it")
        for name, (ready, serving) in workers.items():
            self._seen(peer, name, ready, serving)
            self.workers[name].retiring = False  # the order to end it may have been lost
        # Those that are there are not ended at once because few are needed at this moment.
        self.size = max(self.size, min(settings.max, len(self.workers)))
        if order.version > self.order.version:
            self.order = order
        found += [Ordered(one.peer) for one in self.agents.values() if one.connected]
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

    def agent_measured(self, peer: str, capacity: Capacity, at: float) -> list[Instruction]:
        """An agent has measured the capacity of its peer."""
        if peer in self.agents:
            self.agents[peer].capacity = capacity
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

    def agent_drained(self, peer: str, drained: bool, at: float) -> list[Instruction]:
        """An agent has the order to drain, or to undo it."""
        if peer in self.agents:
            self.agents[peer].drain_known = drained
        return self._decide(at)

    # -- operators ---------------------------------------------------------------------------

    def ordered(self, size: int | None, version: int, at: float) -> list[Instruction]:
        """Keep exactly this number of workers; None: as the settings say."""
        self.order = Order(max(version, self.order.version + 1), size)
        self.size, self._low_since = 0, None
        told: list[Instruction] = [
            Ordered(one.peer) for one in self.agents.values() if one.connected
        ]
        return told + self._decide(at)

    def drained(self, peer: str, drained: bool, at: float) -> list[Instruction]:
        """Move the workers of a peer elsewhere and start none there; False: no more."""
        agent = self.agents.get(peer)
        if agent is None:
            return []
        agent.drained = agent.drain_order = drained
        told: list[Instruction] = [Drained(peer, drained)] if agent.connected else []
        return told + self._decide(at)

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
        self,
        key: ClaimKey,
        want: int,
        elastic: bool,
        held: tuple[str, ...],
        at: float,
        *,
        patient: bool = False,
    ) -> list[Instruction]:
        """A client asks for workers, or names those that it has after a reconnect."""
        found = self._end_claim(key)  # of before, if it comes again
        claim = self.claims[key] = Claim(key, max(1, want), elastic, patient=patient)
        for name in held:
            worker = self.workers.get(name)
            if worker is None or worker.claim in (None, key):
                claim.held.add(name)
                if worker is not None:
                    worker.claim = key
        limit = self.settings.per_client
        if limit and not (elastic or patient or claim.held) and self._kept_by(key[0]) >= limit:
            return [*found, *self._end_claim(key), Refuse(key, "client-limit", str(limit))]
        return found + self._decide(at)

    def _kept_by(self, client: str) -> int:
        """Workers that a client has for itself, until it releases them."""
        claims = (one for one in self.claims.values() if one.key[0] == client)
        return sum(len(one.held) for one in claims if not (one.elastic or one.patient))

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
