"""Errors and values of users whose texts raise: the machine, its observers and waits go on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from machine import InvalidHandler, Machine, Options, Result
from machine.history import MemoryHistory
from machine.recording import Recorder, replay
from machine.story import StoryTracer
from machine.testing import describe

AnyMachine = Machine[Any]


class Mute(Exception):
    """An error without a text."""

    def __str__(self) -> str:
        raise ValueError("no text")

    __repr__ = __str__


def fail() -> None:
    raise Mute


def test_a_mutation_whose_handler_raises_an_error_without_a_text_is_canceled() -> None:
    machine: AnyMachine = Machine("A; B", handlers={"AState": fail}, tracers=[StoryTracer()])
    result = machine.add("A")
    assert (result.canceled, result.rejected_by) == (True, "AState")
    assert "Mute, whose text raises ValueError" in result.why
    assert isinstance(machine.err, Mute)
    assert machine.active == ("Exception",)
    assert "Mute" in describe(machine)
    assert "Mute" in str(machine.story())


def test_a_queued_one_settles_and_the_queue_goes_on() -> None:
    results: list[Result] = []

    def ask(machine: AnyMachine) -> None:
        results.extend((machine.add("A"), machine.add("C")))

    machine: AnyMachine = Machine("A; B; C", handlers={"AState": fail, "BState": ask})
    assert machine.add("B").executed
    assert [one.final.canceled for one in results] == [True, False]
    assert machine.is_("B", "C")


def test_an_answer_without_a_text_is_an_error_of_its_handler() -> None:
    machine: AnyMachine = Machine("A", handlers={"AEnter": lambda: Mute()})
    assert machine.add("A").canceled
    assert isinstance(machine.err, InvalidHandler)


def test_arguments_without_a_text_can_be_waited_for() -> None:
    machine: AnyMachine = Machine("A!")
    mute = Mute()
    wait = machine.when_args("A", {"x": mute})
    machine.add("A", args={"x": mute})
    assert wait.done


def test_histories_and_recordings_keep_transitions_with_odd_values(tmp_path: Path) -> None:
    path = tmp_path / "odd.jsonl"
    history = MemoryHistory()
    with Recorder(path) as recorder:
        machine: AnyMachine = Machine("A!", tracers=[recorder, history])
        for value in (Mute(), [Mute()], 10**5000):
            machine.add("A", args={"x": value})
        machine.add_err(Mute())
    assert len(history) == 4
    assert replay(path).transitions == 4


def test_what_a_handler_returns_is_not_closed(tmp_path: Path) -> None:
    now = 0.0
    file = (tmp_path / "kept").open("w")

    def slow() -> object:
        nonlocal now
        now += 5.0
        return file

    with file:
        machine: AnyMachine = Machine(
            "A; B",
            handlers={"AState": slow, "BEnter": lambda: file},
            options=Options(clock=lambda: now),
        )
        assert machine.add("A").canceled
        assert len(machine.timeouts) == 1
        assert machine.add("B").canceled
        assert isinstance(machine.err, InvalidHandler)
        assert not file.closed


def test_an_iterator_of_states_is_toggled() -> None:
    machine: AnyMachine = Machine("A; B; C")
    machine.toggle((name for name in ("A", "B")), "C")
    assert machine.string() == "(A:1 B:1 C:1)"
    machine.toggle(iter(["A", "C"]))
    assert machine.string() == "(B:1)"
