"""Placement of workers: what a peer has and says of itself, and how they are spread."""

from __future__ import annotations

import time
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from node.policy.instructions import Drained, Refuse, Retire, Scale
from node.policy.placement import Capacity, Room, room_for
from node.policy.pool import PoolPolicy
from node.policy.sizes import Site, distributed
from node.settings import PoolSettings

IDLE = Capacity(cpus=4, free_cpus=4.0, memory=8 << 30, free_memory=6 << 30)


def pool(**changes: Any) -> PoolSettings:
    return PoolSettings(**{"min": 2, "max": 9, "warm": 0, **changes})


def joined(given: PoolSettings, **peers: tuple[tuple[str, ...], Capacity]) -> PoolPolicy:
    """A policy with these peers, by their annotations and capacities, without workers."""
    policy = PoolPolicy()
    for peer, (texts, capacity) in peers.items():
        policy.peer_found(peer, 0.0, texts)
        policy.agent_joined(peer, given, {}, 0.0, capacity=capacity)
    return policy


def counts(policy: PoolPolicy) -> dict[str, int | None]:
    return {one.peer: one.count for one in policy.agents.values()}


def test_a_peer_has_room_for_what_it_has_and_for_what_is_free() -> None:
    assert room_for(pool(per_peer=3), (), IDLE).workers == 3
    assert room_for(pool(cpus=1.0), (), IDLE).workers == 4
    assert room_for(pool(cpus=1.5), (), IDLE).workers == 2
    assert room_for(pool(room=2 << 30), (), IDLE).workers == 3
    assert room_for(pool(annotations=["gpu=1"]), ("gpu=1", "zone=a"), IDLE).workers > 1000
    refused = room_for(pool(annotations=["gpu=1"]), ("gpu=0",), IDLE)
    assert refused == Room(0, "it lacks the annotation gpu=1")


def test_idle_workers_keep_their_processors() -> None:
    # All four are idle, so all processors are free; there is no room for a fifth.
    assert room_for(pool(cpus=1.0), (), Capacity(4, 4.0, workers=4)).workers == 4
    # Something else uses two of them: the two workers that are there stay, and no more come.
    busy = room_for(pool(cpus=1.0), (), Capacity(4, 0.3, workers=2))
    assert busy == Room(2, "0.3 of its 4 processors are free; a worker needs 1")


def test_workers_go_where_the_annotation_is() -> None:
    policy = joined(pool(annotations=["gpu=1"]), a=(("gpu=1",), IDLE), b=((), IDLE))
    assert counts(policy) == {"a": 2, "b": 0}
    assert policy.misplaced == ""


def test_where_no_peer_has_room_each_one_says_why_and_clients_are_refused() -> None:
    given = pool(annotations=["gpu=1"], cpus=1.0)
    full = Capacity(2, 0.1)
    policy = joined(given, a=((), IDLE), b=(("gpu=1",), full))
    (refusal,) = [
        one for one in policy.claimed(("kim", 1), 1, False, (), 1.0) if isinstance(one, Refuse)
    ]
    assert refusal.code == "no-place"
    assert "a: it lacks the annotation gpu=1" in refusal.text
    assert "b: 0.1 of its 2 processors are free; a worker needs 1" in refusal.text
    assert refusal.text == policy.misplaced
    # Later there is room.
    found = policy.agent_measured("b", Capacity(2, 1.9), 2.0)
    assert Scale("b", 1) in found
    assert "no peer has room for 1 more" in policy.misplaced
    assert not [
        one for one in policy.claimed(("kim", 2), 1, False, (), 3.0) if isinstance(one, Refuse)
    ]


def test_workers_are_spread_over_zones_first() -> None:
    given = pool(min=4, spread="zone")
    policy = joined(
        given,
        a=(("zone=1",), IDLE),
        b=(("zone=1",), IDLE),
        c=(("zone=2",), IDLE),
    )
    assert counts(policy) == {"a": 1, "b": 1, "c": 2}


@given(
    st.integers(0, 12),
    st.dictionaries(
        st.sampled_from("abcd"),
        st.builds(Site, has=st.integers(0, 4), room=st.integers(0, 5), place=st.sampled_from("xy")),
    ),
)
def test_no_peer_gets_more_than_it_has_room_for(size: int, sites: dict[str, Site]) -> None:
    found = distributed(size, sites, {})
    assert all(found[peer] <= site.room for peer, site in sites.items())
    assert sum(found.values()) == min(size, sum(site.room for site in sites.values()))


# -- orders of operators -------------------------------------------------------------------


