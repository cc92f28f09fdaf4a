"""What relations did in a transition, one by one: worked out again, for those who look on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from machine._compile import Compiled, Move

__all__ = ["Step", "steps_of"]


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that happened to a state.

    Attributes:
        kind: `called`, `implied`, `blocked`, `rejected`, `activate` or `deactivate`.
        state: the state.
        other: the states that did it: who implied it, blocked it, or is missing.
    """

    kind: str
    state: str
    other: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.kind} {self.state}" + (f" by {' '.join(self.other)}" if self.other else "")


def steps_of(compiled: Compiled, move: Move) -> tuple[Step, ...]:
    """The steps of a move, in the order of its resolution."""
    return tuple(compiled.explain(move))
