"""Handlers that raise: what stands, what is taken back, and the error that follows."""

from __future__ import annotations

from machine.schema.schema import EXCEPTION
from tests.machine.vector_kit import Raised, Vector, build, each, run, vectors


@each("raising")
def test_raising(vector: Vector) -> None:
    machine = run(vector)
    assert isinstance(machine.err, Raised)
    assert machine.err.args[0] in vector.raises


def test_the_table_is_whole() -> None:
    found = vectors("raising")
    assert [one.id for one in found] == [f"P{number}" for number in range(1, 16)]
    rejected = [one.id for one in found if EXCEPTION not in (one.steps[-1].active or ())]
    assert rejected == ["P15"]


def test_an_auto_state_that_always_fails_ends() -> None:
    # Each failure adds Exception, which changes something, after which the Auto state is tried.
    machine = build("A*; X", chain_limit=20)
    calls: list[str] = []

    def state() -> None:
        calls.append("AState")
        if len(calls) < 500:  # an end, should the machine know none
            raise Raised("AState")

    machine.bind({"AState": state})
    machine.add("X")
    assert len(calls) < 100
    assert machine.is_("X")
    assert machine.is_err
