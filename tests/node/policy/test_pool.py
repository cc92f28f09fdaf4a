"""The policy of a pool: any course of events keeps its promises, and a quiet one serves all."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

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
from node.policy.pool import PoolPolicy
from node.settings import PoolSettings

PEERS = ("a", "b", "c")
CLIENTS = ("kim", "ada")
POOL = PoolSettings(min=2, max=5, warm=1, per_client=3, rest=5.0)


class World(RuleBasedStateMachine):
    """Peers, agents, workers and clients, as they are beside what the policy believes."""

    def __init__(self) -> None:
        super().__init__()
        self.policy = PoolPolicy()
        self.at = 0.0
        self.names = itertools.count()
        self.peers: set[str] = set()
        self.agents: dict[str, int] = {}  # connected ones, with the count that they were told
        self.draining: set[str] = set()
        self.workers: dict[str, str] = {}  # with their peers
        self.ready: set[str] = set()
        self.owner: dict[str, ClaimKey] = {}
        self.claims: dict[ClaimKey, tuple[int, bool]] = {}
        self.recalled: list[tuple[ClaimKey, str]] = []
        self.asked: set[str] = set()

    def carry_out(self, instructions: Iterable[Instruction]) -> None:
        for one in instructions:
            match one:
                case StartAgent(peer):
                    assert peer in self.peers
                    self.asked.add(peer)
                case Scale(peer, count):
                    assert peer in self.agents
                    self.agents[peer] = count
                case Retire(_, worker):
                    assert worker not in self.owner
                    self.gone(worker)
                case Grant(claim, worker, peer):
                    assert worker not in self.owner
                    assert worker in self.ready
                    assert self.workers[worker] == peer
                    assert claim in self.claims
                    assert peer not in self.draining
                    self.owner[worker] = claim
                case Loss(claim, worker, _):
                    assert self.owner.pop(worker) == claim
                case Recall(claim, worker):
                    assert self.owner[worker] == claim
                    assert self.claims[claim][1]
                    self.recalled.append((claim, worker))
                case Refuse(claim):
                    self.claims.pop(claim)
                    self.free(claim)

    def free(self, claim: ClaimKey) -> None:
        self.owner = {one: key for one, key in self.owner.items() if key != claim}

    def gone(self, worker: str) -> None:
        if worker in self.workers:
            del self.workers[worker]
            self.ready.discard(worker)
            self.carry_out(self.policy.worker_gone(worker, "gone", self.at))

    # -- events ------------------------------------------------------------------------------

    @rule(peer=st.sampled_from(PEERS))
    def a_peer_comes(self, peer: str) -> None:
        self.peers.add(peer)
        self.carry_out(self.policy.peer_found(peer, self.at))

    @precondition(lambda self: self.peers)
    @rule(data=st.data())
    def an_agent_connects(self, data: st.DataObject) -> None:
        self.an_agent_comes(data.draw(st.sampled_from(sorted(self.peers))))

    def an_agent_comes(self, peer: str) -> None:
        self.agents[peer] = 0
        self.draining.discard(peer)
        told = {
            one: (one in self.ready, self.owner[one][0] if one in self.owner else "")
            for one, place in self.workers.items()
            if place == peer
        }
        self.carry_out(self.policy.agent_joined(peer, POOL, told, self.at))

    @precondition(lambda self: self.agents)
    @rule(data=st.data())
    def an_agent_is_cut_off(self, data: st.DataObject) -> None:
        peer = data.draw(st.sampled_from(sorted(self.agents)))
        del self.agents[peer]  # its workers live on
        self.carry_out(self.policy.agent_left(peer, "cut off", self.at))

    @precondition(lambda self: self.peers)
    @rule(data=st.data())
    def a_peer_leaves(self, data: st.DataObject) -> None:
        peer = data.draw(st.sampled_from(sorted(self.peers)))
        self.peers.discard(peer)
        self.agents.pop(peer, None)
        self.draining.discard(peer)
        self.carry_out(self.policy.peer_lost(peer, self.at))
        for worker in [one for one, place in self.workers.items() if place == peer]:
            assert worker not in self.owner
            del self.workers[worker]
            self.ready.discard(worker)

    @precondition(lambda self: self.agents)
    @rule(data=st.data())
    def a_peer_drains(self, data: st.DataObject) -> None:
        peer = data.draw(st.sampled_from(sorted(self.agents)))
        self.draining.add(peer)
        self.carry_out(self.policy.agent_draining(peer, self.at))

    @precondition(lambda self: self.agents)
    @rule(data=st.data(), drained=st.booleans())
    def an_operator_drains_a_peer(self, data: st.DataObject, drained: bool) -> None:
        peer = data.draw(st.sampled_from(sorted(self.agents)))
        self.carry_out(self.policy.drained(peer, drained, self.at))

    @rule()
    def workers_get_ready(self) -> None:
        for peer in sorted(self.agents):
            if sum(place == peer for place in self.workers.values()) < self.agents[peer]:
                self.a_worker_gets_ready(peer)

    def a_worker_gets_ready(self, peer: str) -> None:
        worker = f"{peer}{next(self.names)}"
        self.workers[worker] = peer
        self.carry_out(self.policy.worker_reported(peer, worker, self.at, ready=False))
        self.ready.add(worker)
        self.carry_out(self.policy.worker_reported(peer, worker, self.at, ready=True))

    @precondition(lambda self: self.told_of())
    @rule(data=st.data())
    def a_worker_dies(self, data: st.DataObject) -> None:
        self.gone(data.draw(st.sampled_from(self.told_of())))

    def told_of(self) -> list[str]:
        return sorted(one for one in self.ready if self.workers[one] in self.agents)

    @rule(
        client=st.sampled_from(CLIENTS),
        want=st.integers(1, 4),
        elastic=st.booleans(),
        patient=st.booleans(),
    )
    def a_client_asks(self, client: str, want: int, elastic: bool, patient: bool) -> None:
        key = (client, next(self.names))
        self.claims[key] = (want, elastic)
        self.carry_out(
            self.policy.claimed(key, want, elastic, (), self.at, patient=patient),
        )

    @precondition(lambda self: self.owner)
    @rule(data=st.data())
    def a_worker_is_released(self, data: st.DataObject) -> None:
        worker = data.draw(st.sampled_from(sorted(self.owner)))
        key = self.owner.pop(worker)
        self.carry_out(self.policy.released(key, worker, self.at))

    @precondition(lambda self: self.claims)
    @rule(data=st.data())
    def a_claim_ends(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(sorted(self.claims)))
        del self.claims[key]
        self.free(key)
        self.carry_out(self.policy.released(key, "", self.at))

    @rule(client=st.sampled_from(CLIENTS))
    def a_client_leaves(self, client: str) -> None:
        for key in [one for one in self.claims if one[0] == client]:
            del self.claims[key]
            self.free(key)
        self.carry_out(self.policy.client_left(client, self.at))

    @rule(seconds=st.sampled_from((0.1, 1.0, 6.0, 12.0)))
    def time_goes_on(self, seconds: float) -> None:
        self.at += seconds
        self.carry_out(self.policy.tick(self.at))

    # -- promises ----------------------------------------------------------------------------

    @invariant()
    def the_pool_is_not_too_large(self) -> None:
        assert self.policy.size <= POOL.max or not self.agents
        assert sum(self.agents[one] for one in self.agents if one not in self.draining) <= POOL.max

    @invariant()
    def no_client_has_more_than_its_limit(self) -> None:
        for client in CLIENTS:
            assert sum(key[0] == client for key in self.owner.values()) <= POOL.per_client

    @invariant()
    def both_know_the_same_owners(self) -> None:
        believed = {
            one.name: one.claim for one in self.policy.workers.values() if one.claim is not None
        }
        assert believed == self.owner

    def teardown(self) -> None:
        """Once all is well and quiet, every claim has a worker and the pool its size."""
        if not self.peers:
            return
        for peer in sorted(self.peers):
            self.carry_out(self.policy.drained(peer, False, self.at))
        for _ in range(60):
            for peer in sorted(self.peers):
                self._recover(peer)
            for key, worker in self.recalled:
                if self.owner.get(worker) == key:
                    del self.owner[worker]
                    self.carry_out(self.policy.released(key, worker, self.at))
            self.recalled.clear()
            self.time_goes_on(1.0)
        assert len(self.ready) >= min(POOL.max, POOL.min + POOL.warm)
        assert len(self.ready) <= POOL.max
        # A client at its limit may have claims that get nothing, but each client has a worker.
        fixed = sum(want for want, elastic in self.claims.values() if not elastic)
        if fixed < POOL.max:
            served = {key[0] for key in self.owner.values()}
            assert served == {key[0] for key in self.claims}

    def _recover(self, peer: str) -> None:
        if peer not in self.agents or peer in self.draining:
            self.an_agent_comes(peer)
        for _ in range(POOL.max):
            if sum(place == peer for place in self.workers.values()) < self.agents[peer]:
                self.a_worker_gets_ready(peer)


World.TestCase.settings = settings(max_examples=40, stateful_step_count=25)
TestWorld = World.TestCase


def pool_of(*workers: str, **changes: Any) -> PoolPolicy:
    """A policy with one peer that has these workers ready."""
    policy = PoolPolicy()
    settings: dict[str, Any] = {"min": 1, "max": 10, "warm": 0, "per_client": 0, **changes}
    given = PoolSettings(**settings)
    policy.peer_found("a", 0.0)
    policy.agent_joined("a", given, dict.fromkeys(workers, (True, "")), 0.0)
    return policy


def test_waiting_clients_take_turns() -> None:
    policy = pool_of("w1")
    assert policy.claimed(("kim", 1), 1, False, (), 0.0)[0] == Grant(("kim", 1), "w1", "a")
    policy.claimed(("kim", 2), 1, False, (), 0.0)
    policy.claimed(("ada", 1), 1, False, (), 0.0)
    # Kim asked first, but has one: the next free worker is Ada's.
    found = policy.worker_reported("a", "w2", 0.0, ready=True)
    assert Grant(("ada", 1), "w2", "a") in found


def test_a_client_above_its_limit_is_refused() -> None:
    policy = pool_of("w1", "w2", per_client=1)
    policy.claimed(("kim", 1), 1, False, (), 0.0)
    assert policy.claimed(("kim", 2), 1, False, (), 0.0) == [
        Refuse(("kim", 2), "client-limit", "1")
    ]


def test_claims_that_wait_are_not_above_the_limit_of_their_client() -> None:
    policy = pool_of("w1", per_client=2, max=3)
    asked = [
        policy.claimed(("kim", number), 1, False, (), 0.0, patient=number > 3)
        for number in range(1, 30)
    ]
    assert not [one for told in asked for one in told if isinstance(one, Refuse)]
    assert policy.size == 2  # no more than Kim may have
    policy.worker_reported("a", "w2", 1.0, ready=True)
    # Both are kept: another one to keep is refused, one that is given back soon waits.
    refusal = Refuse(("kim", 30), "client-limit", "2")
    assert policy.claimed(("kim", 30), 1, False, (), 2.0) == [refusal]
    assert policy.claimed(("kim", 31), 1, False, (), 2.0, patient=True) == []
    # The longest waiting one is served first.
    assert policy.released(("kim", 1), "", 3.0)[0] == Grant(("kim", 3), "w1", "a")


def test_a_client_at_its_limit_gets_a_worker_of_its_own_run() -> None:
    policy = pool_of("w1", "w2", "w3", per_client=2, max=3, min=3)
    policy.claimed(("kim", 1), 9, True, (), 0.0)
    found = policy.claimed(("kim", 2), 1, False, (), 1.0, patient=True)
    (recall,) = [one for one in found if isinstance(one, Recall)]
    assert recall.claim == ("kim", 1)
    assert not [one for one in policy.tick(2.0) if isinstance(one, Recall)]
    found = policy.released(("kim", 1), recall.worker, 3.0)
    assert [one.claim for one in found if isinstance(one, Grant)] == [("kim", 2)]


def test_a_kind_without_peers_is_refused_and_one_that_just_lost_them_is_not() -> None:
    policy = PoolPolicy()
    assert policy.claimed(("kim", 1), 1, False, (), 0.0) == [Refuse(("kim", 1), "unknown-kind")]
    policy.peer_found("a", 0.0)
    policy.peer_lost("a", 1.0)
    assert policy.claimed(("kim", 2), 1, False, (), 2.0) == []
    assert policy.tick(12.0) == [Refuse(("kim", 2), "unknown-kind")]


def test_workers_that_start_nowhere_are_told_of() -> None:
    policy = pool_of()
    found = policy.agent_troubled("a", "ModuleNotFoundError: nope", 1.0)
    assert found == []
    assert policy.claimed(("kim", 1), 1, False, (), 2.0) == [
        Refuse(("kim", 1), "pool-failed", "ModuleNotFoundError: nope")
    ]
    policy.agent_troubled("a", "", 3.0)
    assert not policy.trouble


def test_the_pool_goes_on_elsewhere_when_one_peer_is_in_trouble() -> None:
    policy = pool_of(min=4)
    policy.peer_found("b", 0.0)
    policy.agent_joined("b", policy.settings, {}, 0.0)
    found = policy.agent_troubled("a", "no GPU", 1.0)
    assert {Scale("a", 1), Scale("b", 4)} == {one for one in found if isinstance(one, Scale)}


ADOPTED = {"w1": (True, "kim"), "w2": (True, ""), "w3": (True, "ada")}


def test_a_new_supervisor_adopts_workers_and_claims() -> None:
    policy = PoolPolicy()
    policy.peer_found("a", 0.0)
    # The client is back first and names its worker; then comes the agent, which confirms it.
    policy.claimed(("kim", 1), 1, False, ("w1",), 0.0)
    given = PoolSettings(min=2, warm=0)
    found = policy.agent_joined("a", given, ADOPTED, 0.1)
    assert not [one for one in found if isinstance(one, (Grant, Loss, Retire))]
    assert policy.workers["w1"].claim == ("kim", 1)
    # A worker that serves a client which is not back yet is nobody else's.
    found = policy.claimed(("eve", 1), 2, True, (), 0.3)
    assert [one for one in found if isinstance(one, Grant)] == [Grant(("eve", 1), "w2", "a")]


def test_workers_are_moved_to_a_peer_that_joins_without_a_gap() -> None:
    policy = pool_of("w1", "w2", "w3", "w4", min=4)
    policy.peer_found("b", 0.0)
    found = policy.agent_joined("b", policy.settings, {}, 1.0)
    assert [one for one in found if isinstance(one, Retire)] == []
    assert Scale("b", 2) in found
    found = policy.worker_reported("b", "w5", 2.0, ready=True)
    assert len([one for one in found if isinstance(one, Retire)]) == 1
    found = policy.worker_reported("b", "w6", 2.0, ready=True)
    assert len([one for one in found if isinstance(one, Retire)]) == 1


def test_the_pool_grows_at_once_and_shrinks_after_a_rest() -> None:
    policy = pool_of("w1", min=1, max=3)
    policy.claimed(("kim", 1), 5, True, (), 0.0)
    assert policy.size == 3
    policy.client_left("kim", 1.0)
    policy.tick(20.0)
    assert policy.size == 3
    policy.tick(1.0 + policy.settings.rest)
    assert policy.size == 1


def test_a_worker_of_a_large_run_is_recalled_for_a_client_without_one() -> None:
    policy = pool_of("w1", "w2", max=2)
    policy.claimed(("kim", 1), 9, True, (), 0.0)
    found = policy.claimed(("ada", 1), 1, False, (), 1.0)
    (recall,) = [one for one in found if isinstance(one, Recall)]
    assert recall.claim == ("kim", 1)
    assert not [one for one in policy.tick(2.0) if isinstance(one, Recall)]
    found = policy.released(("kim", 1), recall.worker, 3.0)
    assert Grant(("ada", 1), recall.worker, "a") in found


def test_a_claim_that_comes_twice_keeps_no_worker_that_it_does_not_name() -> None:
    policy = pool_of("w1", "w2", max=2)
    key = ("kim", 1)
    assert Grant(key, "w1", "a") in policy.claimed(key, 1, False, (), 0.0)
    policy.claimed(key, 1, False, (), 1.0)
    policy.released(key, "", 2.0)
    assert all(one.free for one in policy.workers.values())
