"""One mutation being carried out."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, Any

from machine.times import Time

if TYPE_CHECKING:
    from machine.core.machine import Machine
    from machine.core.mutation import Mutation
    from machine.rules.resolution import Compiled, Move
    from machine.rules.steps import Step

__all__ = ["Transition"]


class Transition:
    """A mutation on its way through relations and handlers.

    Attributes:
        machine: whose it is.
        mutation: what is being done.
        accepted: False once relations or a handler rejected it, or a handler failed.
        completed: True when all is done.
        committed: True once states and clocks are the new ones.
        handler: the name of the handler that runs, or ran last; "" before the first.
        error: what a handler raised, if one did.
        number: of the transition, counted by the machine.
    """

    # Class attributes, until they change.
    completed = False
    committed = False
    handler = ""
    error: BaseException | None = None
    _ticks_after: array[int] | None = None

    def __init__(
        self,
        machine: Any,
        mutation: Mutation,
        move: Move,
        ticks: array[int],
        number: int,
    ) -> None:
        self.machine: Machine[Any] = machine
        self.mutation = mutation
        self.accepted = move.accepted
        self.number = number
        self._move = move
        self._ticks_before = ticks

    def __repr__(self) -> str:
        done = "accepted" if self.accepted else "canceled"
        return f"<Transition {self.id} {self.mutation} {done}>"

    @property
    def id(self) -> str:
        """Unique: the machine's id and a number."""
        return f"{self.machine.id}#{self.number}"

    @property
    def auto(self) -> bool:
        """True if the machine itself made it, of Auto states."""
        return self.mutation.auto

    @property
    def called(self) -> tuple[str, ...]:
        """The states that the mutation named."""
        return self.mutation.called

    @property
    def before(self) -> tuple[str, ...]:
        """The states that were active, in the machine's order."""
        return self._move.before.names

    @property
    def target(self) -> tuple[str, ...]:
        """The states that are active if nothing rejects it, in the machine's order."""
        return self._move.target.names

    @property
    def exits(self) -> tuple[str, ...]:
        """The states that end, in the order of their handlers."""
        return tuple(self._compiled.names[at] for at in self._move.exits)

    @property
    def enters(self) -> tuple[str, ...]:
        """The states that begin, or begin anew, in the order of their handlers."""
        return tuple(self._compiled.names[at] for at in self._move.enters)

    @property
    def time_before(self) -> Time:
        """The ticks of all states before it."""
        return Time(self._ticks_before, self._compiled.names)

    @property
    def time_after(self) -> Time:
        """The ticks of all states after it; until it commits, those it will lead to."""
        if self._ticks_after is not None:
            return Time(self._ticks_after, self._compiled.names)
        ticks = self._ticks_before[:]
        if self.accepted:
            for at, more in self._move.ticks:
                ticks[at] += more
        return Time(ticks, self._compiled.names)

    @property
    def steps(self) -> tuple[Step, ...]:
        """What relations did, one by one, and a handler's no: worked out when asked for."""
        from machine.rules.steps import steps_of_transition

        return steps_of_transition(self._compiled, self)

    @property
    def _compiled(self) -> Compiled:
        return self.machine._compiled
