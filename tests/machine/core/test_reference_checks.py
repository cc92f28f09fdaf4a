"""Questions to a machine: names, relations, states, clocks and texts."""

from __future__ import annotations

import pytest

from machine.core.machine import Machine
from machine.errors import MachineError, UnknownState
from machine.rules.kinds import Kind
from machine.schema.schema import EXCEPTION, Schema
from tests.machine.vector_kit import AnyMachine, apply, build, no_rels, rels

ALL = ("A", "B", "C", "D", EXCEPTION)


def test_5_all_names() -> None:
    assert no_rels("A").names == ALL


@pytest.mark.parametrize("method", ["add", "remove", "set", "toggle", "can_add", "can_remove"])
def test_9_an_unknown_state_raises(method: str) -> None:
    machine = no_rels("A")
    with pytest.raises(UnknownState, match="'E'"):
        getattr(machine, method)("E")
    assert machine.active == ("A",)


def test_10_relations_of_a_state() -> None:
    assert Schema.parse("A* +B ?B; B").relations_of("A") == ("add", "require")


def test_11_relations_between_states() -> None:
    assert Schema.parse("A* +B ?C; B; C").relations_between("A", "B") == ("add",)


def test_37_an_idle_queue_is_empty() -> None:
    machine = no_rels("A")
    assert list(machine.queue) == []
    assert machine.queue_len == 0


def test_38_switch() -> None:
    machine = no_rels("A")
    assert machine.switch(["A", "B"]) == "A"
    assert machine.switch(["C", "B"]) == ""
    assert machine.switch(["C"], ["D", "A"]) == "A"


def test_68_what_is_queued_can_be_seen() -> None:
    machine = no_rels()
    seen: dict[str, object] = {}

    def state() -> None:
        for name in ("B", "C", "D"):
            machine.add(name)
        seen["length"] = machine.queue_len
        seen["called"] = [one.called for one in machine.queue]
        seen["C"] = bool(machine.is_queued(Kind.ADD, "C"))
        seen["A"] = bool(machine.is_queued(Kind.ADD, "A"))
        seen["will be"] = machine.will_be("C"), machine.will_be("A")
        seen["removed"] = machine.will_be_removed("A")

    machine.bind({"AState": state})
    machine.add("A")
    assert seen == {
        "length": 3,
        "called": [("B",), ("C",), ("D",)],
        "C": True,
        "A": False,
        "will be": (True, False),
        "removed": False,
    }
    assert not machine.is_err


def test_70_times_can_be_compared() -> None:
    machine = build("A; B!; C; D")
    before = machine.time()
    apply(machine, "+A,B,C,D")
    apply(machine, "err")
    after = machine.time()
    assert after.after(before)
    assert before.before(after)
    assert not before.after(after)
    assert after.sum() == machine.time_sum() == 5


def test_80_is() -> None:
    machine = no_rels("A,B")
    assert machine.is_("A", "B")
    assert machine.is_(["A", "B"])
    assert not machine.is_("A", "B", "C")


def test_81_not() -> None:
    machine = no_rels("A,B")
    assert not machine.not_("A", "B")
    assert not machine.not_("A", "B", "C")
    assert machine.not_("D")


def test_82_any() -> None:
    machine = no_rels("A,B")
    assert machine.any_(["A", "B"], ["C"])
    assert machine.any_(["A", "B", "C"], ["A"])
    assert machine.any_("A", "B")
    assert not machine.any_(["C"])
    assert not machine.any_("C")


def test_83_clocks() -> None:
    machine = build("A; B!; C; D")
    for op in ("+A,B", "+A,B", "+A,B,C", "=D", "+D,C", "-B,C", "+A,B"):
        apply(machine, op)
    assert machine.clock() == {"A": 3, "B": 7, "C": 4, "D": 1, EXCEPTION: 0}
    assert machine.clock("A", "B") == {"A": 3, "B": 7}
    assert machine.tick("A") == 3
    assert tuple(machine.time("B", "A")) == (7, 3)


def test_84_inspect() -> None:
    machine = rels("A,C")
    assert machine.string() == "(A:1 C:1)"
    text = machine.inspect("A", "B", "C", "D", EXCEPTION)
    for part in ("C B", "Multi", "Auto", "Require", "After"):
        assert part in text
    for op in ("-C", "+B", "+D"):
        apply(machine, op)
    assert machine.clock() == {"A": 3, "B": 1, "C": 3, "D": 1, EXCEPTION: 0}
    machine.verify_states([EXCEPTION, "A", "B", "C", "D"])
    assert machine.inspect().index(EXCEPTION) < machine.inspect().index("A")


def test_85_an_id_of_its_own() -> None:
    one: AnyMachine = Machine("A")
    other: AnyMachine = Machine("A")
    assert len(one.id) > 5
    assert one.id != other.id


def test_88_relations_between_all() -> None:
    schema = Schema.parse("A +B,C >B; B -C +A; C >D; D ?A")
    pairs = [("A", "B"), ("B", "C"), ("C", "D"), ("D", "A")]
    found = [schema.relations_between(*pair) for pair in pairs]
    assert found == [("add", "after"), ("remove",), ("after",), ("require",)]
    for pair in (("Z", "A"), ("A", "Z")):
        with pytest.raises(UnknownState):
            schema.relations_between(*pair)


def test_89_texts() -> None:
    machine = no_rels("A,B")
    assert machine.string() == str(machine) == "(A:1 B:1)"
    assert machine.string_all() == "(A:1 B:1) [C:0 D:0 Exception:0]"


@pytest.mark.parametrize("names", ["A,A,B,Err", "A,A", "A,B", "A,A,B,C,D", "A,B,C,D,Exception,E"])
def test_91_the_order_must_be_of_exactly_the_states(names: str) -> None:
    machine = no_rels("A,B")
    with pytest.raises(MachineError):
        machine.verify_states(names.split(","))
    assert machine.names == ALL


def test_92_has() -> None:
    machine = no_rels()
    assert not machine.has("A", "Err")
    assert machine.has("A", "A", "B")
    assert machine.has(*ALL)
    assert machine.has("A", "B")


def test_94_clocks_are_equal_or_not() -> None:
    machine = no_rels("A")
    some, everything = machine.clock("A"), machine.clock()
    assert machine.is_clock(some)
    apply(machine, "-A")
    assert not machine.is_clock(everything)
    assert not machine.is_clock(some)
    assert machine.was_clock(some)
    assert machine.is_clock({"A": some["A"] + 1})


def test_95_times_are_equal_or_not() -> None:
    machine = no_rels("A")
    some, everything = machine.time("A"), machine.time()
    assert machine.is_time(some, "A")
    apply(machine, "+A,B")
    assert machine.is_time(some, "A")
    assert not machine.is_time(everything)
    apply(machine, "-A")
    assert not machine.is_time(some, "A")
    assert machine.was_time(some, "A")


def test_103_active_ones_of_a_list() -> None:
    machine = no_rels()
    machine.add("A")
    assert machine.active_states("A", "B") == ("A",)
    assert machine.count_active("A", "B") == 1
    apply(machine, "+B")
    assert machine.active_states("A", "B") == ("A", "B")


def test_105_toggle() -> None:
    machine = no_rels()
    machine.toggle("A")
    assert machine.is_("A")
    machine.toggle(["A"])
    assert not machine.active
