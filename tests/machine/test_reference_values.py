"""The utility tests of the reference: names, ticks, times, lists and definitions."""

from __future__ import annotations

import pytest
from machine.machine import Machine

from machine.kinds import Kind
from machine.lists import states_add, states_equal
from machine.schema import EXCEPTION, RELATIONS, Schema, State
from machine.states import States, group, state
from machine.times import Time, is_active_tick
from tests.machine.vector_kit import AnyMachine, no_rels


def test_u2_results_kinds_and_relations_as_text() -> None:
    machine = no_rels()
    queued: list[str] = []
    machine.bind({"AState": lambda: queued.append(str(machine.add("B")))})
    assert str(machine.add("A")) == "executed"
    assert queued == ["queued"]
    machine.bind({"CEnter": lambda: False})
    assert str(machine.add("C")) == "canceled"
    assert [str(one) for one in Kind] == ["add", "remove", "set"]
    assert [str(one) for one in RELATIONS] == ["add", "require", "remove", "after"]


def test_u3_steps_of_a_transition() -> None:
    machine: AnyMachine = Machine("A; B +A")
    seen: list[str] = []
    machine.bind({"BState": lambda transition: seen.extend(map(str, transition.steps))})
    machine.add("B")
    assert seen


def test_u6_a_definition_is_normalised() -> None:
    schema = Schema.parse("A -A,B,C +C >A; B; C")
    assert schema["A"] == State(remove="B", add="C")
    assert schema == Schema.parse("A -B +C; B; C")


def test_u7_lists_are_joined() -> None:
    assert states_add(["A", "B", "C"], ["C", "D", "E"]) == ("A", "B", "C", "D", "E")
    assert states_add() == ()


@pytest.mark.parametrize(
    ("tick", "active"), [(1, True), (0, False), (6548734, False), (6548735, True)]
)
def test_u8_odd_ticks_are_active(tick: int, active: bool) -> None:
    assert is_active_tick(tick) is active


class Super(States):
    """The upper one."""

    Foo = state()
    Baz = state()
    FooBaz = group(Foo, Baz)


class Child(Super):
    """The one that inherits."""

    Bar = state(require=Super.Foo)
    FooBar = group(Super.Foo, Bar)


def test_u10_declared_states() -> None:
    assert (Child.Foo, Child.Bar, Child.Baz) == ("Foo", "Bar", "Baz")
    assert tuple(Child.FooBar) == ("Foo", "Bar")
    assert tuple(Child.FooBaz) == ("Foo", "Baz")
    assert Child.names == ("Foo", "Baz", "Bar", EXCEPTION)
    assert Child.schema["Bar"].require == ("Foo",)


def test_u11_times() -> None:
    time = Time([2, 1, 3], ["A", "B", "C"])
    assert time.is1(1)
    assert not time.is1(-1)
    assert time.is_(1)
    assert not time.is_(-1)
    assert time.any_(1)
    assert time.any_(2)
    assert (time + time).diff_since(time) == time


def test_u13_arguments_are_joined() -> None:
    # Plain mappings are joined as mappings are; handlers get all of them by name.
    machine = no_rels()
    seen: list[tuple[int, int]] = []

    def entered(a: int, b: int) -> None:
        seen.append((a, b))

    machine.bind({"AState": entered})
    machine.add("A", args={"a": 1} | {"b": 2})
    assert seen == [(1, 2)]


def test_u14_definitions_are_extended_and_replaced() -> None:
    base = State(auto=True, remove="A", add="B")
    wider = base.extend(State(multi=True, remove="C"))
    assert wider.remove == ("A", "C")
    assert wider.auto
    assert wider.multi
    other = base.replace(auto=False, multi=True, remove="C")
    assert (other.remove, other.auto, other.multi, other.add) == (("C",), False, True, ("B",))
    assert not states_equal(["A"], ["B"])
    assert not states_equal(["A"], ["A", "B"])
    assert states_equal(["A"], ["A"])
