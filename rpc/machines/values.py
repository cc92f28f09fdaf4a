"""Arguments, results and payloads as messages: plain data and protobuf messages, nothing else.

Neither pickles nor evaluates anything, so what comes from another process can
at worst be wrong data. Tuples arrive as lists, dataclass instances as mappings.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from google.protobuf.message import Message

from grid.codec import Codec, default_codec
from grid.errors import GridError
from rpc.machine_pb2 import Packed, Scalar, Values
from rpc.machines.errors import NotPlainData

__all__ = ["from_scalar", "from_values", "to_scalar", "to_values"]

# Messages within messages, of the 100 that a receiver reads; the rest is for those around a value.
_DEEPEST = 90
_LIST, _MAPPING = 2, 3  # of them for each level: a mapping has entries
_LARGEST = 1 << 30  # bytes of one protobuf message inside a value; the session's limit is smaller
_LONGEST_INTEGER = 4096  # digits
_MOST_BITS = int(_LONGEST_INTEGER / math.log10(2)) - 4  # and no digit more, with the sign


def to_values(args: Mapping[str, Any], codec: Codec = default_codec) -> Values:
    """Arguments by name as a message.

    Raises:
        NotPlainData: a key is no text, or a value cannot be sent; the text says where.
    """
    values = Values()
    _fill_values(values, args, codec, "", 0)
    return values


def from_values(values: Values, codec: Codec = default_codec) -> dict[str, Any]:
    """The arguments in a message.

    Raises:
        NotPlainData: a protobuf message in it is of a type that is not known here.
    """
    return {key: from_scalar(one, codec) for key, one in values.fields.items()}


def to_scalar(value: Any, codec: Codec = default_codec) -> Scalar:
    """One value as a message. Raises as `to_values` does."""
    scalar = Scalar()
    _fill(scalar, value, codec, "the value", 0)
    return scalar


def from_scalar(scalar: Scalar, codec: Codec = default_codec) -> Any:
    """The value in a message. Raises as `from_values` does."""
    kind = scalar.WhichOneof("kind")
    match kind:
        case None | "nothing":
            return None
        case "list":
            return [from_scalar(one, codec) for one in scalar.list.items]
        case "values":
            return from_values(scalar.values, codec)
        case "message":
            return _unpacked(scalar.message, codec)
        case "large":
            return _integer(scalar.large)
        case _:
            return getattr(scalar, kind)


def _fill(scalar: Scalar, value: Any, codec: Codec, where: str, depth: int) -> None:
    if depth > _DEEPEST:
        limit = f"{_DEEPEST // _MAPPING} mappings or {_DEEPEST // _LIST} lists"
        raise NotPlainData(f"{where} is nested deeper than {limit}, or contains itself")
    match value:
        case None:
            scalar.nothing = True
        case bool():
            scalar.flag = value
        case int():
            _fill_integer(scalar, value, where)
        case float():
            scalar.real = value
        case str():
            _fill_text(scalar, value, where)
        case bytes() | bytearray() | memoryview():
            scalar.data = bytes(value)
        case Message():
            _fill_message(scalar.message, value, codec, where)
        case _:
            _fill_nested(scalar, value, codec, where, depth)


def _fill_nested(scalar: Scalar, value: Any, codec: Codec, where: str, depth: int) -> None:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = {one.name: getattr(value, one.name) for one in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        scalar.values.SetInParent()
        _fill_values(scalar.values, value, codec, where, depth + _MAPPING)
    elif isinstance(value, list | tuple | set | frozenset):
        scalar.list.SetInParent()
        for at, one in enumerate(value):
            _fill(scalar.list.items.add(), one, codec, f"{where}[{at}]", depth + _LIST)
    else:
        raise NotPlainData(
            f"{where} is of type {type(value).__name__}, which cannot be sent",
            hint="Send plain data, a dataclass of plain data, or a protobuf message.",
        )


def _fill_values(
    values: Values, given: Mapping[str, Any], codec: Codec, where: str, depth: int
) -> None:
    for key, one in given.items():
        if not isinstance(key, str):
            raise NotPlainData(f"the key {key!r} of {where or 'args'} is not a text")
        try:
            field = values.fields[key]
        except UnicodeEncodeError:
            raise NotPlainData(
                f"the key {key!r} of {where or 'args'} is a text that UTF-8 cannot encode"
            ) from None
        _fill(field, one, codec, f"{where}.{key}" if where else key, depth)


def _fill_integer(scalar: Scalar, value: int, where: str) -> None:
    if -(1 << 63) <= value < 1 << 63:
        scalar.integer = value
    elif value.bit_length() > _MOST_BITS:
        raise NotPlainData(f"{where} is an integer of more than {_LONGEST_INTEGER} digits")
    else:
        scalar.large = str(value)


def _fill_text(scalar: Scalar, value: str, where: str) -> None:
    try:
        scalar.text = value
    except UnicodeEncodeError as error:
        raise NotPlainData(f"{where} is a text that UTF-8 cannot encode: {error}") from None


def _fill_message(packed: Packed, value: Message, codec: Codec, where: str) -> None:
    try:
        packed.type_name, packed.data = codec.encode(value, limit=_LARGEST)
    except GridError as error:
        raise NotPlainData(f"{where}: {error}") from error


def _unpacked(packed: Packed, codec: Codec) -> Message:
    try:
        return codec.decode(packed.type_name, packed.data)
    except GridError as error:
        raise NotPlainData(str(error)) from error


def _integer(digits: str) -> int:
    if len(digits) > _LONGEST_INTEGER:
        raise NotPlainData(f"an integer of {len(digits)} digits; at most {_LONGEST_INTEGER}")
    try:
        return int(digits)
    except ValueError:
        raise NotPlainData(f"{digits[:40]!r} is not an integer") from None
