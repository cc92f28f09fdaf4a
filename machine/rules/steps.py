"""The steps of a transition: the effect of each relation, worked out again for observers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from machine.rules.kinds import StepKind
from machine.rules.resolution import Effect, Move, Relations

__all__ = ["Attempt", "Step", "StepKind", "steps_of", "steps_of_transition"]


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a transition.

    Attributes:
        kind: its effect; a StepKind, which is a str like `"called"`.
        state: the state; empty if a handler canceled the transition as a whole.
        other: the states that did it: those that implied or blocked it, or that it misses.
            For a cancel the handler, by its name.
    """

    kind: StepKind
    state: str
    other: tuple[str, ...] = ()

    def __str__(self) -> str:
        text = f"{self.kind} {self.state}" if self.state else str(self.kind)
        return f"{text} by {' '.join(self.other)}" if self.other else text


class Attempt(Protocol):
    """The part of a transition that its steps depend on; see `machine.Transition`."""

    @property
    def move(self) -> Move: ...
    @property
    def auto(self) -> bool: ...
    @property
    def called(self) -> tuple[str, ...]: ...
    @property
    def accepted(self) -> bool: ...
    @property
    def committed(self) -> bool: ...
    @property
    def handler(self) -> str: ...
    @property
    def ticks_before(self) -> Sequence[int]: ...
    @property
    def ticks_after(self) -> Sequence[int]: ...


def steps_of(relations: Relations, move: Move) -> tuple[Step, ...]:
    """Return the steps of a move that no handler objects to, in the order of its resolution."""
    return (*_resolution(relations, move), *_outcome(relations, move))


def steps_of_transition(relations: Relations, tx: Attempt) -> tuple[Step, ...]:
    """Return the steps of a transition so far, with those that its handlers led to."""
    move = tx.move
    if tx.auto:
        called = tuple(relations.index[name] for name in tx.called)
        whole = relations.move(move.before, move.kind, called, auto=True)
        steps = [*_resolution(relations, whole), *_struck(relations, whole, move)]
    else:
        steps = list(_resolution(relations, move))
    if tx.accepted or not move.accepted:
        return (*steps, *_outcome(relations, move))
    if tx.committed:
        steps += _outcome(relations, move)
    by = (tx.handler,) if tx.handler else ()
    steps.append(Step(StepKind.CANCEL, "", by))
    if tx.committed:
        steps += _taken_back(relations, tx, by)
    return tuple(steps)


def _resolution(relations: Relations, move: Move) -> Iterator[Step]:
    effects: list[Effect] = []
    relations.resolve(move.before.order, move.kind, move.called, effects)
    names = relations.names
    for kind, state, others in effects:
        yield Step(kind, names[state], tuple(names[other] for other in others))


def _struck(relations: Relations, whole: Move, rest: Move) -> Iterator[Step]:
    """Yield the Auto states that handlers did not let through, and the others did without."""
    for state in whole.called:
        if state in whole.target.order and state not in rest.target.order:
            yield Step(StepKind.REJECTED, relations.names[state])


def _taken_back(relations: Relations, tx: Attempt, by: tuple[str, ...]) -> Iterator[Step]:
    """Yield the states that went back because their final handlers did not complete."""
    move, before, after = tx.move, tx.ticks_before, tx.ticks_after
    due = dict(move.ticks)
    for state in (*move.exits, *move.enters):
        if after[state] - before[state] > due[state]:
            kind = StepKind.ACTIVATE if state in move.exits else StepKind.DEACTIVATE
            yield Step(kind, relations.names[state], by)


def _outcome(relations: Relations, move: Move) -> Iterator[Step]:
    names, target = relations.names, move.target.order
    if move.accepted:
        yield from (Step(StepKind.DEACTIVATE, names[state]) for state in move.exits)
        yield from (Step(StepKind.ACTIVATE, names[state]) for state in move.enters)
    else:
        missing = (state for state in move.called if state not in target)
        yield from (Step(StepKind.CANCEL, names[state]) for state in missing)
