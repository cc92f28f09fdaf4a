"""Values of a program as JSON can hold them."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping
from datetime import date
from enum import Enum
from pathlib import PurePath
from typing import Any
from uuid import UUID

from machine.texts import error_text

__all__ = ["NotPlain", "plain", "plain_args"]

_DEEPEST = 32
_LONGEST = 13_600  # bits of an integer: Python refuses to write those above 4,300 digits


class NotPlain(TypeError):
    """A value that JSON cannot hold."""


def plain(value: object, depth: int = 0) -> Any:
    """The value of str, int, float, bool, None, lists and dicts.

    Enum members become their values, tuples lists, dataclasses mappings;
    errors, dates, UUIDs and paths become texts.

    Raises:
        NotPlain: there is something else in it, or it is nested too deeply.
    """
    if isinstance(value, Enum):
        return plain(value.value, depth)
    if isinstance(value, int) and value.bit_length() > _LONGEST:
        raise NotPlain("the integer is too long for a text")
    if value is None or isinstance(value, str | bool | int):
        return value
    if depth > _DEEPEST:
        raise NotPlain("nested too deeply")
    if isinstance(value, float):
        if not math.isfinite(value):
            raise NotPlain(f"{value} is no number of JSON")
        return value
    if isinstance(value, list | tuple):
        return [plain(one, depth + 1) for one in value]
    if isinstance(value, Mapping):
        return _plain_mapping(value, depth)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = dataclasses.fields(value)
        return {one.name: plain(getattr(value, one.name), depth + 1) for one in fields}
    return _plain_text(value)


def _plain_mapping(value: Mapping[Any, Any], depth: int) -> dict[str, Any]:
    if not all(isinstance(key, str) for key in value):
        raise NotPlain("a mapping has keys that are no texts")
    return {str(key): plain(one, depth + 1) for key, one in value.items()}


def _plain_text(value: object) -> str:
    if isinstance(value, BaseException):
        return error_text(value)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, UUID | PurePath):
        return str(value)
    raise NotPlain(f"JSON cannot hold {type(value).__name__}")


def plain_args(args: Mapping[str, Any], names: Iterable[str] | None = None) -> dict[str, Any]:
    """The arguments that JSON can hold, or those of them with these names."""
    found: dict[str, Any] = {}
    for name in args if names is None else names:
        if name in args and isinstance(name, str):
            try:
                found[name] = plain(args[name])
            except NotPlain:
                continue
    return found
