"""Message types and their names on the wire.

An envelope says which type its payload is by a name. Here the default name is
the protobuf full name (`shop.Order`). Go peers use the import path and the Go
type name instead (`github.com/acme/shop/Order`), which cannot be derived from
the `.proto`, so a type may be registered under any name and accept several.

A message goes out under its registered name. A reply goes out under the style
that its request came in: of the reply type's names, the one that shares the
longest path with the request's name; then one of the same style (with or
without a slash); then the registered one. So a Go peer is answered in Go names
and a peer of an older import path in that path.

Types that were not registered are known by their full name as soon as their
generated module is imported, in the sender and in the receiver. Protobuf's
well-known types (`Struct`, `Int64Value`, ...) are always known.

Source of the Go names: reference facts of lytics/grid v3 (import-path naming,
the `vendor` alias, the path without `/v3` up to v3.1.0).
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module
from typing import TypeVar

from google.protobuf import descriptor_pool, message_factory
from google.protobuf.message import DecodeError, EncodeError, Message

from grid import wire_pb2
from grid.errors import (
    InvalidArgument,
    MessageTooLarge,
    UndecodableMessage,
    UnknownMessageType,
    UnsupportedMessage,
)

__all__ = ["Codec", "default_codec", "register"]

M = TypeVar("M", bound=Message)

_GO = "github.com/lytics/grid/v3/"
_GO_BEFORE_V3_1_1 = "github.com/lytics/grid/"
_GO_VENDOR = "github.com/lytics/lio/vendor/"
_WELL_KNOWN = "google.protobuf."
_WELL_KNOWN_MODULES = (
    "any_pb2",
    "duration_pb2",
    "empty_pb2",
    "field_mask_pb2",
    "struct_pb2",
    "timestamp_pb2",
    "wrappers_pb2",
)


class Codec:
    """Names of message types, both ways. Encoding checks the size limit."""

    def __init__(self) -> None:
        self._names: dict[type[Message], tuple[str, ...]] = {}  # the registered name first
        self._types: dict[str, type[Message]] = {}
        self._chosen: dict[tuple[type[Message], str], str] = {}  # by type and request's name
        for cls in (wire_pb2.ActorStart, wire_pb2.Ack):
            name = cls.DESCRIPTOR.name
            self.register(cls, name=_GO + name, accept=[_GO_BEFORE_V3_1_1 + name])
        # The grid's own messages are not in the default pool, where `type_of` looks.
        for own in (wire_pb2.ActorStop, wire_pb2.ActorReportsQuery, wire_pb2.ActorReports):
            self.register(own)
        # Go programs register it themselves, so it goes out under its full name unless asked
        # under the Go one.
        name = wire_pb2.EchoMsg.DESCRIPTOR.name
        self.register(wire_pb2.EchoMsg, accept=[_GO + name, _GO_BEFORE_V3_1_1 + name])

    def register(
        self, message: type[M], *, name: str | None = None, accept: Iterable[str] = ()
    ) -> type[M]:
        """Make a message class known. Usable as a decorator call; returns the class.

        Args:
            message: a generated protobuf message class.
            name: the name it is sent under; by default the protobuf full name.
            accept: further names to understand when receiving. The full name is
                always understood.

        Raises:
            UnsupportedMessage: it is not a protobuf message class.
            InvalidArgument: a name is not a string.
            ValueError: one of the names already means another class.
        """
        full_name = _full_name(message)
        given = [name or full_name, full_name, *_listed(accept)]
        for one in given:
            if not isinstance(one, str):
                raise InvalidArgument("name of a message type", one, "a string")
        names = tuple(dict.fromkeys(given))
        for one in names:
            known = self._types.get(one)
            if known is not None and known.DESCRIPTOR.full_name != full_name:
                raise ValueError(f"{one!r} is registered for {known.DESCRIPTOR.full_name}")
        for one in names:
            self._types[one] = message
        self._names[message] = names
        self._chosen.clear()
        return message

    def name_of(self, message: type[Message], *, like: str = "") -> str:
        """The name a message goes out under; `like` is the name of the request it answers."""
        chosen = self._chosen.get((message, like))
        if chosen is None:
            if message not in self._names:
                self.register(message)
            names = self._names[message]
            chosen = max(names, key=lambda one: _likeness(one, like)) if like else names[0]
            self._chosen[message, like] = chosen
        return chosen

    def type_of(self, name: str) -> type[Message]:
        """The class that a name on the wire means.

        Raises:
            UnknownMessageType: it is not registered, and no imported module has it.
        """
        known = self._types.get(name) or self._types.get(name.removeprefix(_GO_VENDOR))
        if known is not None:
            return known
        if name.startswith(_WELL_KNOWN):
            for module in _WELL_KNOWN_MODULES:
                import_module(_WELL_KNOWN + module)
        try:
            descriptor = descriptor_pool.Default().FindMessageTypeByName(name)
        except KeyError:
            raise UnknownMessageType(name) from None
        return self.register(message_factory.GetMessageClass(descriptor))

    def encode(self, message: Message, *, limit: int, like: str = "") -> tuple[str, bytes]:
        """The name and the bytes of a message.

        Args:
            message: what to send.
            limit: bytes allowed.
            like: for a reply, the name its request came under.

        Raises:
            UnsupportedMessage: not a protobuf message, or a required field is missing.
            MessageTooLarge: over the limit.
        """
        name = self._chosen.get((type(message), like)) or self._first_name(message, like)
        try:
            data = message.SerializeToString()
        except (EncodeError, ValueError) as error:
            raise UnsupportedMessage(name, str(error)) from error
        if len(data) > limit:
            raise MessageTooLarge(len(data), limit)
        return name, data

    def _first_name(self, message: Message, like: str) -> str:
        if not isinstance(message, Message):
            raise UnsupportedMessage(type(message).__name__)
        return self.name_of(type(message), like=like)

    def decode(self, name: str, data: bytes) -> Message:
        """The message in an envelope.

        Raises:
            UnknownMessageType: the name means nothing here.
            UndecodableMessage: the bytes are not an encoding of that type.
        """
        cls = self._types.get(name) or self.type_of(name)
        try:
            return cls.FromString(data)
        except DecodeError:
            raise UndecodableMessage(name) from None


def _full_name(message: type[Message]) -> str:
    if not (isinstance(message, type) and issubclass(message, Message)):
        raise UnsupportedMessage(getattr(message, "__name__", repr(message)))
    return str(message.DESCRIPTOR.full_name)


def _listed(names: Iterable[str]) -> Iterable[str]:
    if isinstance(names, str | bytes) or not isinstance(names, Iterable):
        raise InvalidArgument("accept", names, "a list of strings")
    return names


def _likeness(name: str, request: str) -> tuple[bool, bool]:
    path, asked_path = name.rpartition("/")[0], request.removeprefix(_GO_VENDOR).rpartition("/")[0]
    return path == asked_path, bool(path) == bool(asked_path)


default_codec = Codec()
register = default_codec.register
