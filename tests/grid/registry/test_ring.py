"""A ring spreads keys evenly and moves few of them."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grid.registry.ring import Ring

MEMBERS = [f"peer-{i}" for i in range(10)]
KEYS = [f"key-{i}" for i in range(10_000)]


def test_keys_are_spread_evenly() -> None:
    ring = Ring(MEMBERS)
    counts = Counter(ring.owner(key) for key in KEYS)
    assert set(counts) == set(MEMBERS)
    assert max(counts.values()) < 1.6 * len(KEYS) / len(MEMBERS)
    assert min(counts.values()) > 0.6 * len(KEYS) / len(MEMBERS)


def test_a_member_that_leaves_moves_only_its_own_keys() -> None:
    before, after = Ring(MEMBERS), Ring(MEMBERS[1:])
    for key in KEYS:
        if before.owner(key) != MEMBERS[0]:
            assert after.owner(key) == before.owner(key)


def test_a_keys_next_owner_is_the_one_it_goes_to() -> None:
    ring = Ring(MEMBERS)
    for key in KEYS[:20]:
        owner, following, *_ = ring.owners(key)
        assert Ring(set(MEMBERS) - {owner}).owner(key) == following


@given(st.lists(st.text(), max_size=8), st.text())
def test_all_members_stand_in_line_for_every_key(members: list[str], key: str) -> None:
    ring = Ring(members, points=4)
    owners = list(ring.owners(key))
    assert sorted(owners) == sorted(set(members))
    assert owners == list(Ring(reversed(members), points=4).owners(key))


def test_every_process_agrees() -> None:
    # Fixed for ever: peers of different versions must place alike.
    ring = Ring(["a", "b", "c"])
    assert [ring.owner(key) for key in ("x", "y", "z", "worker-1", "worker-2")] == PLACED


PLACED = ["b", "a", "c", "b", "c"]


def test_an_empty_ring_has_no_owner() -> None:
    with pytest.raises(LookupError):
        Ring([]).owner("key")
    assert list(Ring([]).owners("key")) == []
