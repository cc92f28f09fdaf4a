"""Arguments of mutations: dataclasses and mappings, and the parts of them that a log may show.

@dataclass
class Login:
    user: str = loggable()
    password: str = ""

args_for_log(Login("ann", "secret"))     # {"user": "ann"}
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, TypeVar, cast

from machine.core.mutation import values_of
from machine.errors import InvalidArgument, did_you_mean, near_names

__all__ = ["args_for_log", "args_from", "args_match", "args_to_dict", "loggable"]

T = TypeVar("T")
_LOG = "machine.log"
_LONGEST = 100


def loggable(*, how: Callable[[Any], str] = str, **options: Any) -> Any:
    """A field of a dataclass whose value may stand in logs.

    Args:
        how: a function that makes a text of the value.
        options: those of `dataclasses.field`, such as `default`.
    """
    metadata = {**(options.pop("metadata", None) or {}), _LOG: how}
    return dataclasses.field(metadata=metadata, **options)


def args_for_log(args: object, *names: str, longest: int = _LONGEST) -> dict[str, str]:
    """The arguments that a log may show, as short texts.

    Args:
        args: of a mutation: None, a mapping, or an instance of a dataclass.
        names: of arguments that may be shown. Of a dataclass also those
            that are declared with `loggable`; of a mapping no others.
        longest: characters of one text.
    """
    shown: dict[str, Callable[[Any], str]] = {}
    if dataclasses.is_dataclass(args):
        fields = dataclasses.fields(args)
        shown = {field.name: field.metadata[_LOG] for field in fields if _LOG in field.metadata}
    values = values_of(args)
    shown |= {name: str for name in names if name in values and name not in shown}
    return {name: _short(how(values[name]), longest) for name, how in shown.items()}


def _short(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[: max(0, longest - 3)]}..."


def args_to_dict(args: object, *, defaults: bool = True) -> dict[str, Any]:
    """Arguments as a new dict; values are not copied.

    Args:
        args: None, a mapping, or an instance of a dataclass.
        defaults: False leaves out the fields of a dataclass that have their default.

    Raises:
        InvalidArgument: it is something else.
    """
    values = dict(values_of(args))
    if defaults or not dataclasses.is_dataclass(args):
        return values
    plain = {field.name: _default(field) for field in dataclasses.fields(args)}
    return {name: value for name, value in values.items() if not _same(value, plain[name])}


def _default(field: dataclasses.Field[Any]) -> Any:
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return field.default


def _same(value: object, default: object) -> bool:
    return default is not dataclasses.MISSING and bool(value == default)


def args_from(kind: type[T], args: object, *, strict: bool = False) -> T:
    """Arguments as an instance of a dataclass.

    Args:
        kind: the dataclass.
        args: a mapping, or an instance of this or another dataclass.
        strict: names that it has no field for are an error, not left out.

    Raises:
        InvalidArgument: a field without a default is missing, or a name is unknown.
    """
    if not (isinstance(kind, type) and dataclasses.is_dataclass(kind)):
        raise InvalidArgument(f"{kind!r} is no dataclass", argument="kind")
    if type(args) is kind:
        return cast("T", args)
    values = values_of(args)
    fields = [field for field in dataclasses.fields(kind) if field.init]
    names = [field.name for field in fields]
    unknown = [name for name in values if name not in names]
    if strict and unknown:
        near = did_you_mean(near_names(unknown[0], names))
        raise InvalidArgument(f"{kind.__name__} has no {unknown[0]!r}{near}", argument="args")
    for field in fields:
        needed = field.default is field.default_factory is dataclasses.MISSING
        if needed and field.name not in values:
            raise InvalidArgument(f"{kind.__name__} needs {field.name!r}", argument="args")
    return cast("T", kind(**{name: values[name] for name in names if name in values}))


def args_match(args: object, wanted: object) -> bool:
    """True if `args` has everything that `wanted` has, with equal values; as `when_args` asks."""
    given: Mapping[str, Any] = values_of(args)
    return all(name in given and given[name] == value for name, value in values_of(wanted).items())
