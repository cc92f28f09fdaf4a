"""The memo of relations, which all machines of a schema share, is bounded."""

from __future__ import annotations

from itertools import islice, product

from machine.core.machine import Machine
from machine.rules.resolution import relations_of


def test_configurations_that_mirrors_see_are_forgotten_too() -> None:
    machine = Machine("; ".join(f"S{at}" for at in range(17)))
    machine.add("S0")
    relations = relations_of(machine.schema)
    first = relations.configuration((0,))
    assert relations.configuration((0,)) is first
    for flags in islice(product((0, 1), repeat=17), 60_000):  # a mirror asks for each that it sees
        relations.configuration(tuple(at for at, active in enumerate(flags) if active))
    assert relations.configuration((0,)) is not first
    assert relations.configuration(()) is relations.empty
    assert machine.add("S1").executed
    assert set(machine.active) == {"S0", "S1"}
