"""Plain messages: dataclasses, and models of pydantic and msgspec, as messages of the grid.

They travel as JSON in a protobuf envelope (`grid.Plain`) that names their type, so each program
that knows the envelope can read them, in any language.
"""

from __future__ import annotations

import copy
from typing import Any, TypeGuard, TypeVar

from google.protobuf.message import Message

from grid.errors import InvalidArgument, UnexpectedReply
from grid.plain.adapters import Adapter, adapter_of, is_plain
from grid.plain.protocols import AnyMessage, PlainMessage
from grid.wire_pb2 import Plain

__all__ = [
    "Adapter",
    "AnyMessage",
    "PlainMessage",
    "adapter_of",
    "check_reply",
    "copy_of",
    "described",
    "is_message",
    "is_message_type",
    "is_plain",
    "of_type",
    "type_name",
]

T = TypeVar("T")


def is_message_type(cls: object) -> bool:
    """True for a class of messages, be they of protobuf or plain."""
    return isinstance(cls, type) and (issubclass(cls, Message) or is_plain(cls))


def is_message(value: object) -> TypeGuard[AnyMessage]:
    """True for a message, be it of protobuf or plain."""
    return isinstance(value, Message) or is_plain(type(value))


def type_name(cls: Any) -> str:
    """The name of a class of messages, for errors."""
    return str(cls.DESCRIPTOR.full_name) if issubclass(cls, Message) else str(cls.__name__)


def described(message: Any) -> str:
    """The type of a message, for errors; of an envelope that nothing opened, the type in it."""
    if isinstance(message, Plain):
        return f"{message.type}, which is not registered here"
    return type_name(type(message))


def check_reply(reply: object, argument: str = "reply") -> None:
    """Raise `InvalidArgument` unless it is a class of messages, be they of protobuf or plain."""
    if not is_message_type(reply):
        raise InvalidArgument(argument, reply, "a protobuf message's class, e.g. EchoMsg")


def of_type(wanted: type[T], message: Any) -> T:
    """The message itself, if it is of that type; else raises `UnexpectedReply`."""
    if not isinstance(message, wanted):
        raise UnexpectedReply(type_name(wanted), described(message))
    return message


def copy_of(message: T) -> T:
    """A message of one's own; anything else as it is, for others to refuse."""
    if isinstance(message, Message):
        copied = type(message)()
        copied.CopyFrom(message)
        return copied
    return copy.deepcopy(message) if is_plain(type(message)) else message
