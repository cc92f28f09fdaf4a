"""Checks of the arguments of a mutation against those that a state declares."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from machine.errors import InvalidArgument, did_you_mean, near_names

__all__ = ["check_arguments", "needs_args"]


def check_arguments(
    args: object, values: Mapping[str, Any], wanted: type, state: str, machine: str
) -> None:
    """Compare arguments with a dataclass or TypedDict.

    A mapping must have the right names; its values are compared where the
    declared type is a plain class or a union of such.

    Raises:
        InvalidArgument: a name is missing or unknown, or a value has a wrong type.
    """
    if isinstance(args, wanted) if not typing.is_typeddict(wanted) else False:
        return
    if dataclasses.is_dataclass(args):
        raise InvalidArgument(
            f"{state} takes {wanted.__name__}, not {type(args).__name__}",
            argument="args",
            machine=machine,
            state=state,
        )
    types_of, needed = _fields(wanted)
    unknown = [name for name in values if name not in types_of]
    if unknown:
        near = did_you_mean(near_names(unknown[0], types_of))
        raise _wrong(f"{state} has no argument {unknown[0]!r}{near}", state, machine)
    missing = [name for name in needed if name not in values]
    if missing:
        raise _wrong(f"{state} needs the argument {missing[0]!r}", state, machine)
    for name, value in values.items():
        if types_of[name] and not isinstance(value, types_of[name]):
            raise _wrong(
                f"{state} takes {name} as {_words(types_of[name])}, not {type(value).__name__}",
                state,
                machine,
            )


def needs_args(wanted: type | None) -> bool:
    """True if a state with these arguments cannot be called without any."""
    return wanted is not None and bool(_fields(wanted)[1])


@lru_cache(maxsize=1024)
def _fields(wanted: type) -> tuple[dict[str, tuple[type, ...]], tuple[str, ...]]:
    """The classes of each argument (none: anything goes), and those that must be there."""
    try:
        hints = typing.get_type_hints(wanted)
    except (NameError, TypeError):  # a type that is only known to type checkers
        hints = dict.fromkeys(getattr(wanted, "__annotations__", {}), Any)
    if dataclasses.is_dataclass(wanted):
        needed = tuple(
            field.name
            for field in dataclasses.fields(wanted)
            if field.default is field.default_factory is dataclasses.MISSING
        )
        hints = {field.name: hints[field.name] for field in dataclasses.fields(wanted)}
    else:
        needed = tuple(getattr(wanted, "__required_keys__", ()))
    return {name: _classes(hint) for name, hint in hints.items()}, needed


def _classes(hint: Any) -> tuple[type, ...]:
    if hint is float:
        return (float, int)
    if hint is None:
        return (type(None),)
    if isinstance(hint, type) and not typing.get_args(hint):
        return () if hint is object or typing.is_typeddict(hint) else (hint,)
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        parts = [_classes(part) for part in typing.get_args(hint)]
        return tuple(one for part in parts for one in part) if all(parts) else ()
    return ()


def _words(classes: tuple[type, ...]) -> str:
    return " or ".join(one.__name__ for one in classes)


def _wrong(text: str, state: str, machine: str) -> InvalidArgument:
    return InvalidArgument(text, argument="args", machine=machine, state=state)
