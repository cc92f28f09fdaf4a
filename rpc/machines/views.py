"""Changes of a mirror in the words of a machine: active states and transitions. Pure."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from itertools import compress, count

from machine.core.mutation import Mutation
from machine.core.tracer import GuardedTracer
from machine.core.transition import Transition
from machine.core.view import zeros
from machine.rules.resolution import Move, Relations

__all__ = ["AgreedNames", "active_positions", "move_between", "trace"]

_MOST_KNOWN = 1000  # combinations of states


class AgreedNames:
    """The names that positions in messages refer to, among those that a mirror knows.

    Args:
        names: the agreed ones.
        here: those of the mirror's schema.

    Attributes:
        names: the agreed ones.
        same: both are the same, in the same order.
        partial: not all states are mirrored.
    """

    __slots__ = ("_index", "_known", "_positions", "_size", "names", "partial", "same")

    def __init__(self, names: Sequence[str], here: Sequence[str]) -> None:
        self.names = tuple(names)
        self.same = self.names == tuple(here)
        self.partial = len(names) != len(here)
        self._size = len(here)
        self._index = {name: at for at, name in enumerate(names)}
        index = {name: at for at, name in enumerate(here)}
        self._positions = [index[name] for name in names]
        self._known: dict[tuple[str, ...], tuple[int, ...]] = {}

    def indexes(self, states: tuple[str, ...]) -> tuple[int, ...]:
        """The positions of states among the agreed names; raises `KeyError` for another state."""
        found = self._known.get(states)
        if found is None:
            found = tuple(map(self._index.__getitem__, states))
            if len(self._known) < _MOST_KNOWN:
                self._known[states] = found
        return found

    def spread(self, ticks: array[int]) -> array[int]:
        """The ticks in the order of the names here; 0 for states that are not mirrored."""
        own = zeros(self._size)
        for at, tick in zip(self._positions, ticks, strict=True):
            own[at] = tick
        return own


def active_positions(
    relations: Relations, ticks: Iterable[int], *, partial: bool
) -> tuple[int, ...]:
    """The positions of the active states; with a partial view also of those they require.

    A state that is not mirrored is active if an active one requires it, for the
    source could not be in that state else.
    """
    parities = map((1).__and__, ticks)
    active = list(compress(count(), parities))  # no comprehension: it is done for each update
    if not partial:
        return tuple(active)
    index, schema, names = relations.index, relations.schema, relations.names
    found = dict.fromkeys(active)
    while active:
        for one in schema[names[active.pop()]].require:
            at = index[one]
            if at not in found:
                found[at] = None
                active.append(at)
    return tuple(sorted(found))


def move_between(
    relations: Relations,
    mutation: Mutation,
    before: array[int],
    after: array[int],
    *,
    partial: bool,
) -> Move:
    """The change from one clock to another, as if it were one transition."""
    old = relations.configuration(active_positions(relations, before, partial=partial))
    new = relations.configuration(active_positions(relations, after, partial=partial))
    move = Move(mutation.kind, (), old, new, True)
    move.ticks = tuple(
        (at, tick - before[at]) for at, tick in enumerate(after) if tick != before[at]
    )
    move.exits = tuple(at for at in old.order if not after[at] % 2)
    move.enters = tuple(at for at, _ in move.ticks if after[at] % 2)
    return move


def trace(tracers: Iterable[GuardedTracer], transition: Transition) -> None:
    """Tell tracers of a change as of one transition."""
    tracers = tuple(tracers)
    for tracer in tracers:
        tracer.transition_init(transition)
    for tracer in tracers:
        tracer.transition_start(transition)
    for tracer in tracers:
        tracer.transition_finals(transition)
    for tracer in tracers:
        tracer.transition_end(transition)
