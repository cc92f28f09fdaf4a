"""The machine as a whole: evals, tracers, settings, snapshots and its end."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from machine.core.machine import Machine
from machine.core.options import Options
from machine.core.tracer import Tracer
from machine.core.transition import Transition
from machine.errors import ImportMismatch
from machine.rules.kinds import Kind
from machine.schema.schema import EXCEPTION, Schema, State
from tests.machine.vector_kit import AnyMachine, Raised, apply, letter, no_rels, rels

ALL = ("A", "B", "C", "D", EXCEPTION)


@pytest.mark.parametrize("method", ["dispose", "dispose_now"])
def test_39_a_disposed_machine_calls_back(method: str) -> None:
    # 40 as well: both are done when they return on an idle machine.
    machine = no_rels("A")
    called: list[str] = []
    machine.on_dispose(lambda: called.append("first"))
    machine.on_dispose(lambda: called.append("second"))
    getattr(machine, method)()
    assert called == ["first", "second"]
    assert machine.disposed
    assert machine.when_disposed().done


def test_40_disposing_inside_a_handler_waits_for_its_end() -> None:
    machine = no_rels()
    seen: list[bool] = []

    def state() -> None:
        machine.dispose()
        seen.append(machine.disposed)

    machine.bind({"AState": state})
    machine.add("A")
    assert seen == [False]
    assert machine.disposed


def test_44_eval() -> None:
    machine = no_rels()
    ran: list[str] = []
    assert machine.eval("once", lambda: ran.append("once"))
    assert ran == ["once"]


def test_45_an_eval_inside_an_eval_is_refused() -> None:
    machine = no_rels()
    ran: list[str] = []
    inner: list[bool] = []

    def outer() -> None:
        ran.append("outer")
        inner.append(machine.eval("inner", lambda: ran.append("inner"), timeout=0.05))

    assert machine.eval("outer", outer)
    assert inner == [False]
    assert ran == ["outer"]
    assert not machine.is_err


def test_46_an_eval_inside_a_handler_is_refused() -> None:
    machine = no_rels()
    ran: list[str] = []
    inner: list[bool] = []

    def state() -> None:
        inner.append(machine.eval("inner", lambda: ran.append("inner"), timeout=0.05))

    machine.bind({"AState": state})
    machine.add("A")
    assert inner == [False]
    assert not ran


def test_75_one_constructor() -> None:
    machine: AnyMachine = Machine("A; Exception!", id="foo", handlers={"AState": lambda: None})
    assert machine.id == "foo"
    assert machine.names == ("A", EXCEPTION)
    assert machine.add("A").executed


class Ends(Tracer):
    """Keeps the transitions that ended."""

    def __init__(self) -> None:
        self.ended: list[Transition] = []
        self.machines: list[str] = []

    def machine_init(self, machine: AnyMachine) -> None:
        self.machines.append(machine.id)

    def transition_end(self, tx: Transition) -> None:
        self.ended.append(tx)


def test_77_tracers() -> None:
    tracer = Ends()
    parent: AnyMachine = Machine("A")
    machine: AnyMachine = Machine("A", id="traced", parent=parent, tracers=[tracer])
    machine.add("A")
    assert tuple(machine.tracers) == (tracer,)
    assert tracer.machines == ["traced"]
    assert [one.called for one in tracer.ended] == [("A",)]


def test_79_another_schema() -> None:
    machine = no_rels("A,C")
    old = machine.schema
    wider = old.with_states(
        {"A": State(multi=True), "B": State(remove="C"), "D": State(add="E"), "E": None}
    )
    machine.set_schema(wider)
    assert machine.schema.fingerprint() != old.fingerprint()
    assert set(machine.active) == {"A", "C"}
    assert machine.tick("E") == 0
    machine.set("A", "B", "D")
    assert set(machine.active) == {"A", "B", "D", "E"}


def test_97_export_and_import() -> None:
    first: AnyMachine = Machine("A; B; C; D", id="one")
    for op in ("=A", "-B", "+A", "+B", "+C"):
        apply(first, op)
    snapshot = first.export()
    stranger: AnyMachine = Machine("A; B; C", id="one")
    with pytest.raises(ImportMismatch):
        stranger.import_(snapshot)
    second: AnyMachine = Machine("A; B; C; D", id="one")
    second.import_(snapshot)
    assert second.string() == first.string() == "(A:1 B:1 C:1)"


def test_100_a_tracer_is_detached() -> None:
    machine = no_rels()
    tracer = Ends()
    machine.bind_tracer(tracer)
    machine.add("A")
    machine.detach_tracer(tracer)
    machine.add("B")
    assert len(tracer.ended) == 1
    assert not machine.tracers


def test_106_settings_read_back() -> None:
    parent: AnyMachine = Machine("A")
    machine: AnyMachine = Machine(
        "A", parent=parent, tags=["a", "b"], options=Options(queue_limit=10)
    )
    assert machine.parent is parent
    assert machine in tuple(parent.children)
    assert tuple(machine.tags) == ("a", "b")


def disposed() -> AnyMachine:
    """A machine that has ended with A active and an error."""
    machine = no_rels("A")
    machine.add_err(Raised("last"))
    machine.dispose_now()
    return machine


MUTATIONS: dict[str, Callable[[AnyMachine], object]] = {
    "add": lambda m: m.add("B"),
    "remove": lambda m: m.remove("A"),
    "set": lambda m: m.set("B"),
    "toggle": lambda m: m.toggle("A"),
    "add_err": lambda m: m.add_err(Raised("more")),
    "prepend": lambda m: m.prepend(Kind.ADD, "B"),
    "can_add": lambda m: m.can_add("B"),
    "can_remove": lambda m: m.can_remove("A"),
}


@pytest.mark.parametrize("name", MUTATIONS)
def test_107_mutations_of_a_disposed_machine(name: str) -> None:
    machine = disposed()
    before = machine.time()
    result = MUTATIONS[name](machine)
    assert str(result) == "canceled"
    assert machine.time() == before


def test_107_waits_of_a_disposed_machine() -> None:
    machine = disposed()
    waits = [
        machine.when("B"),
        machine.when_not("A"),
        machine.when_args("A", {"x": 1}),
        machine.when_time(["B"], [9]),
        machine.when_queue_ends(),
        machine.when_query(lambda clock: False),
    ]
    assert all(one.done for one in waits)
    assert not machine.eval("late", lambda: None)
    assert list(machine.queue) == []
    assert not machine.is_queued(Kind.ADD, "B")
    assert isinstance(machine.err, Raised)


def test_108_groups() -> None:
    schema = Schema(
        dict.fromkeys(("State00", "State01", "State10", "State11", "State20", "State21")),
        groups={"Group0": ["State20", "State21"], "Bar": ["State11", "State20"]},
    )
    machine: AnyMachine = Machine(schema)
    assert dict(machine.schema.groups) == {
        "Group0": ("State20", "State21"),
        "Bar": ("State11", "State20"),
    }
    machine.add("State20")
    assert machine.switch(schema.groups["Group0"]) == "State20"


def test_109_can_add() -> None:
    machine = rels()
    assert letter(machine.can_add("A")) == "C"
    assert letter(machine.can_add("C")) == "E"
    assert machine.time_sum() == 0


def test_46_an_eval_of_another_thread_waits_for_its_turn() -> None:
    machine = no_rels()
    ran: list[str] = []
    inside, go = threading.Event(), threading.Event()

    def state() -> None:
        inside.set()
        assert go.wait(5)
        ran.append("handler")

    machine.bind({"AState": state})
    thread = threading.Thread(target=machine.add, args=("A",))
    thread.start()
    assert inside.wait(5)
    results: list[bool] = []
    evaluator = threading.Thread(
        target=lambda: results.append(machine.eval("other", lambda: ran.append("eval"), timeout=5))
    )
    evaluator.start()
    go.set()
    thread.join(5)
    evaluator.join(5)
    assert results == [True]
    assert ran == ["handler", "eval"]
