"""The utility tests of the reference: names, ticks, times, lists and definitions."""

from __future__ import annotations

import pytest

from machine.core.tracer import Tracer
from machine.core.transition import Transition
from machine.lists import states_add, states_equal
from machine.rules.kinds import Kind
from machine.schema.schema import EXCEPTION, RELATIONS, Schema, State
from machine.schema.states import States, group, state
from machine.times import Time, is_active_tick
from tests.machine.vector_kit import AnyMachine, Recorder, Vector, apply, build, no_rels


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


class Listener(Tracer):
    """Keeps steps and lines."""

    def __init__(self) -> None:
        self.steps: set[str] = set()
        self.lines: list[str] = []

    def transition_end(self, tx: Transition) -> None:
        self.steps.update(map(str, tx.steps))

    def note(self, machine: AnyMachine, level: str, text: str) -> None:
        self.lines.append(text)


STEPS = [
    ("A; B +A", "", "+B", "called B, implied A by B, activate A, activate B"),
    ("A; B; C -D; D", "D", "=C,D", "called C, called D, blocked D by C"),
    ("A; B; C ?D; D", "A", "=C,A", "called C, rejected C by D"),
    ("A; B", "A", "-A", "deactivate A"),
]


@pytest.mark.parametrize(("schema", "init", "op", "steps"), STEPS)
def test_u3_steps_of_a_transition(schema: str, init: str, op: str, steps: str) -> None:
    machine = build(schema, init)
    listener = Listener()
    machine.bind_tracer(listener)
    apply(machine, op)
    assert set(steps.split(", ")) <= listener.steps


CANCELS = [
    ("28", "A", {"returns_false": ("DEnter",)}, "=D", "[cancel] (D) by DEnter"),
    ("28", "A", {"returns_false": ("DEnter",)}, "+D", "[cancel] (D A) by DEnter"),
    ("35", "A", {"returns_false": ("AExit",)}, "-A", "[cancel] () by AExit"),
    ("64", "A", {"raises": ("BEnter",)}, "+B", "[cancel] (B A) by recover"),
    ("65", "", {"raises": ("BState",)}, "+A,B,C", "[cancel] (A B C) by recover"),
]


@pytest.mark.parametrize(("row", "init", "doing", "op", "line"), CANCELS)
def test_28_lines_about_what_canceled(
    row: str, init: str, doing: dict[str, tuple[str, ...]], op: str, line: str
) -> None:
    machine = no_rels(init)
    listener = Listener()
    machine.bind_tracer(listener)
    Recorder(machine, Vector(id=row, schema="", steps=(), **doing))  # type: ignore[arg-type]
    apply(machine, op)
    assert line in listener.lines


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
