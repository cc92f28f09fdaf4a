"""The initial states of a machine.

They are what a `set` of them comes to in a machine without active states, auto states
included, and are there before any handler, tracer or wait: so none of these sees them begin.
Their async work is started by `start_work`.
"""

from __future__ import annotations

from machine.core.view import View
from machine.errors import Problem, SchemaError
from machine.rules.kinds import Kind, StepKind
from machine.rules.resolution import Effect, Move, Relations

__all__ = ["begin", "beginning"]


def begin(machine: View) -> None:
    """Activate the initial states of a machine that is being made.

    Raises:
        SchemaError: relations do not allow all of them together.
    """
    move = beginning(machine._m_relations, machine.id)
    for at, ticks in move.all_ticks:
        machine._m_ticks[at] += ticks
    machine._m_config = move.final
    machine._m_active = move.final.active


def beginning(relations: Relations, machine: str | None = None) -> Move:
    """Return the move that makes the initial states active.

    Raises:
        SchemaError: relations do not allow all of them together.
    """
    move = relations.move(relations.empty, Kind.SET, relations.initial)
    there = (move.final if move.accepted else move.target).order
    if any(at not in there for at in relations.initial):
        raise SchemaError(_problem(relations, move), machine=machine)
    return move


def _problem(relations: Relations, move: Move) -> Problem:
    names, initial = relations.names, relations.initial
    if move.accepted:
        removed_by = _reasons(relations, move.target.order, Kind.ADD, move.target.autos)
        there = move.final.order
    else:
        removed_by = _reasons(relations, (), Kind.SET, initial)
        there = move.target.order
    lost = [at for at in initial if at not in there]
    reasons = "; ".join(f"{names[at]} {removed_by[at]}" for at in lost if at in removed_by)
    others = ", ".join(names[at] for at in initial)
    text = (
        f"the initial states {others} cannot be active together: {reasons}; "
        f"take initial=True from {' or '.join(names[at] for at in lost)}, or make initial what "
        "they require"
    )
    return Problem("initial", names[lost[0]], text=text)


def _reasons(
    relations: Relations, active: tuple[int, ...], kind: Kind, called: tuple[int, ...]
) -> dict[int, str]:
    effects: list[Effect] = []
    relations.resolve(active, kind, called, effects)
    found: dict[int, str] = {}
    for step, at, by in effects:
        others = ", ".join(relations.names[one] for one in by)
        if step is StepKind.BLOCKED and by:
            found[at] = f"is removed by {others}"
        elif step is StepKind.REJECTED and by:
            found[at] = f"requires {others}"
    return found
