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

Plain classes, which have no `.proto`, are registered and travel as JSON in a message that
names their type (`grid.Plain`).

Source of the Go names: reference facts of lytics/grid v3 (import-path naming,
the `vendor` alias, the path without `/v3` up to v3.1.0).
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module
from typing import Any, TypeVar

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
from grid.errors.classification import text_of
from grid.plain import AnyMessage, adapter_of, is_plain

__all__ = ["Codec", "default_codec", "register"]

T = TypeVar("T")

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


_LONGEST_REASON = 300  # characters of a model's own error


class Codec:
    """Names of message types, both ways. Encoding checks the size limit."""

    def __init__(self) -> None:
        self._names: dict[type[Message], tuple[str, ...]] = {}  # the registered name first
        self._types: dict[str, type[Message]] = {}
        self._chosen: dict[tuple[type, str], str] = {}  # by type and request's name
        self._plain_names: dict[type, str] = {}  # of dataclasses and models
        self._plain_types: dict[str, type] = {}
        for cls in (wire_pb2.ActorStart, wire_pb2.Ack):
            name = cls.DESCRIPTOR.name
            self.register(cls, name=_GO + name, accept=[_GO_BEFORE_V3_1_1 + name])
        # The grid's own messages are not in the default pool, where `type_of` looks.
        for own in (
            wire_pb2.ActorStop,
            wire_pb2.ActorMove,
            wire_pb2.ActorReportsQuery,
            wire_pb2.ActorReports,
            wire_pb2.PeerDrain,
        ):
            self.register(own)
        # Go programs register them themselves, so they go out under their full names unless
        # asked under the Go ones.
        for foreign in (wire_pb2.EchoMsg, wire_pb2.Plain):
            name = foreign.DESCRIPTOR.name
            self.register(foreign, accept=[_GO + name, _GO_BEFORE_V3_1_1 + name])

    def register(
        self, message: type[T], *, name: str | None = None, accept: Iterable[str] = ()
    ) -> type[T]:
        """Make a message class known. Usable as a decorator call; returns the class.

        Args:
            message: a generated protobuf message class; or a plain one: a dataclass, or a model
                of pydantic or msgspec.
            name: the name it is sent under; by default the protobuf full name, of a plain class
                its own name.
            accept: further names to understand when receiving. The full name is
                always understood.

        Raises:
            UnsupportedMessage: it is no such class, or has a field that JSON cannot carry.
            InvalidArgument: a name is no printable text.
            ValueError: one of the names already means another class.
        """
        if is_plain(message):
            self._register_plain(message, name or message.__name__, accept)
        else:
            self._register_protobuf(message, name, accept)
        return message

    def learn(self, message: type) -> None:
        """Register a plain class under its own name, unless it is known by some name.

        Raises:
            UnsupportedMessage, ValueError: see `register`.
        """
        if is_plain(message) and message not in self._plain_names:
            self._register_plain(message, message.__name__, ())

    def _register_plain(self, message: type, name: str, accept: Iterable[str]) -> None:
        try:
            adapter_of(message)
        except TypeError as error:
            raise UnsupportedMessage(message.__name__, str(error)) from error
        names = (name, *_listed(accept))
        _check_names(names)
        for one in names:
            known = self._plain_types.get(one)
            if known is not None and not _is_again(known, message):
                raise ValueError(
                    f"{one!r} is registered for {known.__module__}.{known.__qualname__}: "
                    "give one of them another name, as in grid.register(Order, name='shop.Order')"
                )
        for one in names:
            self._plain_types[one] = message
        self._plain_names[message] = name

    def _register_protobuf(self, message: Any, name: str | None, accept: Iterable[str]) -> None:
        full_name = _full_name(message)
        given = [name or full_name, full_name, *_listed(accept)]
        _check_names(given)
        names = tuple(dict.fromkeys(given))
        for one in names:
            known = self._types.get(one)
            if known is not None and known.DESCRIPTOR.full_name != full_name:
                raise ValueError(f"{one!r} is registered for {known.DESCRIPTOR.full_name}")
        for one in names:
            self._types[one] = message
        self._names[message] = names
        self._chosen.clear()

    def plain_type(self, name: str) -> type | None:
        """The plain class that is registered under a name, or None."""
        return self._plain_types.get(name)

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

    def encode(self, message: AnyMessage, *, limit: int, like: str = "") -> tuple[str, bytes]:
        """The name and the bytes of a message.

        Args:
            message: what to send.
            limit: bytes allowed.
            like: for a reply, the name its request came under.

        Raises:
            UnsupportedMessage: not a protobuf message, or a required field is missing.
            MessageTooLarge: over the limit.
        """
        name = self._chosen.get((type(message), like))
        if not isinstance(message, Message):
            return self._encode_plain(message, limit)
        if name is None:
            name = self.name_of(type(message), like=like)
        try:
            data = message.SerializeToString()
        except (EncodeError, ValueError) as error:
            raise UnsupportedMessage(name, str(error)) from error
        if len(data) > limit:
            raise MessageTooLarge(len(data), limit)
        return name, data

    def _encode_plain(self, message: object, limit: int) -> tuple[str, bytes]:
        cls: Any = type(message)
        name = self._plain_names.get(cls)
        if name is None:
            reason = f"register it: grid.register({cls.__name__})" if is_plain(cls) else ""
            raise UnsupportedMessage(cls.__name__, reason)
        try:
            envelope = wire_pb2.Plain(type=name, json=adapter_of(cls).encode(message))
        except Exception as error:  # a model may have code of its own
            raise UnsupportedMessage(name, text_of(error)) from error
        return self.encode(envelope, limit=limit)

    def decode(self, name: str, data: bytes) -> Message:
        """The message in an envelope; a plain one of a type that is not known is a `Plain`.

        Raises:
            UnknownMessageType: the name means nothing here.
            UndecodableMessage: the bytes are not an encoding of that type.
        """
        cls = self._types.get(name) or self.type_of(name)
        try:
            message: Message = cls.FromString(data)
        except DecodeError:
            raise UndecodableMessage(name) from None
        return self._open(message) if cls is wire_pb2.Plain else message

    def _open(self, envelope: Any) -> Any:
        cls = self._plain_types.get(envelope.type)
        if cls is None:
            return envelope
        try:
            return adapter_of(cls).decode(envelope.json)
        except Exception as error:  # noqa: BLE001 - a model may have checks of its own
            raise UndecodableMessage(envelope.type, text_of(error)[:_LONGEST_REASON]) from None


