"""Readers of JSON values, made of the annotations of a dataclass.

A reader takes a value of `json.loads` and returns the value of the annotated type, or raises
`ValueError` with the place and the reason. Readers are made once for each class.
"""

from __future__ import annotations

import base64
import dataclasses
import datetime as dt
import decimal
import enum
import math
import types
import typing
import uuid
from collections.abc import Callable, Mapping, MutableMapping, MutableSequence, Sequence
from typing import Any

__all__ = ["NotReadable", "reader_of"]

Reader = Callable[[Any], Any]


class NotReadable(TypeError):
    """The annotation of a field says nothing that JSON can carry."""


def reader_of(annotation: Any) -> Reader:
    """The reader of a type.

    Raises:
        NotReadable: there is none; the text names the field.
    """
    return _Readers().of(annotation)


class _Readers:
    """Readers under way: a dataclass may hold itself."""

    def __init__(self) -> None:
        self._classes: dict[type, Reader] = {}

    def of(self, annotation: Any) -> Reader:
        if annotation is Any or annotation is object:
            return lambda value: value
        if isinstance(annotation, type) and dataclasses.is_dataclass(annotation):
            return self._dataclass(annotation)
        origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
        if origin is typing.Annotated:
            return self.of(arguments[0])
        if isinstance(annotation, typing.NewType):
            return self.of(annotation.__supertype__)
        if origin in (typing.Union, types.UnionType):
            return self._union(arguments)
        if origin is typing.Literal:
            return _literal(arguments)
        if origin is not None or annotation in _CONTAINERS:
            return self._container(annotation if origin is None else origin, arguments)
        if isinstance(annotation, type) and issubclass(annotation, enum.Enum):
            return _converted(annotation, annotation)
        simple = _SIMPLE.get(annotation)
        if simple is None:
            raise NotReadable(f"{annotation!r} is nothing that JSON can carry")
        return simple

    def _dataclass(self, cls: type) -> Reader:
        known = self._classes.get(cls)
        if known is None:
            # It is found while its own fields are looked at.
            known = self._classes[cls] = _DataclassReader(cls)
            known.prepare(self)
        return known

    def _union(self, members: tuple[Any, ...]) -> Reader:
        readers = [self.of(one) for one in members if one is not type(None)]
        may_be_none = len(readers) < len(members)

        def read(value: Any) -> Any:
            if value is None and may_be_none:
                return None
            errors = []
            for reader in readers:
                try:
                    return reader(value)
                except (ValueError, TypeError) as error:
                    errors.append(str(error))
            raise ValueError("; ".join(errors))

        return read

    def _container(self, kind: Any, arguments: tuple[Any, ...]) -> Reader:
        if kind in (dict, Mapping, MutableMapping):
            keys, values = arguments or (str, Any)
            return _mapping(_key_reader(keys), self.of(values))
        if kind is tuple and arguments and arguments[-1] is not Ellipsis:
            return _fixed_tuple([self.of(one) for one in arguments])
        make = _CONTAINERS.get(kind)
        if make is None:
            raise NotReadable(f"{kind!r} is nothing that JSON can carry")
        return _items(make, self.of(arguments[0] if arguments else Any))


class _DataclassReader:
    """Reads the objects of one dataclass."""

    def __init__(self, cls: type) -> None:
        self._class = cls
        self._fields: list[tuple[str, Reader, bool]] = []  # name, reader, whether it is needed

    def prepare(self, readers: _Readers) -> None:
        """Make the readers of the fields."""
        cls = self._class
        try:
            hints = typing.get_type_hints(cls, include_extras=True)
        except (NameError, TypeError, AttributeError, SyntaxError) as error:
            raise NotReadable(f"an annotation of {cls.__name__} cannot be read: {error}") from error
        for one in dataclasses.fields(cls):
            try:
                reader = readers.of(hints[one.name])
            except NotReadable as error:
                raise NotReadable(f"{cls.__name__}.{one.name}: {error}") from None
            missing = dataclasses.MISSING
            needed = one.default is missing and one.default_factory is missing
            if one.init:
                self._fields.append((one.name, reader, needed))

    def __call__(self, value: Any) -> Any:
        if not isinstance(value, dict):
            raise ValueError(f"{self._class.__name__} is an object, not {_shown(value)}")
        given = {}
        for name, read, needed in self._fields:
            if name in value:
                try:
                    given[name] = read(value[name])
                except ValueError as error:
                    raise ValueError(f"{name}: {error}") from None
            elif needed:
                raise ValueError(f"{self._class.__name__} lacks {name}")
        return self._class(**given)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:40]}..."


