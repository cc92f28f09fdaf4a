"""Schemas of Enum classes and lists of names, exclusive groups, and initial states."""

from __future__ import annotations

from enum import Enum, StrEnum, auto
from typing import Any

import pytest

from machine import InvalidArgument, Machine, SchemaError, State, States, UnknownState, group, state


class Plain(Enum):
    A = auto()
    B = auto()
    C = A  # the same member by another name


class Text(StrEnum):
    A = "alpha"
    B = "beta"


class Mixed(str, Enum):  # noqa: UP042 - the older form
    A = "alpha"
    B = "beta"


class Related(Enum):
    On = State(remove="Off")
    Off = State(auto=True, remove="On")


@pytest.mark.parametrize(
    ("kind", "names"), [(Plain, ("A", "B")), (Text, ("alpha", "beta")), (Mixed, ("alpha", "beta"))]
)
def test_enum_classes(kind: Any, names: tuple[str, ...]) -> None:
    machine: Machine[Any] = Machine(kind)
    assert machine.names == (*names, "Exception")
    first, second = kind
    assert machine.add(first).executed
    assert machine.is_(first)
    assert machine.is_([first])
    assert machine.not_(second)
    assert machine.any_(second, first)
    wait = machine.when(first, second)
    assert machine.add([second], args={}).executed
    assert wait.done
    assert set(machine.active) == set(names)
    assert machine.remove(first).executed
    assert not machine.is_(first)
    assert State(require=[first, second]).require == names


def test_enum_classes_of_machines_and_with_relations() -> None:
    class Switch(Machine[Any], schema=Related):
        pass

    switch = Switch()
    assert switch.add(Related.On).executed
    assert switch.string() == "(On:1)"
    switch.remove(Related.On)
    assert switch.is_(Related.Off)
    with pytest.raises(UnknownState, match="'A'"):
        switch.add(Plain.A)


def test_lists_of_names() -> None:
    machine: Machine[Any] = Machine(["A", "B"])
    assert machine.names == ("A", "B", "Exception")
    assert Machine(("A", "Exception")).names == ("A", "Exception")
    with pytest.raises(InvalidArgument, match="takes a name or names"):
        Machine(["A", 5])  # type: ignore[list-item]
    with pytest.raises(SchemaError, match="name"):
        Machine(["A b"])


class Lights(States):
    Red = state()
    Yellow = state()
    Green = state()
    Power = state()
    Light = group(Red, Yellow, Green, exclusive=True)


class More(Lights):
    Blinking = state(require=Lights.Power)
    Mode = group(Lights.Light, Blinking, exclusive=True)


def test_exclusive_groups() -> None:
    machine = Machine(Lights)
    for light in (Lights.Red, Lights.Yellow, Lights.Green, Lights.Red):
        machine.add(light)
        assert machine.active_states(Lights.Light) == (light,)
    assert machine.add(Lights.Red, Lights.Green).canceled
    machine.add(Lights.Power)
    assert machine.is_("Red", "Power")
    assert Lights.schema["Red"].remove == ("Yellow", "Green")
    assert not Lights.schema["Power"].remove


def test_exclusive_groups_are_inherited_and_nested() -> None:
    machine = Machine(More)
    machine.add("Power", "Green")
    machine.add("Blinking")
    assert set(machine.active) == {"Power", "Blinking"}
    assert set(More.schema["Red"].remove) == {"Yellow", "Green", "Blinking"}


def test_a_group_without_the_word_excludes_nothing() -> None:
    class Loose(States):
        A = state()
        B = state()
        Both = group(A, B)

    assert Machine(Loose).add("A", "B").executed
