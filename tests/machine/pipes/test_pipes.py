"""Pipes: what one machine does, another does too."""

from __future__ import annotations

import itertools
import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import pytest

from machine import InvalidArgument, Machine, Options, Source, State, UnknownState, pipes
from machine.core.handlers import on
from machine.pipes import Piped
from machine.ready_made import Connected

AnyMachine = Machine[Any]


def make(schema: Any, name: str | None = None, options: Options | None = None) -> AnyMachine:
    return Machine(schema, id=name, options=options)


def pair(source: str = "A; B", target: str = "A; B; C") -> tuple[AnyMachine, AnyMachine]:
    return make(source, "source"), make(target, "target")


# -- single ------------------------------------------------------------------------------


def test_add_follows_the_beginning_only() -> None:
    source, target = pair()
    pipe = pipes.add(source, target, "A", "C")
    source.add("A")
    assert target.active == ("C",)
    source.remove("A")
    assert target.active == ("C",)
    assert pipe.last is not None
    assert pipe.last.executed


def test_remove_follows_the_end_only() -> None:
    source, target = pair()
    pipes.remove(source, target, "A")
    target.add("A")
    source.add("A")
    assert target.is_("A")
    source.remove("A")
    assert target.not_("A")


def test_add_at_the_end_and_remove_at_the_beginning() -> None:
    source, target = pair()
    pipes.add(source, target, "A", "B", when="ends")
    pipes.remove(source, target, "A", "C", when="begins")
    target.add("C")
    source.add("A")
    assert not target.active
    source.remove("A")
    assert target.active == ("B",)


def test_multi_states_are_piped_each_time_and_flat_ones_once() -> None:
    source, target = pair("A!", "A!; F!")
    pipes.add(source, target, "A")
    pipes.add_flat(source, target, "A", "F")
    for _ in range(3):
        source.add("A")
    assert target.clock("A", "F") == {"A": 5, "F": 1}


def test_remove_flat_does_nothing_to_what_is_inactive() -> None:
    source, target = pair()
    pipe = pipes.remove_flat(source, target, "A")
    source.add("A")
    source.remove("A")
    assert pipe.last is None
    assert target.queue_tick == 1


def test_what_a_failing_handler_took_back_is_not_piped() -> None:
    def fail() -> None:
        raise ValueError("no")

    source, target = pair()
    source.bind({"BState": fail})
    pipes.bind_many(source, target, ["A", "B"])
    source.add("A", "B")
    assert source.active == ("Exception", "A")
    assert target.active == ("A",)


def test_auto_states_and_implied_ones_are_piped() -> None:
    source, target = pair("A +B; B; D* ?B", "A; B; D")
    pipes.bind_many(source, target, ["A", "B", "D"])
    source.add("A")
    assert set(target.active) == {"A", "B", "D"}
    source.set()
    assert not target.active


def test_a_dry_run_is_not_piped() -> None:
    source, target = pair()
    pipes.add(source, target, "A")
    assert source.can_add("A").executed
    assert target.not_("A")


def test_wrong_pipes_are_refused() -> None:
    source, target = pair()
    with pytest.raises(UnknownState):
        pipes.add(source, target, "Z")
    with pytest.raises(UnknownState):
        pipes.add(source, target, "A", "Z")
    with pytest.raises(InvalidArgument, match="another machine"):
        pipes.add(source, source, "A", "B")
    with pytest.raises(InvalidArgument, match="begins"):
        pipes.add(source, target, "A", when="sometimes")  # type: ignore[arg-type]
    with pytest.raises(InvalidArgument, match="2 states and 1"):
        pipes.bind_many(source, target, ["A", "B"], ["C"])
    with pytest.raises(InvalidArgument, match="at least one"):
        pipes.bind_many(source, target, [])
    target.dispose()
    with pytest.raises(InvalidArgument, match="live"):
        pipes.add(source, target, "A")
    assert source.tracers == ()


# -- arguments and events ----------------------------------------------------------------


def test_args_are_passed_on_as_asked() -> None:
    seen: list[tuple[str, dict[str, Any]]] = []

    class Sees:
        @on.state("A", "B", "C")
        def note(self, event: Any, args: Mapping[str, Any]) -> None:
            seen.append((event.name, dict(args)))

    source, target = pair()
    target.bind(Sees())
    pipes.add(source, target, "A")
    pipes.add(source, target, "A", "B", args=True)
    pipes.add(source, target, "A", "C", args=lambda given: {"twice": given["n"] * 2})
    source.add("A", args={"n": 2})
    assert seen == [("AState", {}), ("BState", {"n": 2}), ("CState", {"twice": 4})]


def test_the_target_hears_of_the_sources_event() -> None:
    seen: list[Source | None] = []
    source, target = pair()
    target.bind({"AState": lambda event: seen.append(event.source)})
    pipe = pipes.bind_state(source, target, "A")
    source.add("B")
    source.add("A")
    (event,) = seen
    assert isinstance(event, Piped)
    assert (event.machine, event.transition, event.time) == ("source", "source#2", 1)
    assert event.pipes == (pipe.id,)
    assert pickle.loads(pickle.dumps(event)) == event


