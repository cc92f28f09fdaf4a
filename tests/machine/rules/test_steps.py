"""Steps: the effects of relations in a transition."""

from __future__ import annotations

import random

import pytest

from machine.core.machine import Machine
from machine.core.tracer import Tracer
from machine.core.transition import Transition
from machine.rules.steps import Step, StepKind
from tests.machine.vector_kit import AnyMachine, Vector, apply, build, each


class Keeper(Tracer):
    """Keeps the steps of every transition when it ends."""

    def __init__(self) -> None:
        self.ended: list[tuple[Transition, tuple[Step, ...]]] = []

    def transition_end(self, tx: Transition) -> None:
        self.ended.append((tx, tx.steps))


def steps(schema: str, *ops: str, init: str = "", **handlers: object) -> list[str]:
    """The steps of the last transition that these operations make."""
    machine = build(schema, init)
    if handlers:
        machine.bind(handlers)
    keeper = Keeper()
    machine.bind_tracer(keeper)
    for op in ops:
        apply(machine, op)
    return [str(step) for step in keeper.ended[-1][1]]


@pytest.mark.parametrize(
    ("schema", "init", "op", "expected"),
    [
        pytest.param(
            "A +B; B; C -B",
            "C",
            "+A",
            ["called A", "implied B by A", "blocked B by C", "activate A"],
            id="R5",
        ),
        pytest.param(
            "C -D; D -C; A",
            "",
            "+C,D",
            ["called C", "called D", "blocked D by C", "cancel D"],
            id="R10-both",
        ),
        pytest.param(
            "C -D; D -C; A",
            "D",
            "+C",
            ["called C", "blocked D by C", "deactivate D", "activate C"],
            id="R10-switch",
        ),
        pytest.param(
            "A +B; B; C -B",
            "",
            "+A,C",
            [
                "called A",
                "called C",
                "implied B by A",
                "blocked B by C",
                "activate A",
                "activate C",
            ],
            id="R43",
        ),
        pytest.param(
            "A; B; C -D; D",
            "D",
            "=C,D",
            ["called C", "called D", "blocked D by C", "cancel D"],
            id="21",
        ),
        pytest.param(
            "A; B; C ?D; D",
            "A",
            "=C,A",
            ["called C", "called A", "rejected C by D", "cancel C"],
            id="25",
        ),
        pytest.param(
            "A ?B; B ?C; C",
            "",
            "+A,B",
            [
                "called A",
                "called B",
                "rejected B by C",
                "rejected A by B",
                "cancel A",
                "cancel B",
            ],
            id="R7",
        ),
        pytest.param(
            "A ?B; B; C",
            "A,B,C",
            "-B",
            ["called B", "rejected A by B", "deactivate B", "deactivate A"],
            id="R8",
        ),
        pytest.param(
            "A +B; B +C; C +D; D +E; E",
            "",
            "+A",
            [
                "called A",
                "implied B by A",
                "implied C by B",
                "activate C",
                "activate A",
                "activate B",
            ],
            id="R1",
        ),
        pytest.param("M!; A", "M", "+M", ["called M", "activate M"], id="R18"),
        pytest.param("A; B", "A", "+A", ["called A"], id="R31"),
    ],
)
def test_the_steps_of_a_mutation(schema: str, init: str, op: str, expected: list[str]) -> None:
    assert steps(schema, op, init=init) == expected


def test_an_auto_mutation_has_steps_of_its_own() -> None:
    keeper = Keeper()
    machine: AnyMachine = Machine("A*; B* ?C; C; D", tracers=[keeper])
    machine.add("D")
    (_, first), (auto, second) = keeper.ended
    assert [str(step) for step in first] == ["called D", "activate D"]
    assert auto.auto
    assert [str(step) for step in second] == [
        "called A",
        "called B",
        "rejected B by C",
        "activate A",
    ]


def test_an_auto_state_that_its_handler_rejects_is_told() -> None:
    keeper = Keeper()
    machine: AnyMachine = Machine("A*; B*; D", tracers=[keeper])
    machine.bind({"BEnter": lambda: False})
    machine.add("D")
    assert [str(step) for step in keeper.ended[1][1]] == [
        "called A",
        "called B",
        "rejected B",
        "activate A",
    ]


