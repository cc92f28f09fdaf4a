"""Triggers: mutations with a name, called as methods of a subclass of Machine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, overload

from machine.errors import InvalidArgument, UnknownState
from machine.rules.kinds import Kind
from machine.schema.arguments import Args
from machine.schema.schema import as_schema
from machine.schema.state import Names, flatten
from machine.waits.result import Result

__all__ = ["BoundTrigger", "Trigger", "check_triggers", "trigger", "triggers_of"]


class BoundTrigger:
    """A trigger of one machine; calling it carries the mutation out."""

    __slots__ = ("_machine", "_trigger")

    def __init__(self, one: Trigger, machine: Any) -> None:
        self._trigger = one
        self._machine = machine

    def __repr__(self) -> str:
        return f"<trigger {self._trigger} of {self._machine.id}>"

    def __call__(self, *, args: Args = None, source: Any = None) -> Result:
        """Mutate the machine; arguments, result and errors are those of `Machine.add`."""
        mutate = getattr(self._machine, self._trigger.kind.value)
        result: Result = mutate(*self._trigger.states, args=args, source=source)
        return result

    def can(self, *, args: Args = None) -> Result:
        """Ask relations and negotiation handlers whether the call would be accepted."""
        result: Result = self._machine._m_ask(self._trigger.kind, self._trigger.states, args, None)
        return result


class Trigger:
    """A mutation that is declared in a class of machines; see `trigger`.

    Attributes:
        kind: of the mutation.
        states: the states that it calls.
    """

    __slots__ = ("kind", "states")

    def __init__(self, kind: Kind, states: tuple[str, ...]) -> None:
        self.kind: Kind = kind
        self.states: tuple[str, ...] = states

    def __str__(self) -> str:
        return f"{self.kind.value} {' '.join(self.states)}".rstrip()

    @overload
    def __get__(self, machine: None, owner: type) -> Trigger: ...
    @overload
    def __get__(self, machine: object, owner: type) -> BoundTrigger: ...
    def __get__(self, machine: object, owner: type) -> Trigger | BoundTrigger:
        return self if machine is None else BoundTrigger(self, machine)

    def __set__(self, machine: object, value: object) -> None:
        raise AttributeError(f"{self} is a trigger, and cannot be replaced in one machine")


def trigger(
    *,
    add: Names | None = None,
    remove: Names | None = None,
    set: Names | None = None,  # noqa: A002 - the name of the mutation
) -> Trigger:
    """Declare a named mutation in the body of a subclass of Machine.

        class Door(Machine, schema="Opened -Closed; Closed^ -Opened"):
            open = trigger(add="Opened")

        Door().open()

    Args:
        add, remove, set: the states of the mutation; one of the three.

    Raises:
        InvalidArgument: none or several of them are given, or something else than names.
    """
    given = {Kind.ADD: add, Kind.REMOVE: remove, Kind.SET: set}
    found = {kind: names for kind, names in given.items() if names is not None}
    if len(found) != 1:
        raise InvalidArgument(
            f"a trigger is one mutation, not {len(found)}",
            argument="add",
            hint="Like trigger(add='Opened'), or with remove=, or with set=.",
        )
    ((kind, names),) = found.items()
    states = flatten(names, kind.value)
    if not states and kind is not Kind.SET:
        raise InvalidArgument(f"{kind.value} of no states changes nothing", argument=kind.value)
    return Trigger(kind, states)


def triggers_of(machine: object) -> Mapping[str, BoundTrigger]:
    """Return the triggers of a machine by name, those of its first bases first."""
    found: dict[str, BoundTrigger] = {}
    for base in reversed(type(machine).__mro__):
        for name, value in vars(base).items():
            if isinstance(value, Trigger):
                found[name] = BoundTrigger(value, machine)
            else:
                found.pop(name, None)  # a subclass has put something else in its place
    return found


def check_triggers(cls: type, machine: type) -> None:
    """Check the triggers that a new class of machines declares.

    Args:
        cls: the class.
        machine: the class of machines.

    Raises:
        InvalidArgument: one has the name of an attribute of machines.
        UnknownState: one calls a state that the schema of the class does not have.
    """
    declared = {name: one for name, one in vars(cls).items() if isinstance(one, Trigger)}
    given = getattr(cls, "_m_schema", None)
    known = as_schema(given).names if declared and given is not None else None
    for name, one in declared.items():
        if hasattr(machine, name):
            raise InvalidArgument(
                f"{cls.__name__}.{name}, a trigger, hides Machine.{name}",
                argument=name,
                hint="Choose another name.",
            )
        for state in one.states:
            if known is not None and state not in known:
                raise UnknownState(state, known=known)
