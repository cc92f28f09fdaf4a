"""Groups: the states of a group of one machine, and the same states of several machines."""

from __future__ import annotations

from collections.abc import Iterable

from machine.errors import InvalidArgument, did_you_mean, near_names
from machine.helpers.driven import AnyMachine
from machine.schema.schema import Schema
from machine.schema.states import States
from machine.waits.wait import Wait

__all__ = ["group_when", "implements", "in_group", "states_of_group", "when_group"]


def group_when(machines: Iterable[AnyMachine], *states: str) -> tuple[Wait, ...]:
    """For each machine a wait for its states, for `wait_for_all` and `wait_for_any`."""
    return tuple(machine.when(*states) for machine in machines)


def states_of_group(machine: AnyMachine, group: str) -> tuple[str, ...]:
    """The states of a group of the machine's schema.

    Raises:
        InvalidArgument: there is no such group.
    """
    groups = machine.schema.groups
    if group not in groups:
        near = did_you_mean(near_names(group, groups))
        raise InvalidArgument(
            f"the schema has no group {group!r}{near}", argument="group", machine=machine.id
        )
    return groups[group]


def in_group(machine: AnyMachine, group: str) -> tuple[str, ...]:
    """The active states of a group, in the group's order."""
    return machine.active_states(states_of_group(machine, group))


def when_group(machine: AnyMachine, group: str, *, every: bool = False) -> Wait:
    """A wait for one state of a group to be active, or for `every` one at the same time."""
    states = states_of_group(machine, group)
    return machine.when(*states) if every else machine.when_any(*states)


def implements(machine: AnyMachine, states: type[States] | Schema | Iterable[str]) -> bool:
    """True if a machine has all these states, so that it can stand in for another machine."""
    names = states.names if isinstance(states, type) else states
    return machine.has(tuple(names))
