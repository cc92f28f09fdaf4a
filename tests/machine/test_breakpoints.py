"""Breakpoints stop at the mutation that they name, and at no other."""

import pytest

from machine import InvalidArgument, Machine
from machine.breakpoints import Breakpoint


def test_it_stops_at_the_mutation_that_it_names() -> None:
    stops: list[str] = []
    machine = Machine("A; B; C")
    machine.bind_tracer(Breakpoint(added=["A", "B"], stop=lambda: stops.append(str(machine))))
    machine.bind_tracer(Breakpoint(removed="A", stop=lambda: stops.append("removed")))
    machine.add("A")
    machine.add("B", "A")  # another order
    machine.add("A", "B", "C")
    machine.set("A", "B")
    assert stops == []
    machine.add("A", "B")
    assert stops == ["(A:1 B:1)"]
    machine.remove("A")
    assert stops == ["(A:1 B:1)", "removed"]


def test_a_strict_one_stops_only_if_it_changes_something() -> None:
    stops: list[str] = []
    machine = Machine("A")
    machine.bind_tracer(Breakpoint(added="A", strict=True, stop=lambda: stops.append("+")))
    machine.bind_tracer(Breakpoint(removed="A", strict=True, stop=lambda: stops.append("-")))
    machine.remove("A")
    machine.add("A")
    machine.add("A")
    machine.remove("A")
    assert stops == ["+", "-"]


def test_it_needs_states() -> None:
    with pytest.raises(InvalidArgument, match="added, or removed"):
        Breakpoint()