@given(
    st.integers(0, 30),
    st.dictionaries(
        st.sampled_from("abcdef"),
        st.builds(Site, st.integers(0, 5), st.integers(0, 6), st.sampled_from(("", "eu", "us"))),
    ),
    st.dictionaries(st.sampled_from("abcdefg"), st.integers(0, 4)),
)
def test_each_worker_goes_to_the_emptiest_place_and_peer_in_turn(
    size: int, sites: dict[str, Site], pinned: dict[str, int]
) -> None:
    expected = {one: pinned.get(one, 0) for one in sites}

    def rank(peer: str) -> tuple[int, int, int, str]:
        place = sites[peer].place
        there = sum(expected[one] for one in sites if sites[one].place == place)
        return there, expected[peer], -sites[peer].has, peer

    for _ in range(size - sum(pinned.values())):
        chosen = min(
            (one for one in sites if expected[one] < sites[one].room), key=rank, default=""
        )
        if chosen:
            expected[chosen] += 1
    assert distributed(size, sites, pinned) == expected


def test_many_workers_on_many_peers_are_spread_at_once() -> None:
    sites = {f"p{number}": Site(0, 1000, f"zone{number % 7}") for number in range(1000)}
    began = time.process_time()
    assert sum(distributed(64_000, sites, {}).values()) == 64_000
    assert time.process_time() - began < 3.0  # one look at each peer for each worker takes minutes


def pool_of(*workers: str, peers: tuple[str, ...] = ("a",), **changes: Any) -> PoolPolicy:
    policy = PoolPolicy()
    for peer in peers:
        policy.peer_found(peer, 0.0)
        own = {one: (True, "") for one in workers if one.startswith(peer)}
        policy.agent_joined(peer, pool(**changes), own, 0.0)
    return policy


def test_an_order_holds_whatever_the_settings_say_and_outlives_its_supervisor() -> None:
    policy = pool_of()
    assert Scale("a", 12) in policy.ordered(12, 1000, 1.0)
    policy.claimed(("kim", 1), 30, True, (), 2.0)
    assert policy.size == 12
    # A new supervisor learns of it from the agents; the newest one counts.
    after = PoolPolicy()
    after.agent_joined("a", policy.settings, {}, 0.0, order=policy.order)
    after.agent_joined("b", policy.settings, {}, 0.0)
    assert after.size == 12
    assert after.order.version == 1000
    after.ordered(None, 5, 1.0)  # its clock is behind
    assert after.order.version == 1001
    assert after.size == 2


def test_a_drained_peer_keeps_its_workers_until_there_are_others() -> None:
    policy = pool_of("a1", "a2", "b1", "b2", peers=("a", "b"), min=4)
    found = policy.drained("a", True, 1.0)
    assert {Scale("a", 0), Scale("b", 4)} <= {*found}
    assert not [one for one in found if isinstance(one, Retire)]
    assert Retire("a", "a1") in policy.worker_reported("b", "b3", 2.0, ready=True)
    assert Retire("a", "a2") in policy.worker_reported("b", "b4", 2.0, ready=True)
    assert Scale("a", 2) in policy.drained("a", False, 3.0)


def test_an_order_to_drain_reaches_an_agent_that_was_away_and_one_that_was_started_again() -> None:
    policy = pool_of("a1", "b1", peers=("a", "b"))
    policy.agent_left("a", "cut", 1.0)
    assert not [one for one in policy.drained("a", True, 2.0) if isinstance(one, Drained)]
    assert policy.agents["a"].pending
    for at in (3.0, 4.0):
        found = policy.agent_joined("a", policy.settings, {"a1": (True, "")}, at)
        assert Drained("a", True) in found
        assert Scale("a", 0) in found
        assert policy.agents["a"].pending
        policy.agent_drained("a", True, at)
        assert not policy.agents["a"].pending
    # A peer that comes back runs workers again.
    policy.peer_lost("a", 5.0)
    policy.peer_found("a", 6.0)
    found = policy.agent_joined("a", policy.settings, {}, 6.0)
    assert not [one for one in found if isinstance(one, Drained)]
    assert not policy.agents["a"].drained


def test_a_drained_peer_that_is_alone_ends_its_workers_once_their_clients_are_done() -> None:
    policy = pool_of("a1", "a2")
    policy.claimed(("kim", 1), 1, False, (), 0.0)
    found = policy.drained("a", True, 1.0)
    assert [one.worker for one in found if isinstance(one, Retire)] == ["a2"]
    policy.worker_gone("a2", "it was told to", 2.0)
    assert Retire("a", "a1") in policy.released(("kim", 1), "", 3.0)
