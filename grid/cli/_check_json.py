"""Check of a JSON value against a message type, with errors in the user's words.

protobuf's own parser decides in the end; it is asked after this, because its
texts name neither the path nor what would be right.
"""

from __future__ import annotations

import base64
import difflib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from grid.cli._exits import BadInput

if TYPE_CHECKING:
    from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor

__all__ = ["OWN_FORMS", "check", "is_repeated"]

# Types whose JSON is not that of their fields; the parser knows it.
OWN_FORMS = {
    f"google.protobuf.{name}"
    for name in (
        *("Any", "Duration", "FieldMask", "ListValue", "Struct", "Timestamp", "Value"),
        *("BoolValue", "BytesValue", "DoubleValue", "FloatValue", "Int32Value", "Int64Value"),
        *("StringValue", "UInt32Value", "UInt64Value"),
    )
}


def check(message: Descriptor, value: Any, path: str = "") -> None:
    """Raise `BadInput` if a value cannot be a message of that type."""
    if message.full_name in OWN_FORMS:
        return
    if not isinstance(value, dict):
        raise _wrong(path or message.full_name, _example(message), value)
    fields = {one.name: one for one in message.fields}
    by_json_name = {one.json_name: one for one in message.fields}
    for name, part in value.items():
        field = fields.get(name) or by_json_name.get(name)
        if field is None:
            raise BadInput(_unknown(message, name, path, list(fields)))
        if part is not None:
            _check_field(field, part, f"{path}.{name}" if path else name)


def _check_field(field: FieldDescriptor, value: Any, path: str) -> None:
    entry = field.message_type
    if entry is not None and entry.GetOptions().map_entry:
        if not isinstance(value, dict):
            raise _wrong(path, "an object", value)
        for key, part in value.items():
            _check_one(entry.fields_by_name["value"], part, f"{path}.{key}")
    elif is_repeated(field):
        if not isinstance(value, list):
            raise _wrong(path, "a list", value)
        for i, part in enumerate(value):
            _check_one(field, part, f"{path}[{i}]")
    else:
        _check_one(field, value, path)


def is_repeated(field: FieldDescriptor) -> bool:
    """True for a list or a map."""
    try:
        return bool(field.is_repeated)
    except AttributeError:  # protobuf before 6.31 has labels; 3 is repeated
        return bool(getattr(field, "label", 0) == 3)


def _check_one(field: FieldDescriptor, value: Any, path: str) -> None:
    if field.message_type is not None:
        check(field.message_type, value, path)
    elif field.enum_type is not None:
        _check_enum(field.enum_type, value, path)
    else:
        bytes_wanted = field.type == field.TYPE_BYTES
        expected, fits = _BYTES if bytes_wanted else _SCALARS[field.cpp_type]
        if not fits(value):
            raise _wrong(path, expected, value)


def _check_enum(enum: EnumDescriptor, value: Any, path: str) -> None:
    names = list(enum.values_by_name)
    if not (_is_integer(value) or value in names):
        raise _wrong(path, f"one of {', '.join(names)}", value)


def _is_integer(value: Any) -> bool:
    if isinstance(value, bool):
        return False
    if isinstance(value, str):
        return value.removeprefix("-").isdigit()
    return isinstance(value, int) or (isinstance(value, float) and value.is_integer())


def _is_natural(value: Any) -> bool:
    return _is_integer(value) and not str(value).startswith("-")


def _is_number(value: Any) -> bool:
    if isinstance(value, str):
        try:
            float(value)
        except ValueError:
            return value in ("NaN", "Infinity", "-Infinity")
        return True
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_base64(value: Any) -> bool:
    # The parser skips characters that are not base64, and may so change the meaning.
    if not isinstance(value, str):
        return False
    text = value.rstrip("=").replace("-", "+").replace("_", "/")
    try:
        base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except ValueError:
        return False
    return True


_BYTES = ("a base64 string", _is_base64)
# By FieldDescriptor.CPPTYPE_...
_SCALARS: dict[int, tuple[str, Callable[[Any], bool]]] = {
    1: ("an integer", _is_integer),
    2: ("an integer", _is_integer),
    3: ("an integer of 0 or more", _is_natural),
    4: ("an integer of 0 or more", _is_natural),
    5: ("a number", _is_number),
    6: ("a number", _is_number),
    7: ("true or false", lambda value: isinstance(value, bool)),
    9: ("a string", lambda value: isinstance(value, str)),
}


def _unknown(message: Descriptor, name: str, path: str, fields: list[str]) -> str:
    where = f" at {path!r}" if path else ""
    close = difflib.get_close_matches(name, fields, n=1)
    meant = f"did you mean {close[0]!r}? " if close else ""
    listed = ", ".join(fields) or "none"
    return f"{message.full_name} has no field {name!r}{where}; {meant}its fields: {listed}"


def _example(message: Descriptor) -> str:
    return "an object with " + (", ".join(one.name for one in message.fields) or "no fields")


def _wrong(path: str, expected: str, value: Any) -> BadInput:
    return BadInput(f"{path} must be {expected}, not {value!r}")