def _is_again(known: type, message: type) -> bool:
    # The module may be loaded again, in a notebook or as `__main__` of another process.
    return known is message or (known.__module__, known.__qualname__) == (
        message.__module__,
        message.__qualname__,
    )


def _full_name(message: type[Message]) -> str:
    if not (isinstance(message, type) and issubclass(message, Message)):
        raise UnsupportedMessage(getattr(message, "__name__", repr(message)))
    return str(message.DESCRIPTOR.full_name)


def _listed(names: Iterable[str]) -> Iterable[str]:
    if isinstance(names, str | bytes) or not isinstance(names, Iterable):
        raise InvalidArgument("accept", names, "a list of strings")
    return names


def _check_names(names: Iterable[object]) -> None:
    for one in names:
        # What UTF-8 cannot encode would end the sessions that it is to be sent over.
        if not isinstance(one, str) or not one.isprintable() or not one:
            raise InvalidArgument("the name of a message type", one, "printable text")


def _likeness(name: str, request: str) -> tuple[bool, bool]:
    path, asked_path = name.rpartition("/")[0], request.removeprefix(_GO_VENDOR).rpartition("/")[0]
    return path == asked_path, bool(path) == bool(asked_path)


default_codec: Codec = Codec()


def register(message: type[T], *, name: str | None = None, accept: Iterable[str] = ()) -> type[T]:
    """Make a message class known to all of this process; see `Codec.register`."""
    return default_codec.register(message, name=name, accept=accept)
