"""Kit of the vector tests: operations as text, recorders, and the comparison of a step.

An operation is written as in the tables: `+A,B` adds, `-A` removes, `=A` sets, `=` alone sets
nothing; `err` adds an error, `err!X` adds it together with X. A result is one letter: E executed,
C canceled, Q queued.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from machine.core.machine import Machine
from machine.core.options import Options
from machine.schema.schema import EXCEPTION, Schema
from machine.waits.result import Result

AnyMachine: TypeAlias = Machine[Any]

DATA = Path(__file__).parent / "data"
TIMEOUT = 0.06
"""Seconds that a handler may take in the timeout vectors, by `CLOCK`."""
OVERRUN = 0.18
"""Seconds that a handler takes that overruns, by `CLOCK`."""


class Clock:
    """A clock for `Options.clock` that handlers advance by hand, so that no test sleeps."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds


CLOCK = Clock()
"""The clock of all machines that `build` makes."""


class Raised(Exception):
    """Error of a raising handler of a vector."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One operation and what it leads to; None is not compared."""

    op: str
    result: str | None = None
    active: tuple[str, ...] | None = None
    ticks: Mapping[str, int] | None = None
    calls: tuple[str, ...] | None = None
    order: tuple[str, ...] | None = None
    nested: tuple[tuple[str, str], ...] | None = None
    reference: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Vector:
    """One row of a table."""

    id: str
    schema: str
    steps: tuple[Step, ...]
    title: str = ""
    ordered: bool = True
    init: str = ""
    returns_false: tuple[str, ...] = ()
    raises: tuple[str, ...] = ()
    overruns: tuple[str, ...] = ()
    does: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    queue_limit: int = 1000
    deadline: float = 10.0
    deviation: int | None = None
    reason: str = ""


def frozen(value: Any) -> Any:
    """JSON lists as tuples, all the way down."""
    if isinstance(value, list):
        return tuple(frozen(one) for one in value)
    if isinstance(value, dict):
        return {key: frozen(one) for key, one in value.items()}
    return value


def rows(name: str) -> list[dict[str, Any]]:
    """The rows of a data file, as they are written."""
    found = json.loads((DATA / f"{name}.json").read_text(encoding="utf-8"))
    assert isinstance(found, list)
    return found


def vectors(name: str) -> list[Vector]:
    """The rows of a data file that have steps."""
    made = []
    for row in rows(name):
        content = frozen(row)
        content["steps"] = tuple(Step(**step) for step in content["steps"])
        made.append(Vector(**content))
    return made


def each(name: str) -> pytest.MarkDecorator:
    """Parametrises a test with `vector`, one row of the data file after the other."""
    found = vectors(name)
    return pytest.mark.parametrize("vector", found, ids=[one.id for one in found])


def sorted_schema(text: str) -> Schema:
    """The schema in the order in which the reference keeps names that nobody verified."""
    parsed = Schema.parse(text)
    return Schema(parsed, order=sorted({*parsed.names, EXCEPTION}))


def build(text: str, init: str = "", **options: Any) -> AnyMachine:
    """A machine of sorted names, in which `init` has been set before anything else."""
    machine: AnyMachine = Machine(sorted_schema(text), options=Options(clock=CLOCK, **options))
    if init:
        apply(machine, f"={init}")
    return machine


def no_rels(init: str = "", **options: Any) -> AnyMachine:
    """Four states without relations."""
    return build("A; B; C; D", init, **options)


def rels(init: str = "") -> AnyMachine:
    """Four states with one relation of each kind."""
    return build("A* ?C; B! +C; C >D; D +C,B", init)


def apply(machine: AnyMachine, op: str, args: Mapping[str, object] | None = None) -> Result:
    """Does an operation that is written as text."""
    if op.startswith("err"):
        _, _, state = op.partition("!")
        if state:
            return machine.add_err_state(state, Raised(op))
        return machine.add_err(Raised(op))
    names = [name for name in op[1:].split(",") if name and name != "\N{EMPTY SET}"]
    match op[0]:
        case "+":
            return machine.add(*names, args=args)
        case "-" | "\N{MINUS SIGN}":
            return machine.remove(*names, args=args)
        case "=":
            return machine.set(*names, args=args)
    raise ValueError(op)


