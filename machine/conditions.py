"""Conditions on a machine as values: to be stored, sent, and checked elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Self, TypeAlias

from machine.core.machine import Machine
from machine.errors import InvalidArgument
from machine.schema.state import Names, flatten
from machine.waits.wait import Wait

__all__ = ["Condition", "accept_if", "needs_args", "reject_if"]

AnyMachine: TypeAlias = Machine[Any]
Negotiation: TypeAlias = Callable[..., bool]
_FIELDS = ("is_", "any_", "not_", "clock")


@dataclass(frozen=True, slots=True, init=False)
class Condition:
    """Requirements on a machine; an empty one always holds.

        Condition(is_="Connected", not_=["Busy", "Exception"]).check(machine)

    Attributes:
        is_: all of these states are active.
        any_: at least one of these is.
        not_: none of these is.
        clock: these states have at least these ticks.
    """

    is_: tuple[str, ...]
    any_: tuple[str, ...]
    not_: tuple[str, ...]
    clock: Mapping[str, int] = field(hash=False)

    def __init__(
        self,
        *,
        is_: Names = (),
        any_: Names = (),
        not_: Names = (),
        clock: Mapping[str, int] | None = None,
    ) -> None:
        for name, given in (("is_", is_), ("any_", any_), ("not_", not_)):
            object.__setattr__(self, name, flatten(given, name))
        ticks = dict(clock or {})
        for state, tick in ticks.items():
            if not isinstance(state, str) or not isinstance(tick, int) or tick < 0:
                raise InvalidArgument(f"{state!r} with {tick!r} is no tick", argument="clock")
        object.__setattr__(self, "clock", MappingProxyType(ticks))

    def __reduce__(self) -> tuple[Any, ...]:
        return _restored, (type(self), self.to_dict())

    @property
    def states(self) -> tuple[str, ...]:
        """All states that it names, once each."""
        return tuple(dict.fromkeys((*self.is_, *self.any_, *self.not_, *self.clock)))

    def check(self, machine: AnyMachine) -> bool:
        """True if it holds now. On a disposed machine nothing is active.

        Raises:
            UnknownState: it names a state that the machine does not have.
        """
        machine.not_(self.states)  # for the error
        return (
            machine.is_(self.is_)
            and (not self.any_ or machine.any_(*self.any_))
            and machine.not_(self.not_)
            and machine.was_clock(self.clock)
        )

    def when(self, machine: AnyMachine) -> Wait:
        """A wait for it to hold.

        Raises:
            UnknownState: it names a state that the machine does not have.
        """
        machine.not_(self.states)
        return machine.when_query(self._holds)

    def _holds(self, clock: Mapping[str, int]) -> bool:
        def active(state: str) -> bool:
            return clock[state] % 2 == 1

        return (
            all(map(active, self.is_))
            and (not self.any_ or any(map(active, self.any_)))
            and not any(map(active, self.not_))
            and all(clock[state] >= tick for state, tick in self.clock.items())
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON; only the fields that are set."""
        lists = {name: list(getattr(self, name)) for name in _FIELDS[:3]}
        return {
            name: value for name, value in {**lists, "clock": dict(self.clock)}.items() if value
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """The condition that `to_dict` wrote.

        Raises:
            InvalidArgument: it is something else.
        """
        if not isinstance(data, Mapping) or any(name not in _FIELDS for name in data):
            raise InvalidArgument(f"a condition has {', '.join(_FIELDS)}, not {data!r}")
        if not isinstance(data.get("clock", {}), Mapping):
            raise InvalidArgument("the clock of a condition is a mapping", argument="clock")
        return cls(**data)


def _restored(kind: type[Condition], data: Mapping[str, Any]) -> Condition:
    return kind.from_dict(data)


# -- negotiation handlers ----------------------------------------------------------------


def accept_if(condition: Condition | Callable[[AnyMachine], bool]) -> Negotiation:
    """A negotiation handler that accepts a transition only if a condition holds.

    machine.bind({"SendEnter": accept_if(Condition(is_="Connected"))})

    Args:
        condition: or a function of the machine.
    """
    holds = condition.check if isinstance(condition, Condition) else condition

    def handler(*_owner: object, machine: AnyMachine) -> bool:
        return bool(holds(machine))

    return handler


def reject_if(condition: Condition | Callable[[AnyMachine], bool]) -> Negotiation:
    """A negotiation handler that rejects a transition if a condition holds."""
    holds = condition.check if isinstance(condition, Condition) else condition

    def handler(*_owner: object, machine: AnyMachine) -> bool:
        return not holds(machine)

    return handler


def needs_args(*names: str, **types: type | tuple[type, ...]) -> Negotiation:
    """A negotiation handler that accepts a transition only with some arguments.

    Args:
        names: must be there, and not None.
        types: must be there, and be of these classes.

    For arguments that a state declares (`State.args`) this is not needed: wrong ones raise.
    """
    needed = (*names, *types)

    def handler(*_owner: object, event: Any) -> bool:
        args = event.args
        return all(args.get(name) is not None for name in needed) and all(
            isinstance(args[name], kinds) for name, kinds in types.items()
        )

    return handler
