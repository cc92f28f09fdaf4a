"""Plain messages as type checkers see them."""

from __future__ import annotations

from typing import Any, ClassVar, Protocol, TypeAlias, Union

from google.protobuf.message import Message

__all__ = ["AnyMessage", "PlainMessage"]


class _Dataclass(Protocol):
    """An instance of a dataclass."""

    __dataclass_fields__: ClassVar[dict[str, Any]]


class _Model(Protocol):
    """A model of pydantic."""

    def model_dump_json(self) -> str:
        """The model as JSON."""


class _Struct(Protocol):
    """A struct of msgspec."""

    __struct_fields__: ClassVar[tuple[str, ...]]


PlainMessage: TypeAlias = Union[_Dataclass, _Model, _Struct]  # noqa: UP007 - of protocols
AnyMessage: TypeAlias = Union[Message, PlainMessage]  # noqa: UP007
