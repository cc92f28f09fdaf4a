"""The transitions of a source as messages, for mirrors that follow each of them. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from rpc.machine_pb2 import Snapshot, ToMirror
from rpc.machines.feed import Feed, Projection
from rpc.machines.source import TracedStep

__all__ = ["step_messages"]


def step_messages(
    steps: Iterable[TracedStep], feed: Feed, projection: Projection, states: int
) -> Iterator[ToMirror]:
    """The messages for some transitions, each with the change of the clock that it made.

    Args:
        steps: the transitions.
        feed: of the mirror; it moves with each message that is taken from here.
        projection: the part that the mirror sees.
        states: the number of states of the source; transitions of another schema are left out.
    """
    known = {name: at for at, name in enumerate(projection.names)}
    for step in steps:
        base = feed.base
        if len(step.ticks) != states:
            continue
        clock = projection.clock(step.ticks, step.queue_tick, base.machine_tick, base)
        message = None if feed.behind(clock) else feed.update(clock)
        if isinstance(message, Snapshot):
            yield ToMirror(snapshot=message)
            message = None
        yield ToMirror(step=step.message(known, message))