def letter(result: Result) -> str:
    """E, C or Q: exactly one of them holds."""
    said = {"E": result.executed, "C": result.canceled, "Q": result.queued}
    holds = [key for key, value in said.items() if value]
    assert len(holds) == 1, said
    return holds[0]


def conceivable(names: Iterable[str]) -> list[str]:
    """Every name that a handler of these states may have."""
    states = list(names)
    single = [f"{one}{end}" for one in states for end in ("Enter", "Exit", "State", "End")]
    pairs = [f"{one}{other}" for one in states for other in states]
    return [*single, *pairs, "AnyEnter", "AnyState"]


class Recorder:
    """Handlers of every conceivable name, which record their calls and do as they are told."""

    def __init__(self, machine: AnyMachine, vector: Vector | None = None) -> None:
        self.machine = machine
        self.vector = vector or Vector(id="", schema="", steps=())
        self.calls: list[str] = []
        self.nested: list[tuple[str, str]] = []
        self.results: list[Result] = []
        self.seen: set[str] = set()
        names = conceivable(machine.names)
        self.binding = machine.bind({name: self.handler(name) for name in names})

    def handler(self, name: str) -> Callable[[], bool | None]:
        """The handler of that name."""

        def run() -> bool | None:
            self.calls.append(name)
            first = name not in self.seen
            self.seen.add(name)
            if first:
                self.first(name)
            return False if name in self.vector.returns_false else None

        return run

    def first(self, name: str) -> None:
        """Action of a handler on its first call only."""
        for op in self.vector.does.get(name, ()):
            result = apply(self.machine, op)
            self.results.append(result)
            self.nested.append((op, letter(result)))
        if name in self.vector.overruns:
            CLOCK.advance(OVERRUN)
        if name in self.vector.raises:
            raise Raised(name)

    def clear(self) -> None:
        """Forgets what was recorded, not who has been called already."""
        self.calls.clear()
        self.nested.clear()


def check(machine: AnyMachine, step: Step, result: Result, ordered: bool) -> None:
    """Compares result, active states and all ticks with what a step says."""
    said: dict[str, object] = {"op": step.op}
    seen: dict[str, object] = {"op": step.op}
    if step.result is not None:
        said["result"], seen["result"] = step.result, letter(result)
    if step.active is not None:
        keep: Callable[[Iterable[str]], list[str]] = list if ordered else sorted
        said["active"], seen["active"] = keep(step.active), keep(machine.active)
    if step.ticks is not None:
        said["ticks"] = {EXCEPTION: 0, **step.ticks}
        seen["ticks"] = {name: machine.tick(name) for name in machine.names}
    assert seen == said
    odd = {name for name in machine.names if machine.tick(name) % 2}
    assert odd == set(machine.active)
    assert not machine.queue_len


def check_calls(recorder: Recorder, step: Step) -> None:
    """Compares the calls of handlers, and what the mutations inside them returned."""
    if step.calls is not None:
        assert recorder.calls == list(step.calls)
    if step.order is not None:
        places = [recorder.calls.index(name) for name in step.order]
        assert places == sorted(places)
    if step.nested is not None or step.calls is not None:
        assert recorder.nested == list(step.nested or ())


def run(vector: Vector, *, handlers: bool = True, **options: Any) -> AnyMachine:
    """Runs a row step by step, with a recorder or without any handler."""
    options = {"queue_limit": vector.queue_limit, **options}
    machine = build(vector.schema, vector.init, **options)
    recorder = Recorder(machine, vector) if handlers else None
    for step in vector.steps:
        result = apply(machine, step.op)
        if recorder is not None:
            check_calls(recorder, step)
            recorder.clear()
        check(machine, step, result, vector.ordered)
    return machine


def deviates(step: Step) -> bool:
    """Whether a step really differs from what the reference does."""
    if step.reference is None:
        return False
    return any(getattr(step, key) != value for key, value in step.reference.items())
