"""Changes of a mirror in the words of a machine: active states and transitions. Pure."""

from __future__ import annotations

from array import array
from collections.abc import Iterable

from machine.core.mutation import Mutation
from machine.core.tracer import GuardedTracer
from machine.core.transition import Transition
from machine.rules.resolution import Move, Relations

__all__ = ["active_positions", "move_between", "trace"]


def active_positions(
    relations: Relations, ticks: Iterable[int], *, partial: bool
) -> tuple[int, ...]:
    """The positions of the active states; with a partial view also of those they require.

    A state that is not mirrored is active if an active one requires it, for the
    source could not be in that state else.
    """
    active = [at for at, tick in enumerate(ticks) if tick % 2]
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