def _typed(name: str, *kinds: type) -> Reader:
    def read(value: Any) -> Any:
        # A bool is an int to Python, and no number to a reader.
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            raise ValueError(f"{_shown(value)} is no {name}")
        return value

    return read


def _float(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{_shown(value)} is no number")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if math.isinf(number):  # as 1e999 is read
        raise ValueError(f"{_shown(value)} is too large a number")
    return number


def _converted(make: Callable[[Any], Any], kind: Any, *, of: type = object) -> Reader:
    def read(value: Any) -> Any:
        if isinstance(value, of):
            try:
                return make(value)
            except (ValueError, ArithmeticError):
                pass
        raise ValueError(f"{_shown(value)} is no {kind.__name__}")

    return read


def _bytes(value: str) -> bytes:
    return base64.b64decode(value, validate=True)


def _literal(members: tuple[Any, ...]) -> Reader:
    def read(value: Any) -> Any:
        for one in members:
            if type(one) is type(value) and one == value:
                return one
        raise ValueError(f"{_shown(value)} is none of {', '.join(map(repr, members))}")

    return read


def _items(make: Callable[[Any], Any], item: Reader) -> Reader:
    def read(value: Any) -> Any:
        if not isinstance(value, list):
            raise ValueError(f"{_shown(value)} is no list")
        return make([item(one) for one in value])

    return read


def _fixed_tuple(readers: list[Reader]) -> Reader:
    def read(value: Any) -> Any:
        if not isinstance(value, list) or len(value) != len(readers):
            raise ValueError(f"{_shown(value)} is no list of {len(readers)}")
        return tuple(reader(one) for reader, one in zip(readers, value, strict=True))

    return read


def _key_reader(annotation: Any) -> Reader:
    if annotation in (str, Any):
        return lambda key: key
    if annotation is int:
        return _converted(int, int)
    raise NotReadable(f"keys of JSON are strings, or numbers in them, not {annotation!r}")


def _mapping(key: Reader, item: Reader) -> Reader:
    def read(value: Any) -> Any:
        if not isinstance(value, dict):
            raise ValueError(f"{_shown(value)} is no object")
        return {key(name): item(one) for name, one in value.items()}

    return read


_CONTAINERS: dict[Any, Callable[[Any], Any]] = {
    list: list,
    Sequence: list,
    MutableSequence: list,
    tuple: tuple,
    set: set,
    frozenset: frozenset,
    dict: dict,
}
_SIMPLE: dict[Any, Reader] = {
    str: _typed("string", str),
    int: _typed("whole number", int),
    bool: _typed("truth value", bool),
    float: _float,
    type(None): _typed("null", type(None)),
    bytes: _converted(_bytes, bytes, of=str),
    dt.datetime: _converted(dt.datetime.fromisoformat, dt.datetime, of=str),
    dt.date: _converted(dt.date.fromisoformat, dt.date, of=str),
    dt.time: _converted(dt.time.fromisoformat, dt.time, of=str),
    dt.timedelta: _converted(lambda seconds: dt.timedelta(seconds=_float(seconds)), dt.timedelta),
    uuid.UUID: _converted(uuid.UUID, uuid.UUID, of=str),
    decimal.Decimal: _converted(decimal.Decimal, decimal.Decimal, of=str),
}
