"""Errors about wrong arguments say what to write instead."""

import unicodedata
from pathlib import Path
from typing import Any

import pytest

from machine import (
    InvalidArgument,
    InvalidHandler,
    Machine,
    Options,
    Schema,
    SchemaError,
    Tracer,
    UnknownState,
)
from machine.recording import Recorder, replay

MACHINE: Any = Machine  # without types, which refuse these arguments as well
COMPOSED = "K\u00f6nig"
DECOMPOSED = unicodedata.normalize("NFD", COMPOSED)


class Listener:
    def AState(self) -> None:
        pass


def no() -> bool:
    return False


@pytest.mark.parametrize("method", ["add", "remove", "set", "can_add", "when", "not_"])
@pytest.mark.parametrize("states", [("A", {"who": 1}), ({"who": 1},), ({"A": 1},)])
def test_arguments_by_position(method: str, states: Any) -> None:
    machine = Machine("A; B")
    with pytest.raises(InvalidArgument, match=r"states are names, not a dict.*args=\{"):
        getattr(machine, method)(*states)
    assert machine.active == ()


@pytest.mark.parametrize(
    ("state", "text"),
    [
        ("A, B", r"unknown state 'A, B'\. Pass each name by itself: 'A', 'B'"),
        ("A B", r"unknown state 'A B'\. Pass each name by itself: 'A', 'B'"),
        (None, "unknown state 'None'. States are names or members of an Enum, not NoneType"),
        (3, "unknown state '3'. States are names or members of an Enum, not int"),
        (b"A", "States are names or members of an Enum, not int"),
        (Listener, "not the class Listener"),
        ("C", "Define it in the schema"),
    ],
)
def test_states_that_are_no_names(state: Any, text: str) -> None:
    with pytest.raises(UnknownState, match=text):
        Machine("A; B").add(state)


@pytest.mark.parametrize(
    "make",
    [
        lambda: MACHINE("A", handlers=Listener),
        lambda: MACHINE("A", handlers=[Listener]),
        lambda: MACHINE("A", handlers=(Listener(), Listener)),
        lambda: MACHINE("A").bind(Listener),
        lambda: MACHINE("A").bind(Listener, prefix="x"),
    ],
)
def test_a_class_of_handlers(make: Any) -> None:
    with pytest.raises(InvalidHandler, match=r"the class Listener; make an instance: Listener\("):
        make()


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: MACHINE("A", tracers=[Tracer]), r"not the class Tracer; make an instance"),
        (lambda: MACHINE("A", options=Options), r"not the class Options; make an instance"),
        (lambda: MACHINE("A", parent=Machine), r"not the class Machine; make an instance"),
        (lambda: MACHINE("A").add_err(ValueError), r"not the class ValueError; make an inst"),
        (lambda: MACHINE("A").add("A", args=Listener), r"not the class Listener; make an inst"),
        (lambda: MACHINE("A").import_(Schema), r"not the class Schema; make an instance"),
    ],
)
def test_classes_instead_of_instances(make: Any, text: str) -> None:
    with pytest.raises(InvalidArgument, match=text):
        make()


def test_a_class_of_machines_for_a_replay(tmp_path: Path) -> None:
    class Door(Machine[object], schema="Opened; Closed"):
        pass

    door, path = Door(), tmp_path / "door.jsonl"
    recorder = Recorder(path)
    door.bind_tracer(recorder)
    door.add("Opened")
    recorder.close()
    assert replay(path, Door(id=door.id)).ok
    wrong: Any = Door
    with pytest.raises(InvalidArgument, match=r"not the class Door; make an instance: Door\("):
        replay(path, wrong)
    wrong = "Opened; Closed"
    with pytest.raises(InvalidArgument, match="machine must be of the type Machine, not str"):
        replay(path, wrong)


@pytest.mark.parametrize(
    ("known", "given"), [(COMPOSED, DECOMPOSED), (DECOMPOSED, COMPOSED), ("\u00e9", "e\u0301")]
)
def test_names_in_another_unicode_form(known: str, given: str) -> None:
    text = "same letters in another Unicode form.*normalize"
    machine = Machine([known, "B"])
    with pytest.raises(UnknownState, match=text) as raised:
        machine.add(given)
    assert raised.value.near == (known,)
    with pytest.raises(SchemaError, match=text):
        Machine({known: {}, "B": {"require": [given]}})


def test_handlers_in_another_unicode_form() -> None:
    # As for methods, whose names Python normalizes.
    for known, given in ((COMPOSED, DECOMPOSED), (DECOMPOSED, COMPOSED)):
        machine = Machine([known, "B"], handlers={f"{given}Enter": no})
        assert machine.add(known).canceled
