"""Reasons of rejected mutations, and the states that are possible now."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from machine import Machine, Options, State
from machine.story import StoryTracer


def make(schema: Any = "A -B; B -A; C ?D; D", **options: Any) -> Machine[Any]:
    return Machine(schema, **options)


@pytest.mark.parametrize("traced", [False, True])
def test_relations_reject(traced: bool) -> None:
    machine = make(tracers=[StoryTracer()] if traced else [])
    result = machine.add("C")
    assert (result.rejected_by, result.why) == ("relations", "C requires D")
    result = machine.add("A", "B")
    assert result.canceled
    assert result.rejected_by == "relations"
    assert "is removed by" in result.why
    asked = machine.can_add("C")
    assert (asked.rejected_by, asked.why) == ("relations", "C requires D")


def test_results_that_are_not_rejected_have_no_reason() -> None:
    machine = make()
    result = machine.add("A")
    assert (result.rejected_by, result.why) == ("", "")


def test_handlers_reject() -> None:
    def fail() -> None:
        raise ValueError("broken")

    machine = make(handlers={"AEnter": lambda: False, "BEnter": fail, "DState": fail})
    result = machine.add("A")
    assert (result.rejected_by, result.why) == ("AEnter", "AEnter returned False")
    result = machine.add("B")
    assert (result.rejected_by, result.why) == ("BEnter", "BEnter raised ValueError: broken")
    result = machine.add("D")
    assert (result.rejected_by, result.why) == ("DState", "DState raised ValueError: broken")
    asked = machine.can_add("A")
    assert asked.rejected_by == "AEnter"


def test_queued_ones_say_it_later() -> None:
    found: list[Any] = []
    machine = make(handlers={"DState": lambda machine: found.append(machine.add("E", "F"))})
    machine.set_schema("A; B; C ?D; D; E -F; F -E")
    machine.add("D")
    (result,) = found
    assert result.queued
    assert result.final.canceled
    assert result.rejected_by == "relations"
    assert "removed by" in result.why


def test_mutations_that_were_not_accepted() -> None:
    machine = make(options=Options(queue_limit=1))
    found: list[Any] = []

    def state(machine: Machine[Any]) -> None:
        found.extend(machine.add(name) for name in ("A", "B"))

    machine.bind({"DState": state})
    machine.add("D")
    assert found[1].rejected_by == "queue full"
    assert "queue_limit" in found[1].why
    machine.dispose()
    result = machine.add("A")
    assert (result.rejected_by, result.why) == ("disposed", "the machine is disposed")


@dataclass
class Login:
    user: str


def test_what_is_possible() -> None:
    schema = {
        "Off": State(remove="On"),
        "On": State(remove="Off"),
        "Job": State(multi=True, require="On"),
        "User": State(args=Login, require="On"),
        "Locked": State(),
    }
    machine = make(schema, handlers={"LockedEnter": lambda: False})
    assert machine.possible() == ("Off", "On")
    machine.add("On")
    assert machine.possible() == ("Off", "Job", "User")
    machine.add("Job")
    assert machine.possible() == ("Off", "Job", "User")
    assert machine.tick("Job") == 1
    machine.dispose()
    assert machine.possible() == ()
