"""Messages from JSON, and JSON from messages."""

from __future__ import annotations

import difflib
import json
import sys
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from grid.cli._exits import BadInput

if TYPE_CHECKING:
    from google.protobuf.descriptor import Descriptor
    from google.protobuf.message import Message

__all__ = ["build_message", "message_type", "to_json"]

# Modules whose messages nobody sends to an actor.
_FOREIGN = ("google.", "grid.etcd.", "grpc_health.", "grpc_reflection.")


def message_type(name: str) -> type[Message]:
    """The class for a protobuf full name, a registered wire name, or a short name.

    Raises:
        BadInput: nothing imported has it, or several have the short name.
    """
    from google.protobuf.message_factory import GetMessageClass

    from grid.codec import default_codec
    from grid.errors import UnknownMessageType

    try:
        return default_codec.type_of(name)
    except UnknownMessageType:
        pass
    known = {one.full_name: one for one in _known_types()}
    fitting = [full for full in known if full.endswith(f".{name}")]
    if len(fitting) == 1:
        return GetMessageClass(known[fitting[0]])
    if fitting:
        raise BadInput(f"several types are called {name!r}: {', '.join(sorted(fitting))}")
    raise BadInput(f"no type {name!r}{_suggestion(name, known)}")


def build_message(cls: type[Message], text: str) -> Message:
    """The message that a JSON text describes (`-`: standard input).

    Raises:
        BadInput: not JSON, or not of that type; the text names the field.
    """
    from google.protobuf.json_format import ParseDict, ParseError

    from grid.cli._check_json import check

    if text == "-":
        text = sys.stdin.read()
    try:
        value = json.loads(text)
    except ValueError as error:
        raise BadInput(f"not JSON: {error}: {_excerpt(text)}") from None
    descriptor: Any = cls.DESCRIPTOR
    check(descriptor, value)
    try:
        return ParseDict(value, cls())
    except ParseError as error:
        raise BadInput(f"not a {cls.DESCRIPTOR.full_name}: {error}") from None


def to_json(message: Message) -> dict[str, Any]:
    """A message as JSON, with the field names of its `.proto` and fields that are zero."""
    from google.protobuf.json_format import MessageToDict

    return MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )


def _known_types() -> Iterator[Descriptor]:
    from google.protobuf.descriptor import FileDescriptor

    for name, module in tuple(sys.modules.items()):
        file = getattr(module, "DESCRIPTOR", None)
        if isinstance(file, FileDescriptor) and not name.startswith(_FOREIGN):
            yield from _with_nested(file.message_types_by_name.values())


def _with_nested(types: Iterable[Descriptor]) -> Iterator[Descriptor]:
    for one in types:
        if not one.GetOptions().map_entry:
            yield one
            yield from _with_nested(one.nested_types)


def _suggestion(name: str, known: Iterable[str]) -> str:
    short_names = {full.rpartition(".")[2].lower(): full for full in known}
    close = difflib.get_close_matches(name.rpartition(".")[2].lower(), short_names, n=3)
    if close:
        return f"; did you mean {' or '.join(short_names[one] for one in close)}?"
    return "; name the module it is in with --proto-module or --app"


def _excerpt(text: str) -> str:
    return repr(text if len(text) <= 60 else f"{text[:57]}...")
