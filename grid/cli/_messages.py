"""Messages from JSON, and JSON from messages."""

from __future__ import annotations

import base64
import difflib
import json
import sys
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from grid.cli._check_json import OWN_FORMS, check, is_repeated
from grid.cli._exits import BadInput

if TYPE_CHECKING:
    from google.protobuf.descriptor import Descriptor
    from google.protobuf.message import Message

__all__ = ["build_message", "known_types", "message_of", "message_type", "to_json"]

# Modules whose messages are not for actors.
_FOREIGN = ("google.", "grid.etcd.", "grpc_health.", "grpc_reflection.")


def message_of(name: str, text: str, *, plain: bool) -> Message:
    """The message of a type's name and a JSON text (`-`: standard input).

    Args:
        name: of a protobuf type, or of a dataclass or model that an imported module registers.
        text: the JSON.
        plain: it is the name of a dataclass or model, which need not be known here.

    Raises:
        BadInput: the type is not known, or the JSON is none of it; the text names the field.
    """
    from grid.codec import default_codec
    from grid.errors import UndecodableMessage
    from grid.wire_pb2 import Plain

    if not plain and default_codec.plain_type(name) is None:
        return build_message(message_type(name), text)
    value = _read(text)
    try:
        data = json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    except RecursionError:
        raise BadInput("the JSON is nested too deeply") from None
    except ValueError as error:  # half of a surrogate pair, or a number that JSON has not
        raise BadInput(f"not a {name}: {error}") from None
    envelope = Plain(type=name, json=data)
    try:
        default_codec.decode(Plain.DESCRIPTOR.full_name, envelope.SerializeToString())
    except UndecodableMessage as error:
        raise BadInput(f"not a {name}: {error.reason}") from None
    return envelope


def message_type(name: str) -> type[Message]:
    """The class for a protobuf full name, a registered wire name, or a short name.

    Raises:
        BadInput: no imported module has it, or several have the short name.
    """
    from google.protobuf.message_factory import GetMessageClass

    from grid.codec import default_codec
    from grid.errors import UnknownMessageType

    try:
        return default_codec.type_of(name)
    except UnknownMessageType:
        pass
    known = {one.full_name: one for one in known_types()}
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

    value = _read(text)
    descriptor: Any = cls.DESCRIPTOR
    try:
        check(descriptor, value)
        return ParseDict(value, cls())
    except RecursionError:
        raise BadInput("the JSON is nested too deeply") from None
    except (ParseError, ValueError, TypeError) as error:
        raise BadInput(f"not a {cls.DESCRIPTOR.full_name}: {error}") from None


def _read(text: str) -> Any:
    if text == "-":
        try:
            text = sys.stdin.read()
        except UnicodeDecodeError as error:
            raise BadInput(f"standard input is not text: {error}") from None
    try:
        return json.loads(text)
    except RecursionError:
        raise BadInput(f"the JSON is nested too deeply: {_excerpt(text)}") from None
    except ValueError as error:
        raise BadInput(f"not JSON: {error}: {_excerpt(text)}") from None


def to_json(message: Any) -> Any:
    """A message as JSON, with the field names of its `.proto` and fields that are zero.

    That of a dataclass or model is the JSON that it travels as. A part that protobuf cannot say
    in JSON (an `Any` of an unknown type, a timestamp out of range) becomes an object with its type
    and its bytes, so that no reply is lost.
    """
    from google.protobuf.json_format import MessageToDict

    from grid.plain import adapter_of, is_plain
    from grid.wire_pb2 import Plain

    cls: Any = type(message)
    if is_plain(cls):
        return json.loads(adapter_of(cls).encode(message))
    if isinstance(message, Plain):
        try:
            return json.loads(message.json)
        except (ValueError, RecursionError):
            pass  # shown as any other message, so that no reply is lost
    try:
        return MessageToDict(
            message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
        )
    except Exception:  # noqa: BLE001 - protobuf raises other types in other versions
        return _part_by_part(message)


def _part_by_part(message: Message) -> dict[str, Any]:
    rest = type(message)()
    rest.CopyFrom(message)
    parts = {}
    for field, value in message.ListFields():
        if field.message_type is not None and not field.is_extension:
            rest.ClearField(field.name)
            parts[field.name] = _parts_of(field, value)
    if not parts or message.DESCRIPTOR.full_name in OWN_FORMS:
        data = base64.b64encode(message.SerializePartialToString()).decode()
        return {"@type": message.DESCRIPTOR.full_name, "@base64": data}
    return {**to_json(rest), **parts}


def _parts_of(field: Any, value: Any) -> Any:
    if field.message_type.GetOptions().map_entry:
        of_messages = field.message_type.fields_by_name["value"].message_type is not None
        return {str(key): to_json(value[key]) if of_messages else value[key] for key in value}
    return [to_json(one) for one in value] if is_repeated(field) else to_json(value)


def known_types() -> Iterator[Descriptor]:
    """The message types of all generated modules that are imported."""
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
