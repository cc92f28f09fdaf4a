"""Invariants of machines, of any schema and under any calls."""

from __future__ import annotations

import pickle
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from machine.core.machine import Machine
from machine.core.tracer import Tracer
from machine.core.transition import Transition
from machine.schema.schema import Schema, State
from machine.times import is_active_tick

AnyMachine = Machine[Any]
Steps = list[tuple[str, list[str]]]

NAMES = "ABCDEF"


@st.composite
def schemas(draw: st.DrawFn, adding: bool = True) -> Schema:
    """Schemas with every relation; what is required is always a later name."""
    names = NAMES[: draw(st.integers(2, len(NAMES)))]
    some = st.lists(st.sampled_from(names), max_size=2, unique=True)
    states = {}
    for at, name in enumerate(names):
        later = names[at + 1 :]
        require = draw(st.lists(st.sampled_from(later), max_size=1)) if later else []
        states[name] = State(
            auto=draw(st.booleans()) and draw(st.booleans()),
            multi=draw(st.booleans()),
            require=require,
            add=draw(some) if adding else (),
            remove=[other for other in draw(some) if other not in require],
            after=draw(some),
            tags=draw(st.lists(st.sampled_from(["x", "y"]), max_size=1)),
        )
    return Schema(states)


def steps_of(schema: Schema) -> st.SearchStrategy[Steps]:
    """Mutations of its states, and errors."""
    states = st.lists(st.sampled_from(schema.names), max_size=3, unique=True)
    return st.lists(st.tuples(st.sampled_from(["add", "remove", "set", "err"]), states), max_size=8)


def carry_out(machine: AnyMachine, steps: Steps) -> None:
    """Ask for each step."""
    for kind, states in steps:
        if kind == "err":
            machine.add_err(ValueError("asked for"))
        else:
            getattr(machine, kind)(*states)


class Looks(Tracer):
    """Checks at the end of each transition what must hold there."""

    def __init__(self) -> None:
        self.active: tuple[str, ...] = ()

    def transition_end(self, tx: Transition) -> None:
        machine = tx.machine
        for name, tick in machine.clock().items():
            assert is_active_tick(tick) is (name in machine.active)
        assert tx.time_before.before(tx.time_after, or_equal=True)
        assert tx.time_after == machine.time()
        if tx.accepted and not tx.mutation.check:
            self.accepted(machine, tx)
        elif not tx.committed:
            assert machine.active == self.active
            assert tx.time_after == tx.time_before
        self.active = machine.active

    def accepted(self, machine: AnyMachine, tx: Transition) -> None:
        """The active states are the target, with what they require and without what they exclude.

        Only a state that another adds may be there together with what it removes.
        """
        schema = machine.schema
        assert machine.active == tx.target
        implied = {other for state in schema.values() for other in state.add}
        for name in machine.active:
            assert machine.is_(*schema[name].require)
            if name not in implied:
                assert machine.not_(*schema[name].remove)


class Raises(Tracer):
    """A tracer's errors are only logged, so the first is kept for the test."""

    def __init__(self) -> None:
        self.looks = Looks()
        self.error: AssertionError | None = None

    def transition_end(self, tx: Transition) -> None:
        try:
            self.looks.transition_end(tx)
        except AssertionError as error:
            self.error = self.error or error


class Handlers:
    """Handlers that now and then say no, raise, or ask for more."""

    def __init__(self, machine: AnyMachine, draws: list[int]) -> None:
        self.machine = machine
        self.draws = draws

    def bind(self) -> None:
        names = self.machine.names
        found = [name + end for name in names for end in ("Enter", "Exit", "State", "End")]
        self.machine.bind(dict.fromkeys([*found, "AnyEnter", "AnyState"], self.handle))

    def handle(self) -> bool | None:
        draw = self.draws.pop() if self.draws else 0
        if draw == 1:
            return False
        if draw == 2:
            raise RuntimeError("drawn")
        if draw > 2:
            name = self.machine.names[draw % len(self.machine.names)]
            self.machine.add(name) if draw % 2 else self.machine.remove(name)
        return None


@given(st.data())
def test_what_holds_after_every_transition(data: st.DataObject) -> None:
    schema = data.draw(schemas())
    tracer = Raises()
    machine = AnyMachine(schema, tracers=[tracer])
    if data.draw(st.booleans()):
        draws = st.lists(st.one_of(st.just(0), st.integers(0, 9)), max_size=60)
        Handlers(machine, data.draw(draws)).bind()
    carry_out(machine, data.draw(steps_of(schema)))
    if tracer.error:
        raise tracer.error


@given(st.data())
def test_without_add_no_two_states_exclude_each_other(data: st.DataObject) -> None:
    schema = data.draw(schemas(adding=False))
    machine = AnyMachine(schema)
    for step in data.draw(steps_of(schema)):
        carry_out(machine, [step])
        for name in machine.active:
            assert machine.not_(*schema[name].remove)


@given(st.data())
def test_a_snapshot_brings_back_time_and_active_states(data: st.DataObject) -> None:
    schema = data.draw(schemas())
    machine = AnyMachine(schema)
    carry_out(machine, data.draw(steps_of(schema)))
    other = AnyMachine(schema, id=machine.id)
    other.import_(pickle.loads(pickle.dumps(machine.export())))
    assert other.time().equal(machine.time())
    assert set(other.active) == set(machine.active)
    assert other.string_all() == machine.string_all()
    for name in schema:
        assert other.is_(name) is is_active_tick(other.tick(name))


@given(st.data())
def test_a_schema_survives_text_and_pickle(data: st.DataObject) -> None:
    schema = data.draw(schemas())
    for twin in (Schema.parse(str(schema)), pickle.loads(pickle.dumps(schema))):
        assert twin == schema
        assert hash(twin) == hash(schema)
        assert str(twin) == str(schema)
        assert twin.names == schema.names


@given(st.data())
def test_two_machines_of_one_schema_do_the_same(data: st.DataObject) -> None:
    schema = data.draw(schemas())
    steps = data.draw(steps_of(schema))
    machines = [AnyMachine(schema), AnyMachine(Schema.parse(str(schema)))]
    for machine in machines:
        carry_out(machine, steps)
    assert machines[0].active == machines[1].active
    assert machines[0].time() == machines[1].time()
