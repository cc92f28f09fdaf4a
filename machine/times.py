"""Ticks as values: the time of a machine, and the state that a tick stands for.

A state's tick counts its activations and deactivations: it starts at 0, grows
by one each time, and is odd while the state is active.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from operator import add, ge, gt, le, lt, sub
from typing import Any, NoReturn, Self, SupportsIndex, TypeAlias

__all__ = [
    "StateKey",
    "Time",
    "activations",
    "is_active_tick",
    "next_active",
    "next_active_in",
    "next_inactive",
    "next_inactive_in",
]

StateKey: TypeAlias = str | int  # a state by name, or by its position in the order of names


def is_active_tick(tick: int) -> bool:
    """True if a state with this tick is active."""
    return tick % 2 == 1


def next_active(tick: int) -> int:
    """The tick of the next activation; for an active state the one after this one."""
    return tick + next_active_in(tick)


def next_inactive(tick: int) -> int:
    """The tick of the next deactivation; for an inactive state, which is activated first, +2."""
    return tick + next_inactive_in(tick)


def next_active_in(tick: int) -> int:
    """The number of ticks until the next activation: 1, or 2 for an active state."""
    return 1 + tick % 2


def next_inactive_in(tick: int) -> int:
    """The number of ticks until the next deactivation: 1, or 2 for an inactive state."""
    return 2 - tick % 2


def activations(tick: int) -> int:
    """The number of activations of a state with this tick."""
    return (tick + 1) // 2


class Time(tuple[int, ...]):  # noqa: SLOT001 - a tuple has no room for slots
    """The ticks of some states at one moment, in the order of `names`.

    A tuple that cannot change: it compares with `==`, hashes, indexes, slices
    and iterates as the tuple of its ticks. Other than in a tuple, `+` adds tick
    by tick.

    States are given by name or by position. One that is not in here, such as
    the position -1, is no error: its tick is 0, so it is not active.

    Methods that take another time want one of the same states: a `Time` with
    the same names, or any sequence of as many ticks.

    Attributes:
        names: the state of each tick.
    """

    names: tuple[str, ...]

    def __new__(cls, ticks: Iterable[int], names: Iterable[str]) -> Self:
        """Take the ticks of the states `names`.

        Raises:
            ValueError: there are more ticks than names, or fewer.
        """
        self = tuple.__new__(cls, ticks)
        owners = tuple(names)
        if len(owners) != len(self):
            raise ValueError(f"{len(self)} ticks of {len(owners)} states")
        self.__dict__["names"] = owners
        return self

    def tick(self, state: StateKey) -> int:
        """The tick of a state; 0 for one that is not in here."""
        at = self._position(state)
        return self[at] if at >= 0 else 0

    def sum(self, *states: StateKey) -> int:
        """The ticks of `states` together, without any those of all states."""
        return sum(map(self.tick, states)) if states else sum(self)

    def filter(self, *states: StateKey) -> Time:
        """The time of `states` alone, in their order; 0 for those not in here.

        A position out of range has the name "" in the result.
        """
        return Time(map(self.tick, states), map(self._name, states))

    def to_index(self) -> dict[str, int]:
        """The tick of each state by its name."""
        return dict(zip(self.names, self, strict=True))

    def increment(self, state: StateKey) -> Time:
        """The same with one tick more for a state; unchanged for one not in here."""
        at = self._position(state)
        return self._with(tick + (i == at) for i, tick in enumerate(self))

    def is_(self, *states: StateKey) -> bool:
        """True if all of `states` are active; False without any."""
        return bool(states) and all(map(self.is1, states))

    def is1(self, state: StateKey) -> bool:
        """True if the state is active."""
        return is_active_tick(self.tick(state))

    def not_(self, *states: StateKey) -> bool:
        """True if none of `states` is active; so too without any."""
        return not any(map(self.is1, states))

    def any_(self, *groups: StateKey | Iterable[StateKey]) -> bool:
        """True if one of `groups`, a state or several, is active as a whole."""
        return any(
            self.is1(group) if isinstance(group, str | int) else self.is_(*group)
            for group in groups
        )

    def active_states(self, *states: StateKey) -> tuple[str, ...]:
        """The names of the active states; with `states` of those among them, in their order."""
        return tuple(self._name(state) for state in states or self.names if self.is1(state))

    def nonzero_states(self) -> tuple[str, ...]:
        """The names of the states that were active at least once."""
        return tuple(name for name, tick in zip(self.names, self, strict=True) if tick)

    def diff_since(self, before: Sequence[int]) -> Time:
        """The ticks of each state since `before`; zeros if that is of other states."""
        if not self._same_states(before):
            return self._with([0] * len(self))
        return self._with(map(sub, self, before))

    def equal(self, other: Sequence[int]) -> bool:
        """True if both hold the same ticks of the same states."""
        return self._same_states(other) and self == tuple(other)

    def after(self, other: Sequence[int], or_equal: bool = False) -> bool:
        """True if every tick is larger than in `other` (or as large).

        False if `other` is of other states, or if there are none.
        """
        return self._every(ge if or_equal else gt, other)

    def before(self, other: Sequence[int], or_equal: bool = False) -> bool:
        """True if every tick is smaller than in `other` (or as small).

        False if `other` is of other states, or if there are none.
        """
        return self._every(le if or_equal else lt, other)

    def __add__(self, other: Sequence[int]) -> Time:  # type: ignore[override]
        """Both tick by tick.

        Raises:
            ValueError: `other` is of other states.
        """
        if not self._same_states(other):
            raise ValueError("the times are of different states")
        return self._with(map(add, self, other))

    def __mul__(self, times: SupportsIndex) -> NoReturn:
        raise TypeError("a time cannot be repeated")

    def __rmul__(self, times: SupportsIndex) -> NoReturn:
        raise TypeError("a time cannot be repeated")

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"a time cannot change: {name}")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"a time cannot change: {name}")

    def __reduce__(self) -> tuple[Any, ...]:
        return Time, (tuple(self), self.names)

    def __str__(self) -> str:
        """The ticks with spaces between."""
        return " ".join(map(str, self))

    def __repr__(self) -> str:
        pairs = zip(self.names, self, strict=True)
        return f"Time({' '.join(f'{name}:{tick}' for name, tick in pairs)})"

    def _position(self, state: StateKey) -> int:
        """The index of the state's tick, or -1."""
        if isinstance(state, str):
            return self.names.index(state) if state in self.names else -1
        return state if 0 <= state < len(self) else -1

    def _name(self, state: StateKey) -> str:
        if isinstance(state, str):
            return state
        return self.names[state] if 0 <= state < len(self) else ""

    def _with(self, ticks: Iterable[int]) -> Time:
        return Time(ticks, self.names)

    def _same_states(self, other: Sequence[int]) -> bool:
        if isinstance(other, Time):
            return self.names == other.names
        return len(self) == len(other)

    def _every(self, holds: Callable[[int, int], bool], other: Sequence[int]) -> bool:
        return bool(self) and self._same_states(other) and all(map(holds, self, other))