def test_a_handler_that_says_no_is_a_step() -> None:
    found = steps("A -B; B", "+A", init="B", AEnter=lambda: False)
    assert found == ["called A", "blocked B by A", "cancel by AEnter"]


def test_what_a_failed_handler_took_back_is_told() -> None:
    def fail() -> None:
        raise ValueError

    keeper = Keeper()
    machine: AnyMachine = Machine("A; B; C", tracers=[keeper])
    machine.bind({"BState": fail})
    machine.add("A", "B")
    assert [str(step) for step in keeper.ended[0][1]] == [
        "called A",
        "called B",
        "activate A",
        "activate B",
        "cancel by BState",
        "deactivate B by BState",
    ]
    assert machine.active_states("A", "B") == ("A",)


def test_steps_are_values() -> None:
    assert Step(StepKind.IMPLIED, "B", ("A",)) == Step(StepKind("implied"), "B", ("A",))
    assert Step(StepKind.CALLED, "A").kind == "called"


def told(tx: Transition, found: tuple[Step, ...]) -> tuple[set[str], set[str]]:
    """The states before it and after it, as far as the steps tell them."""
    before, after = set(tx.before), set(tx.before)
    for step in found:
        if step.kind is StepKind.ACTIVATE:
            after.add(step.state)
        elif step.kind is StepKind.DEACTIVATE:
            before.discard(step.state)
            after.discard(step.state)
    return before, after


def check(tx: Transition, found: tuple[Step, ...]) -> None:
    """Compares steps with what really came of the transition."""
    kinds = {step.kind for step in found}
    assert (StepKind.CANCEL in kinds) is not tx.accepted
    _, after = told(tx, found)
    assert after == (set(tx.target) if tx.accepted else set(tx.before))
    lost = {step.state for step in found if step.kind in (StepKind.BLOCKED, StepKind.REJECTED)}
    came = {step.state for step in found if step.kind in (StepKind.CALLED, StepKind.IMPLIED)}
    if tx.mutation.kind == "remove":
        assert set(tx.before) - set(tx.called) - set(tx.target) <= lost
        return
    assert set(tx.called) - set(tx.target) <= lost, "a called state is lost without a reason"
    assert set(tx.target) - set(tx.before) <= came, "a state came without a reason"
    if tx.mutation.kind == "add":
        assert set(tx.before) - set(tx.target) <= lost, "a state ended without a reason"


@each("relation")
def test_steps_explain_every_vector(vector: Vector) -> None:
    machine = build(vector.schema, vector.init)
    keeper = Keeper()
    machine.bind_tracer(keeper)
    for step in vector.steps:
        apply(machine, step.op)
    assert keeper.ended
    for tx, found in keeper.ended:
        check(tx, found)
        assert tx.steps == found


@pytest.mark.parametrize("seed", range(60))
def test_steps_explain_random_machines(seed: int) -> None:
    chance = random.Random(seed)
    names = [chr(65 + at) for at in range(chance.randint(3, 8))]
    states = []
    for at, name in enumerate(names):
        flags = "".join(flag for flag in "*!" if chance.random() < 0.15)
        some = [chance.choice(names) for _ in range(4)]
        needs = f"?{chance.choice(names[:at])}" if at and chance.random() < 0.35 else ""
        adds = f"+{some[1]}" if chance.random() < 0.5 else ""
        gone = f"-{some[2]}" if chance.random() < 0.5 and f"?{some[2]}" != needs else ""
        after = f">{some[3]}" if chance.random() < 0.2 else ""
        states.append(f"{name}{flags} {needs} {adds} {gone} {after}")
    keeper = Keeper()
    machine: AnyMachine = Machine("; ".join(states), tracers=[keeper])
    for _ in range(25):
        called = chance.sample(names, chance.randint(1, 3))
        apply(machine, chance.choice("+++-=") + ",".join(called))
    for tx, found in keeper.ended:
        check(tx, found)
