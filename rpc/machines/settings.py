"""Checks of the arguments of servers and clients, where they are given."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from grid.errors import InvalidArgument

__all__ = ["check_callable", "check_functions", "check_list"]


def check_callable(argument: str, function: object) -> None:
    """Raise `InvalidArgument` unless it is a function, or None."""
    if function is not None and not callable(function):
        raise InvalidArgument(argument, function, "a function")


def check_functions(
    argument: str, functions: Mapping[str, Callable[..., Any]] | None
) -> dict[str, Callable[..., Any]]:
    """A copy of functions by their names. Raises `InvalidArgument` if that is not what they are."""
    if functions is None:
        return {}
    wanted = "functions by their names"
    if not isinstance(functions, Mapping):
        raise InvalidArgument(argument, functions, wanted)
    for name, function in functions.items():
        if not isinstance(name, str) or not callable(function):
            raise InvalidArgument(argument, {name: function}, wanted)
    return dict(functions)


def check_list(argument: str, names: object) -> None:
    """Raise `InvalidArgument` for a text where a list belongs; its letters would be one."""
    if isinstance(names, str):
        raise InvalidArgument(argument, names, "a list of names, not a single text")
