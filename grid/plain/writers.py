"""Values of dataclasses as JSON, in the forms that `grid.plain.readers` reads."""

from __future__ import annotations

import base64
import dataclasses
import datetime as dt
import decimal
import enum
import json
import uuid
from typing import Any

__all__ = ["write"]


def write(message: Any) -> bytes:
    """A dataclass as UTF-8 JSON.

    Raises:
        TypeError: a value is of a type that JSON cannot carry.
        ValueError: a number is not finite, or the message holds itself.
        RecursionError: it is nested too deeply.
    """
    return _encode(_fields(message)).encode()


def _fields(message: Any) -> dict[str, Any]:
    return {one.name: getattr(message, one.name) for one in dataclasses.fields(message)}


def _plainer(value: Any) -> Any:
    """The form of a value that JSON does not have."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _fields(value)
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, bytes | bytearray):
        return base64.b64encode(value).decode()
    if isinstance(value, set | frozenset):
        return sorted(value) if all(isinstance(one, str) for one in value) else list(value)
    if isinstance(value, dt.datetime | dt.date | dt.time):
        return value.isoformat()
    if isinstance(value, dt.timedelta):
        return value.total_seconds()
    if isinstance(value, uuid.UUID | decimal.Decimal):
        return str(value)
    raise TypeError(f"JSON cannot carry a {type(value).__name__}")


_encode = json.JSONEncoder(
    ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_plainer
).encode
