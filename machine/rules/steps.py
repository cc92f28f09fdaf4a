"""The steps of a transition: what each relation did, worked out again for observers.

The rules are those of `machine.rules.resolution`, which only keeps their outcome.
Here each of them also reports what it did, in the order in which it did it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from machine.rules.kinds import Kind

if TYPE_CHECKING:
    from machine.core.transition import Transition
    from machine.rules.resolution import Compiled, Move

__all__ = ["Step", "StepKind", "steps_of", "steps_of_transition"]


class StepKind(StrEnum):
    """What happened to a state."""

    CALLED = "called"
    """The mutation names it."""
    IMPLIED = "implied"
    """It comes along, by the Add of another state."""
    REJECTED = "rejected"
    """Its Require is not met; or, in an auto mutation, its handler said no."""
    BLOCKED = "blocked"
    """Another state has it in its Remove."""
    ACTIVATE = "activate"
    """It becomes active, or, as a Multi state, active anew."""
    DEACTIVATE = "deactivate"
    """It ends."""
    CANCEL = "cancel"
    """It was called and is not among the target, or a handler said no: nothing comes of it all."""


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that happened to a state.

    Attributes:
        kind: what; a StepKind, which is a str like `"called"`.
        state: the state; empty if a handler canceled the transition as a whole.
        other: the states that did it: who implied it, or blocked it, or what it misses. For
            a cancel the handler, by its name.
    """

    kind: StepKind
    state: str
    other: tuple[str, ...] = ()

    def __str__(self) -> str:
        text = f"{self.kind} {self.state}" if self.state else str(self.kind)
        return f"{text} by {' '.join(self.other)}" if self.other else text


def steps_of(compiled: Compiled, move: Move) -> tuple[Step, ...]:
    """The steps of a move that no handler objects to, in the order of its resolution."""
    steps = _resolution(compiled, move)
    return (*steps, *_outcome(compiled, move))


def steps_of_transition(compiled: Compiled, tx: Transition) -> tuple[Step, ...]:
    """The steps of a transition so far, with what a handler made of them."""
    move = tx.move
    if tx.auto:
        index = compiled.index
        called = tuple(index[name] for name in tx.called)
        whole = compiled.move(move.before, move.kind, called, auto=True)
        steps = [*_resolution(compiled, whole), *_struck(compiled, whole, move)]
    else:
        steps = list(_resolution(compiled, move))
    if tx.accepted or not move.accepted:
        return (*steps, *_outcome(compiled, move))
    if tx.committed:
        steps += _outcome(compiled, move)
    by = (tx.handler,) if tx.handler else ()
    steps.append(Step(StepKind.CANCEL, "", by))
    if tx.committed:
        steps += _taken_back(compiled, tx, by)
    return tuple(steps)


def _struck(compiled: Compiled, whole: Move, rest: Move) -> Iterator[Step]:
    """Auto states that handlers did not let through, which the others did without."""
    for state in whole.called:
        if state in whole.target.order and state not in rest.target.order:
            yield Step(StepKind.REJECTED, compiled.names[state])


def _taken_back(compiled: Compiled, tx: Transition, by: tuple[str, ...]) -> Iterator[Step]:
    """States that went back because their final handlers did not complete."""
    move, before, after = tx.move, tx.time_before, tx.time_after
    due = dict(move.ticks)
    for state in (*move.exits, *move.enters):
        if after[state] - before[state] > due[state]:
            kind = StepKind.ACTIVATE if state in move.exits else StepKind.DEACTIVATE
            yield Step(kind, compiled.names[state], by)


def _outcome(compiled: Compiled, move: Move) -> Iterator[Step]:
    names, target = compiled.names, move.target.order
    if move.accepted:
        yield from (Step(StepKind.DEACTIVATE, names[state]) for state in move.exits)
        yield from (Step(StepKind.ACTIVATE, names[state]) for state in move.enters)
    else:
        missing = (state for state in move.called if state not in target)
        yield from (Step(StepKind.CANCEL, names[state]) for state in missing)


def _resolution(compiled: Compiled, move: Move) -> tuple[Step, ...]:
    return tuple(_Resolution(compiled, move).run())


class _Resolution:
    """One resolution that tells what it does; see `machine.rules.resolution` for the rules."""

    def __init__(self, compiled: Compiled, move: Move) -> None:
        self.compiled = compiled
        self.move = move
        self.before = frozenset(move.before.order)
        self.removing = frozenset(move.called if move.kind is Kind.REMOVE else ())
        self.dropped: set[int] = set()

    def run(self) -> Iterator[Step]:
        for state in self.move.called:
            yield self.step(StepKind.CALLED, state)
        states = list(dict.fromkeys(self.wanted()))
        yield from self.imply(states)
        yield from self.require(states)
        yield from self.block(states)
        states.reverse()
        kept = tuple(states)
        target = self.move.target.order
        again = frozenset(self.dropped).difference(target)  # told once, and nothing came of it
        yield from (one for at, one in self.imply_with(states) if at not in again)
        for state in states[len(kept) :]:
            blockers = [other for other in kept if state in self.compiled._remove[other]]
            if blockers:
                states.remove(state)
                if state not in again:
                    yield self.step(StepKind.BLOCKED, state, blockers)
        states.reverse()
        yield from self.require(states, again)

    def wanted(self) -> Sequence[int]:
        called, active = self.move.called, self.move.before.order
        if self.move.kind is Kind.ADD:
            return (*called, *active)
        if self.move.kind is Kind.SET:
            return called
        return [state for state in active if state not in self.removing]

    def imply(self, states: list[int]) -> Iterator[Step]:
        return (step for _, step in self.imply_with(states))

    def imply_with(self, states: list[int]) -> Iterator[tuple[int, Step]]:
        compiled, there = self.compiled, set(states)
        for state in tuple(states):
            if state in self.before and not compiled.multi[state]:
                continue
            for other in compiled._add[state]:
                if other not in there and other not in self.removing:
                    there.add(other)
                    states.append(other)
                    yield other, self.step(StepKind.IMPLIED, other, (state,))

    def require(self, states: list[int], silent: frozenset[int] = frozenset()) -> Iterator[Step]:
        dropping = True
        while dropping:
            there = set(states)
            dropping = False
            for state in tuple(states):
                missing = [other for other in self.compiled._require[state] if other not in there]
                if missing:
                    dropping = True
                    self.drop(states, state)
                    if state not in silent:
                        yield self.step(StepKind.REJECTED, state, missing)

    def block(self, states: list[int]) -> Iterator[Step]:
        remove, blocked = self.compiled._remove, set[int]()
        everyone = tuple(states)
        for state in reversed(everyone):
            blockers = [one for one in everyone if state in remove[one] and one not in blocked]
            if blockers:
                blocked.add(state)
                self.drop(states, state)
                yield self.step(StepKind.BLOCKED, state, blockers)

    def drop(self, states: list[int], state: int) -> None:
        states.remove(state)
        self.dropped.add(state)

    def step(self, kind: StepKind, state: int, others: Iterable[int] = ()) -> Step:
        names = self.compiled.names
        return Step(kind, names[state], tuple(names[other] for other in others))
