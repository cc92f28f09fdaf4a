"""Mirrors: machines that show the states of another machine."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from machine import pipes
from machine.core.machine import Machine
from machine.schema.schema import EXCEPTION, Schema
from machine.schema.state import State

__all__ = ["mirror"]


def mirror(
    source: Machine[Any],
    states: Mapping[str, str] | Iterable[str] | None = None,
    *,
    id: str | None = None,  # noqa: A002 - the word of the design
    flat: bool = False,
) -> Machine[Any]:
    """A new machine that has some states of another one while that has them.

    Its states have no relations, so it can follow the source in everything. It is
    a submachine of the source, and disposed with it; handlers and waits of it
    are its own. Its ticks count from when it was made.

    Args:
        states: of the source, or a mapping of them to the names they have here;
            all but Exception by default.
        id: of the new machine; by default that of the source and `-mirror`.
        flat: Multi states are plain ones here: a state that begins again does not tick.

    Raises:
        UnknownState: the source does not have one of the states.
        InvalidArgument: there are none, or the source is disposed.
    """
    if states is None:
        states = [name for name in source.names if name != EXCEPTION]
    if isinstance(states, Mapping):
        pairs = dict(states)
    else:
        pairs = {name: name for name in ([states] if isinstance(states, str) else states)}
    schema = Schema(
        {own: State(multi=source.schema[name].multi and not flat) for name, own in pairs.items()}
    )
    name = f"{source.id}-mirror" if id is None else id
    made: Machine[Any] = Machine(schema, id=name, parent=source)
    pipes.bind_many(source, made, pairs, flat=flat, args=True).sync()
    return made
