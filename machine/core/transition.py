"""Transitions: mutations on their way through relations and handlers, and their events."""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from machine.core.mutation import Mutation, Source
from machine.errors import InvalidArgument
from machine.rules.resolution import Move, Relations
from machine.rules.steps import Step, steps_of_transition
from machine.schema.schema import Schema
from machine.times import Time

__all__ = ["Event", "StateChange", "Transition", "source_of"]


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
        machine: the `Machine` that carries it out.
        mutation: the mutation.
        accepted: False once relations or a handler rejected it, or a handler failed.
        completed: True at its end.
        committed: True once states and clocks are the new ones.
        handler: the name of the handler that runs, or ran last; "" before the first.
        error: the error that a handler raised, if one did.
        number: of the transition, counted by the machine.
        move: its outcome by the relations.
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
        # Any, and not Machine: a machine is made of transitions, so its class comes later.
        self.machine: Any = machine
        self.mutation = mutation
        self.accepted: bool = move.accepted
        self.number = number
        self.move = move
        self.ticks_before: Sequence[int] = ticks

    @classmethod
    def mirrored(
        cls,
        machine: Any,
        mutation: Mutation,
        move: Move,
        before: array[int],
        after: array[int],
        number: int,
    ) -> Transition:
        """A transition that was carried out elsewhere, for the tracers of a mirror."""
        transition = cls(machine, mutation, move, before, number)
        transition._ticks_after = after
        transition.committed = transition.completed = True
        return transition

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
        """The states that begin, Multi ones also again, in the order of their handlers."""
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
        """The effects of relations, one by one, and a handler's no: worked out when asked for."""
        return steps_of_transition(self.relations, self)

    # -- for observers -------------------------------------------------------------------

    @property
    def ticks_after(self) -> Sequence[int]:
        """The ticks of all states after it; `ticks_before` itself if nothing has changed (yet)."""
        return self.ticks_before if self._ticks_after is None else self._ticks_after

    @property
    def changes(self) -> tuple[StateChange, ...]:
        """The states whose clocks have ticked, in the official order; worked out when asked for.

        Between the commit and the end these are of the commit; at the end also those of states
        that were taken back because a final handler failed.
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
    def relations(self) -> Relations:
        """The schema by index, which all machines of it share: names, indexes, relations."""
        relations: Relations = self.machine._m_relations
        return relations


class Event:
    """The transition that calls a handler, as the handler sees it.

    Attributes:
        name: the handler's name, as `FooState`.
        transition: the transition that calls it.
    """

    __slots__ = ("name", "transition")

    def __init__(self, name: str, transition: Transition) -> None:
        self.name: str = name
        self.transition: Transition = transition

    def __repr__(self) -> str:
        return f"<Event {self.name} of {self.transition.mutation}>"

    @property
    def machine(self) -> Any:
        """The `Machine` whose handler it is."""
        return self.transition.machine

    @property
    def mutation(self) -> Mutation:
        """The mutation that is carried out."""
        return self.transition.mutation

    @property
    def args(self) -> Mapping[str, Any]:
        """The mutation's arguments by name; empty if there are none."""
        return self.transition.mutation.values

    @property
    def source(self) -> Source | None:
        """The event that the mutation was made for, if its caller named one."""
        return self.transition.mutation.source

    def is_valid(self) -> bool:
        """True while its transition is the one that runs, and nothing has rejected it."""
        transition = self.transition
        running = transition.machine.transition is transition
        return running and transition.accepted and not transition.completed

    def as_source(self) -> Source:
        """The values of this event that a mutation keeps as its `source`."""
        transition = self.transition
        return Source(transition.machine.id, transition.id, sum(transition.time_before))


def source_of(given: Event | Source | None) -> Source | None:
    """Return the source of a mutation from the argument of its caller.

    Raises:
        InvalidArgument: it is neither an event nor a source.
    """
    if given is None or isinstance(given, Source):
        return given
    if isinstance(given, Event):
        return given.as_source()
    raise InvalidArgument(
        f"source must be the Event of a handler, or a Source, not {type(given).__name__}",
        argument="source",
    )
