"""Overdue exchanges, against a plain table."""

import math
import random

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from grid.transport.deadlines import Deadlines


class AgainstATable(RuleBasedStateMachine):
    """Exchanges open, end and expire; a plain table says which are overdue."""

    def __init__(self) -> None:
        super().__init__()
        self.table: dict[int, tuple[object, float, object]] = {}
        self.deadlines = Deadlines(self.table)
        self.number = 1
        self.now = 0.0

    @rule(count=st.integers(1, 200), left=st.sampled_from([0.0, 0.1, 1.0, 50.0, math.inf]))
    def open(self, count: int, left: float) -> None:
        for n in range(count):
            at = self.now + left * (1 + n % 7)
            self.table[self.number] = (None, at, None)
            self.deadlines.add(self.number, at)
            self.number += 2

    @rule(rng=st.randoms(use_true_random=False), part=st.sampled_from([0.1, 0.9, 1.0]))
    def end_some(self, rng: random.Random, part: float) -> None:
        for number in [one for one in self.table if rng.random() < part]:
            del self.table[number]

    @rule(seconds=st.sampled_from([0.0, 0.05, 0.5, 5.0, 500.0]))
    def pass_time(self, seconds: float) -> None:
        self.now += seconds
        expected = sorted(key for key, one in self.table.items() if one[1] <= self.now)
        overdue = self.deadlines.due(self.now)
        assert sorted(overdue) == expected
        for number in overdue:
            del self.table[number]
        assert self.deadlines.due(self.now) == []
        assert self.deadlines.next() > self.now

    @invariant()
    def nobody_is_forgotten(self) -> None:
        earliest = min((one[1] for one in self.table.values()), default=math.inf)
        assert self.deadlines.next() <= earliest


AgainstATable.TestCase.settings = settings(max_examples=60, stateful_step_count=30)
TestAgainstATable = AgainstATable.TestCase


def test_exchanges_that_ended_long_ago_are_not_kept() -> None:
    table: dict[int, tuple[object, float, object]] = {}
    deadlines = Deadlines(table)
    for number in range(1, 400_001, 2):
        table[number] = (None, 1e6, None)
        deadlines.add(number, 1e6)
        if number > 200:
            del table[number - 200]
    assert len(deadlines._heap) < 1000


@pytest.mark.parametrize("at", [5.0, math.inf])
def test_the_next_one_is_known(at: float) -> None:
    table: dict[int, tuple[object, float, object]] = {1: (None, at, None)}
    deadlines = Deadlines(table)
    assert deadlines.add(1, at) == (at < math.inf)
    assert deadlines.next() == at