def test_arguments_that_the_target_does_not_take_are_an_error_of_the_source() -> None:
    @dataclass
    class Wanted:
        n: int

    source = make("A", "source")
    target = make({"A": State(args=Wanted)}, "target")
    pipes.add(source, target, "A", args=True)
    source.add("A", args={"other": 1})
    assert isinstance(source.err, InvalidArgument)
    assert source.is_("A", "Exception")
    assert target.not_("A")
    assert any("source to target" in note for note in source.err.__notes__)


# -- bundles -----------------------------------------------------------------------------


def test_errors_become_errors_of_the_other() -> None:
    source, target = pair("A", "ErrSource! ?Exception")
    pipes.bind_err(source, target, "ErrSource")
    error = ValueError("broken")
    source.add_err(error)
    assert target.err is error
    assert target.is_("ErrSource", "Exception")
    source.remove("Exception")
    assert target.is_err


def test_a_state_called_err_comes_with_the_error() -> None:
    source, target = pair("ErrNetwork! +Exception ?Exception", "ErrNetwork! ?Exception")
    pipes.add(source, target, "ErrNetwork")
    error = ConnectionError("down")
    source.add_err_state("ErrNetwork", error)
    assert target.err is error
    assert target.is_("ErrNetwork", "Exception")


def test_errors_piped_both_ways_come_to_rest() -> None:
    one, other = make("A", "one"), make("A", "other")
    pipes.bind_err(one, other)
    pipes.bind_err(other, one)
    one.add_err(ValueError("first"))
    other.add_err(ValueError("second"))
    assert str(one.err) == str(other.err) == "second"
    assert one.tick("Exception") == other.tick("Exception") == 3


def test_start_and_ready() -> None:
    source = make("Start; Ready ?Start")
    target = make("Start; Ready; ClientReady")
    pipes.bind_start(source, target)
    pipes.bind_ready(source, target, "ClientReady")
    source.add("Start", "Ready")
    assert set(target.active) == {"Start", "ClientReady"}
    source.remove("Start")
    assert not target.active


def test_a_connection_is_always_in_one_of_its_states() -> None:
    source = make(Connected)
    target = make(Connected)
    log: list[str] = []

    class Sees:
        @on.any_state
        def note(self, machine: AnyMachine) -> None:
            log.append(machine.switch(Connected.Connection))

    source.add("Start")
    target.add("Start")
    pipes.bind_connected(source, target)
    target.bind(Sees())
    for state in ("Connecting", "Connected", "Disconnecting", "Disconnected"):
        source.add(state)
        assert target.switch(Connected.Connection) == state
    assert list(dict.fromkeys(log)) == ["Connecting", "Connected", "Disconnecting", "Disconnected"]


def test_a_connection_under_other_names() -> None:
    source = make(Connected)
    target = make("Connecting; DbUp; Disconnecting; Disconnected")
    pipes.bind_connected(source, target, {"Connected": "DbUp"})
    source.add("Start")
    source.add("Connected")
    assert target.is_("DbUp")


def test_bind_any_mirrors_all_that_both_have() -> None:
    source, target = pair("A; B; X", "A; B -C; C; Own")
    pipes.bind_any(source, target)
    target.add("Own")
    source.add("A", "X")
    assert set(target.active) == {"A", "Own"}
    source.set("B")
    assert set(target.active) == {"B", "Own"}
    tick = target.queue_tick
    source.remove("X")
    assert target.queue_tick == tick


def test_bind_any_of_machines_with_nothing_in_common() -> None:
    with pytest.raises(InvalidArgument, match="at least one"):
        pipes.bind_any(make("A"), make("B"))


def test_only_machines_can_be_piped() -> None:
    machine: Any = Machine("A")
    with pytest.raises(InvalidArgument, match="between machines, not str"):
        pipes.bind_state(machine, cast("Any", "app"), "A")


def test_a_long_chain_is_followed_to_its_end() -> None:
    machines: list[AnyMachine] = [Machine("A; B", id=f"m{number}") for number in range(400)]
    for source, target in itertools.pairwise(machines):
        pipes.bind_state(source, target, "A")
    assert machines[0].add("A").executed
    assert all(machine.is_("A") for machine in machines)
    assert machines[0].remove("A").executed
    assert not any(machine.is_("A") for machine in machines)
    assert not any(machine.err for machine in machines)


def test_a_long_chain_may_fork_and_meet() -> None:
    machines: list[AnyMachine] = [Machine("A! >B; B") for _ in range(60)]
    end: AnyMachine = Machine("A!; B")
    for source, target in itertools.pairwise(machines):
        pipes.add(source, target, "A")
    for machine in machines:
        pipes.add(machine, end, "A")
    machines[0].add("A")
    assert end.tick("A") == 2 * len(machines) - 1
