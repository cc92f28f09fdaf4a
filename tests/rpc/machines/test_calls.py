"""Calls run once over reconnects."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from machine import Machine
from rpc.machines.access import Access, Visitor, rule_of
from rpc.machines.calls import KeptOutcomes, PendingCalls, Sources


@given(st.integers(0, 1 << 30), st.integers(1, 60))
def test_each_call_is_carried_out_once_and_answered(seed: int, steps: int) -> None:
    chance = random.Random(seed)
    pending: PendingCalls[str, str] = PendingCalls()
    kept: KeptOutcomes[str] = KeptOutcomes()
    ran: list[int] = []
    answered: list[int] = []

    def arrives(number: int) -> None:
        if kept.begin(number):
            ran.append(number)
            kept.end(number, f"outcome {number}")
        if chance.random() < 0.5 and kept.get(number) and pending.take(number):
            answered.append(number)
        kept.forget(pending.done)

    def reconnects() -> None:
        again, lost = pending.connected(1)
        assert not lost
        for one, _ in again:
            arrives(one)

    for _ in range(steps):
        number = pending.number()
        pending.add(number, f"call {number}", f"caller {number}")
        pending.sent(number, 1)
        fate = chance.choice(["lost", "arrives", "reconnects"])
        if fate == "arrives":
            arrives(number)
        elif fate == "reconnects":
            reconnects()
    while len(pending):
        reconnects()
    assert sorted(ran) == list(range(1, steps + 1))
    assert sorted(answered) == list(range(1, steps + 1))
    kept.forget(pending.done)
    assert not len(kept)


def test_calls_to_a_source_that_was_restarted_have_an_unknown_outcome() -> None:
    pending: PendingCalls[str, str] = PendingCalls()
    for name in ("sent", "unsent"):
        pending.add(pending.number(), name, f"waits for {name}")
    pending.sent(1, epoch=5)
    again, lost = pending.connected(6)
    assert again == [(2, "unsent")]
    assert lost == ["waits for sent"]


def test_mirrors_that_are_long_away_are_forgotten_first() -> None:
    sources: Sources[str] = Sources(2)
    first = sources.of("a")
    sources.of("b")
    assert sources.of("a") is first
    sources.of("c")
    assert sources.of("a") is first


def test_access_by_token_function_and_one_for_all() -> None:
    visitor = Visitor("m", "operator", {})
    reader, machine = Access.read_only("A"), Machine("A", id="m")
    assert rule_of(None, machine)(visitor) == Access.all()
    assert rule_of(reader, machine)(visitor) is reader
    assert rule_of({"operator": reader}, machine)(visitor) is reader
    assert rule_of({"other": reader}, machine)(visitor) is None
    assert rule_of(lambda one: reader if one.mirror == "m" else None, machine)(visitor) is reader
    assert Access(mutate={"A"}).refused(("A", "B")) == ["B"]
    assert "operator" not in repr(visitor)
