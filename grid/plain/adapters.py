"""Plain messages to JSON and back, by the kind of their class.

A dataclass is read by the annotations of its fields: a value of another type is refused, a field
that the class does not have is skipped, and one that is missing takes its default, so that a
sender and a receiver may differ by a field. Models of pydantic and structs of msgspec are read
and written by their own libraries, which are not imported here: a class of theirs has done that.
"""

from __future__ import annotations

import dataclasses
import functools
import json
from abc import ABC, abstractmethod
from typing import Any

from grid.plain.readers import reader_of
from grid.plain.writers import write

__all__ = ["Adapter", "adapter_of", "is_plain"]


class Adapter(ABC):
    """The JSON of one class."""

    @abstractmethod
    def encode(self, message: Any) -> bytes:
        """The message as JSON. Raises `ValueError` or `TypeError` for what JSON cannot carry."""

    @abstractmethod
    def decode(self, data: bytes) -> Any:
        """The message in a JSON text.

        Raises:
            Exception: it is none of this class; a class may have checks of its own.
        """


class _DataclassAdapter(Adapter):
    def __init__(self, cls: type) -> None:
        self._read = reader_of(cls)

    def encode(self, message: Any) -> bytes:
        return write(message)

    def decode(self, data: bytes) -> Any:
        return self._read(json.loads(data, parse_constant=_refuse))


class _PydanticAdapter(Adapter):
    def __init__(self, cls: Any) -> None:
        self._validate = cls.model_validate_json

    def encode(self, message: Any) -> bytes:
        text: str = message.model_dump_json()
        return text.encode()

    def decode(self, data: bytes) -> Any:
        return self._validate(data)


class _MsgspecAdapter(Adapter):
    def __init__(self, cls: type) -> None:
        import msgspec

        self._encoder = msgspec.json.Encoder()
        self._decoder: Any = msgspec.json.Decoder(cls)

    def encode(self, message: Any) -> bytes:
        return self._encoder.encode(message)

    def decode(self, data: bytes) -> Any:
        return self._decoder.decode(data)


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")


def is_plain(cls: object) -> bool:
    """True for a dataclass, a model of pydantic and a struct of msgspec."""
    return isinstance(cls, type) and _kind(cls) is not None


@functools.lru_cache(maxsize=4096)
def adapter_of(cls: Any) -> Adapter:
    """The JSON of a class of these kinds.

    Raises:
        NotReadable: a field's annotation says nothing that JSON can carry.
        TypeError: it is no class of these kinds.
    """
    kind = _kind(cls)
    if kind is None:
        raise TypeError(f"{cls.__name__} is no dataclass, pydantic model or msgspec struct")
    adapter: Adapter = kind(cls)
    return adapter


def _kind(cls: Any) -> Any:
    # Before dataclasses: pydantic's own dataclasses have validators.
    if callable(getattr(cls, "model_validate_json", None)) and hasattr(cls, "model_dump_json"):
        return _PydanticAdapter
    if hasattr(cls, "__struct_fields__"):
        return _MsgspecAdapter
    return _DataclassAdapter if dataclasses.is_dataclass(cls) else None
