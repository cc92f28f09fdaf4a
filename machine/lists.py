"""Lists of state names as values: joining, taking away, comparing.

Every function takes a single name wherever it takes a list of names, keeps the
order it is given, and returns a new tuple. None of them knows a machine, so
any name will do.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TypeAlias

__all__ = [
    "Names",
    "states_add",
    "states_diff",
    "states_equal",
    "states_equal_order",
    "states_matching",
    "states_prefixed",
    "states_remove",
    "states_shared",
    "states_starting_with",
]

Names: TypeAlias = str | Iterable[str]  # one name, or any number of them


def states_add(*lists: Names) -> tuple[str, ...]:
    """All names of `lists`, each once, where it came first; `()` for no lists."""
    return tuple(dict.fromkeys(name for names in lists for name in _each(names)))


def states_remove(states: Names, *lists: Names) -> tuple[str, ...]:
    """The names of `states` that are in none of `lists`."""
    return states_diff(states, states_add(*lists))


def states_diff(states: Names, others: Names) -> tuple[str, ...]:
    """The names of `states` that are not in `others`."""
    gone = frozenset(_each(others))
    return tuple(name for name in _each(states) if name not in gone)


def states_shared(states: Names, others: Names) -> tuple[str, ...]:
    """The names of `states` that are also in `others`."""
    kept = frozenset(_each(others))
    return tuple(name for name in _each(states) if name in kept)


def states_equal(states: Names, others: Names) -> bool:
    """True if both hold the same names, in any order, repeated or not."""
    return frozenset(_each(states)) == frozenset(_each(others))


def states_equal_order(states: Names, others: Names) -> bool:
    """True if both hold the same names in the same order."""
    return tuple(_each(states)) == tuple(_each(others))


def states_starting_with(states: Names, prefix: str) -> tuple[str, ...]:
    """The names of `states` that start with `prefix`."""
    return tuple(name for name in _each(states) if name.startswith(prefix))


def states_matching(states: Names, pattern: str | re.Pattern[str]) -> tuple[str, ...]:
    """The names of `states` in which the regular expression is found.

    Raises:
        re.error: `pattern` is no regular expression.
    """
    found = re.compile(pattern)
    return tuple(name for name in _each(states) if found.search(name))


def states_prefixed(states: Names, prefix: str) -> tuple[str, ...]:
    """The names of `states`, each with `prefix` put in front."""
    return tuple(prefix + name for name in _each(states))


def _each(names: Names) -> Iterable[str]:
    return (names,) if isinstance(names, str) else names
