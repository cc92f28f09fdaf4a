"""The choice of the next session, and the moment to open one more."""

import random
from collections import Counter
from dataclasses import dataclass

import pytest

from grid.transport._pool_policy import PoolPolicy


@dataclass(eq=False)
class Member:
    busy: bool = False


def pool(maximum: int, *busy: bool) -> PoolPolicy[Member]:
    policy: PoolPolicy[Member] = PoolPolicy(maximum)
    for one in busy:
        policy.add(Member(one))
    return policy


def test_an_empty_pool_has_none_and_wants_one() -> None:
    policy = pool(3)
    assert policy.pick() is None
    assert policy.wants_more()


@pytest.mark.parametrize("count", [1, 2, 5])
def test_each_that_is_free_has_its_turn(count: int) -> None:
    policy = pool(count, *[False] * count)
    order = [policy.pick() for _ in range(3 * count)]
    assert order == policy.members * 3


def test_the_busy_are_passed_over_while_one_is_free() -> None:
    policy = pool(3, True, False, True)
    assert {policy.pick() for _ in range(6)} == {policy.members[1]}


def test_when_all_are_busy_each_has_its_turn_all_the_same() -> None:
    policy = pool(3, True, True, True)
    assert Counter(policy.pick() for _ in range(9)) == dict.fromkeys(policy.members, 3)


@pytest.mark.parametrize(
    ("maximum", "busy", "wanted"),
    [
        (1, (False,), False),
        (1, (True,), False),
        (2, (False,), False),
        (2, (True,), True),
        (3, (True, False), False),
        (3, (True, True), True),
        (3, (True, True, True), False),
    ],
)
def test_one_more_is_wanted_when_all_are_busy_and_there_is_room(
    maximum: int, busy: tuple[bool, ...], wanted: bool
) -> None:
    assert pool(maximum, *busy).wants_more() is wanted


def test_one_that_left_is_never_picked_and_leaving_twice_is_harmless() -> None:
    policy = pool(3, False, False, False)
    policy.pick()
    first, second, third = policy.members
    policy.remove(second)
    policy.remove(second)
    assert Counter(policy.pick() for _ in range(6)) == {first: 3, third: 3}
    policy.remove(first)
    policy.remove(third)
    assert policy.pick() is None


@pytest.mark.parametrize("seed", range(5))
def test_whatever_happens_a_free_one_is_picked_if_there_is_one(seed: int) -> None:
    chance = random.Random(seed)
    policy = pool(8)
    for _ in range(2000):
        move = chance.randrange(4)
        if move == 0 and len(policy.members) < 8:
            policy.add(Member(chance.random() < 0.5))
        elif move == 1 and policy.members and chance.random() < 0.5:
            policy.remove(chance.choice(policy.members))
        elif policy.members:
            member = chance.choice(policy.members)
            member.busy = not member.busy
        picked = policy.pick()
        assert (picked is None) == (not policy.members)
        if picked is not None and picked.busy:
            assert all(member.busy for member in policy.members)
