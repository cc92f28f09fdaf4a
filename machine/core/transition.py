"""One mutation being carried out."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from machine.times import Time

if TYPE_CHECKING:
    from machine.core.machine import Machine
    from machine.core.mutation import Mutation
    from machine.rules.resolution import Compiled, Move
    from machine.rules.steps import Step
    from machine.schema.schema import Schema

__all__ = ["StateChange", "Transition"]


@dataclass(frozen=True, slots=True)
class StateChange:
    """The change of one state's clock in a transition.

    Attributes:
        index: the state's position in the official order.
        name: the state's name.
        ticks: how many ticks its clock made.
        tick: its clock afterwards; odd if the state is active.
    """

    index: int
    name: str
    ticks: int
    tick: int


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
        move: what the relations made of the mutation.
        ticks_before: the ticks of all states before it, in the official order;
            a snapshot, which observers keep but do not change.
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
        self.move = move
        self.ticks_before: Sequence[int] = ticks

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
        return self.move.before.names

    @property
    def target(self) -> tuple[str, ...]:
        """The states that are active if nothing rejects it, in the machine's order."""
        return self.move.target.names

    @property
    def exits(self) -> tuple[str, ...]:
        """The states that end, in the order of their handlers."""
        return tuple(self.relations.names[at] for at in self.move.exits)

    @property
    def enters(self) -> tuple[str, ...]:
        """The states that begin, or begin anew, in the order of their handlers."""
        return tuple(self.relations.names[at] for at in self.move.enters)

    @property
    def time_before(self) -> Time:
        """The ticks of all states before it."""
        return Time(self.ticks_before, self.relations.names)

    @property
    def time_after(self) -> Time:
        """The ticks of all states after it; until it commits, those it will lead to."""
        if self._ticks_after is not None:
            return Time(self._ticks_after, self.relations.names)
        ticks = list(self.ticks_before)
        if self.accepted:
            for at, more in self.move.ticks:
                ticks[at] += more
        return Time(ticks, self.relations.names)

    @property
    def steps(self) -> tuple[Step, ...]:
        """What relations did, one by one, and a handler's no: worked out when asked for."""
        from machine.rules.steps import steps_of_transition

        return steps_of_transition(self.relations, self)

    # -- for observers -------------------------------------------------------------------

    @property
    def ticks_after(self) -> Sequence[int]:
        """The ticks of all states after it; `ticks_before` itself if nothing has changed (yet)."""
        return self.ticks_before if self._ticks_after is None else self._ticks_after

    @property
    def changes(self) -> tuple[StateChange, ...]:
        """The states whose clocks have ticked, in the official order; worked out when asked for.

        Between the commit and the end it shows the commit; at the end also what was taken
        back because a final handler failed.
        """
        before, after = self.ticks_before, self.ticks_after
        if after is before:
            return ()
        names = self.relations.names
        return tuple(
            StateChange(at, names[at], after[at] - before[at], after[at])
            for at in sorted(at for at, _ in self.move.ticks)
            if after[at] != before[at]
        )

    @property
    def names(self) -> tuple[str, ...]:
        """All states of the machine in the official order, that of the ticks."""
        return self.relations.names

    @property
    def schema(self) -> Schema:
        """The schema of the machine."""
        return self.relations.schema

    @property
    def relations(self) -> Compiled:
        """The schema by index, which all machines of it share: names, indexes, relations."""
        return self.machine._compiled
