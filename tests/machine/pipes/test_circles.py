"""Pipes that end, that lead in circles, and that many threads use."""

from __future__ import annotations

import gc
import threading
import weakref
from typing import Any

from machine import Machine, Options, pipes
from machine.pipes import Pipe

AnyMachine = Machine[Any]


def make(schema: Any, name: str | None = None, options: Options | None = None) -> AnyMachine:
    return Machine(schema, id=name, options=options)


def pair(source: str = "A; B", target: str = "A; B; C") -> tuple[AnyMachine, AnyMachine]:
    return make(source, "source"), make(target, "target")


# -- sync, detach, dispose ---------------------------------------------------------------


def test_sync_says_what_is_so() -> None:
    source, target = pair("A!; B", "A!; B; C")
    source.add("A")
    source.add("A")
    target.add("B")
    pipes.bind_many(source, target, ["A", "B"], args=True)
    assert target.active == ("B",)
    assert pipes.sync(source) == 1
    assert target.active == ("A",)
    assert pipes.sync(source, target) == 1
    assert target.tick("A") == 1
    assert pipes.sync(source, make("A")) == 0


def test_a_detached_pipe_does_nothing() -> None:
    source, target = pair()
    first = pipes.bind_state(source, target, "A")
    second = pipes.bind_state(source, target, "B")
    assert pipes.pipes_of(source) == (first, second)
    first.detach()
    first.detach()
    source.add("A", "B")
    assert target.active == ("B",)
    assert not first.attached
    assert second.attached
    assert "detached" in repr(first)
    second.detach()
    assert source.tracers == ()
    first.sync()
    assert target.active == ("B",)


def test_a_pipe_ends_with_its_target() -> None:
    source, target = pair()
    pipe = pipes.bind_state(source, target, "A")
    target.dispose()
    assert not pipe.attached
    assert source.add("A").executed
    assert source.tracers == ()


def test_a_pipe_ends_with_its_source() -> None:
    source, target = pair()
    pipe = pipes.bind_state(source, target, "A")
    source.add("A")
    source.dispose()
    assert not pipe.attached
    assert target.is_("A")


def test_a_target_that_ends_while_it_is_told() -> None:
    source, target = pair()
    pipe = pipes.bind_many(source, target, ["A", "B"])
    target.bind({"AState": lambda machine: machine.dispose()})
    assert source.add("A", "B").executed
    assert target.disposed
    assert not pipe.attached


def test_targets_do_not_keep_sources_alive() -> None:
    source, target = pair()
    pipes.bind_state(source, target, "A")
    gone = weakref.ref(source)
    del source
    gc.collect()
    assert gone() is None
    target.dispose()


# -- circles and threads -----------------------------------------------------------------


def test_a_circle_comes_to_rest() -> None:
    one, two, three = (make("A!", str(number)) for number in range(3))
    for source, target in ((one, two), (two, three), (three, one)):
        pipes.add(source, target, "A")
    one.add("A")
    # Each pipe passes it on once, so it comes back to where it began.
    assert [m.tick("A") for m in (one, two, three)] == [3, 1, 1]


def test_two_machines_that_are_bound_to_each_other_agree() -> None:
    one, other = make("A; B", "one"), make("A; B", "other")
    pipes.bind_many(one, other, ["A", "B"], flat=True)
    pipes.bind_many(other, one, ["A", "B"], flat=True)
    one.add("A")
    other.add("B")
    assert set(one.active) == set(other.active) == {"A", "B"}
    other.remove("A")
    assert one.active == other.active == ("B",)
    assert one.time("A", "B") == other.time("A", "B") == (2, 1)


def test_a_circle_through_handlers_ends_with_an_error() -> None:
    few = Options(chain_limit=20)
    one, other = make("A!", "one", options=few), make("A!", "other", options=few)
    pipes.add(one, other, "A")
    other.bind({"AState": lambda: one.add("A")})
    one.add("A")
    assert type(other.err).__name__ == "MutationLoop"
    assert one.tick("A") < 100


def test_two_threads_and_pipes_both_ways() -> None:
    """Each drains its own machine and mutates the other's: nobody waits, nothing is lost."""
    limits = Options(queue_limit=10**6, handler_timeout=60)
    one = make("Ping!; Pong!", "one", options=limits)
    other = make("Ping!; Pong!", "other", options=limits)
    pipes.add(one, other, "Ping")
    pipes.add(other, one, "Pong")
    rounds = 2000
    start = threading.Barrier(2)

    def run(machine: AnyMachine, state: str) -> None:
        start.wait()
        for _ in range(rounds):
            machine.add(state)

    threads = [
        threading.Thread(target=run, args=each, daemon=True)
        for each in ((one, "Ping"), (other, "Pong"))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    for machine in (one, other):
        machine.when_queue_ends().wait(10)
        assert machine.clock("Ping", "Pong") == {"Ping": 2 * rounds - 1, "Pong": 2 * rounds - 1}


def test_pipes_made_and_detached_by_many_threads() -> None:
    source = make("A", options=Options(handler_timeout=60))
    left: list[Pipe] = []

    def run() -> None:
        target = make("A")
        for _ in range(200):
            pipes.bind_state(source, target, "A").detach()
        left.append(pipes.bind_state(source, target, "A"))

    threads = [threading.Thread(target=run) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    source.add("A")
    assert len(pipes.pipes_of(source)) == len(left) == 8
    assert all(pipe.target.is_("A") for pipe in left)
