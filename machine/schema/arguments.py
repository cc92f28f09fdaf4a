"""Arguments of mutations: their values by name, and checks against the class that a state declares.

Theory of operation
-------------------

A state declares its arguments by a class: a dataclass, a TypedDict, a NamedTuple,
or a class of attrs, pydantic or msgspec. None of these libraries is imported here:
a class is known by the attributes that its library leaves on it.

Arguments come as an instance of the class or as a mapping. A mapping is checked
(its names, and its values where their types are plain classes) and completed: by
the declared defaults, or, where the class computes or converts something, by an
instance that is made of it. What the caller gave is never changed.
"""

from __future__ import annotations

import dataclasses
import inspect
import types
import typing
from collections.abc import Callable, Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Any, ClassVar, Protocol, TypeAlias

from machine.errors import InvalidArgument, describe_kind, did_you_mean, near_names

__all__ = [
    "NO_ARGS",
    "RESERVED",
    "Args",
    "check_arguments",
    "check_class",
    "check_names",
    "needs_args",
    "requires_args",
    "values_of",
]


class DataclassInstance(Protocol):
    __dataclass_fields__: ClassVar[dict[str, Any]]


class NamedTupleInstance(Protocol):
    def _asdict(self) -> dict[str, Any]: ...


class AttrsInstance(Protocol):
    __attrs_attrs__: ClassVar[Any]


class PydanticModel(Protocol):
    __pydantic_fields__: ClassVar[dict[str, Any]]


class MsgspecStruct(Protocol):
    __struct_fields__: ClassVar[tuple[str, ...]]


Args: TypeAlias = (
    Mapping[str, Any]
    | DataclassInstance
    | NamedTupleInstance
    | AttrsInstance
    | PydanticModel
    | MsgspecStruct
    | None
)
"""Arguments by name, or an instance of a class of arguments."""

NO_ARGS: Mapping[str, Any] = MappingProxyType({})
# Handlers get something else by these names, so an argument of this name could never reach one.
RESERVED = frozenset({"args", "ctx", "event", "machine", "mutation", "self", "transition"})

_MISSING = inspect.Parameter.empty


# -- values ------------------------------------------------------------------------------


def values_of(args: object) -> Mapping[str, Any]:
    """Arguments by name.

    Args:
        args: None, a mapping with names as keys, or an instance of a dataclass,
            a NamedTuple, or a class of attrs, pydantic or msgspec.

    Raises:
        InvalidArgument: it is something else.
    """
    if args is None:
        return NO_ARGS
    if isinstance(args, Mapping):
        return args
    names = None if isinstance(args, type) else _names(type(args))
    if names is None:
        raise InvalidArgument(
            f"args must be a mapping or an instance of a dataclass, not {describe_kind(args)}",
            argument="args",
            hint='Like args={"name": value}.',
        )
    return _attributes(args, names)


def _attributes(args: object, names: tuple[str, ...]) -> dict[str, Any]:
    # A field may have no value yet, and an InitVar has only its default.
    return {name: getattr(args, name) for name in names if hasattr(args, name)}


def _names(kind: type) -> tuple[str, ...] | None:
    """The fields of a class; None if it is no class for arguments."""
    if dataclasses.is_dataclass(kind):
        return tuple(field.name for field in dataclasses.fields(kind))
    if typing.is_typeddict(kind):
        return tuple(kind.__annotations__)
    if issubclass(kind, tuple) and hasattr(kind, "_fields"):
        return tuple(kind._fields)
    if hasattr(kind, "__attrs_attrs__"):
        return tuple(one.name for one in kind.__attrs_attrs__)
    for fields in ("__pydantic_fields__", "__struct_fields__", "__fields__"):
        if hasattr(kind, fields):
            return tuple(getattr(kind, fields))
    return None


# -- names -------------------------------------------------------------------------------


def check_names(values: Mapping[str, Any], machine: str) -> None:
    """Refuse arguments that handlers could never get.

    Raises:
        InvalidArgument: one has a name by which handlers get something else.
    """
    if not RESERVED.isdisjoint(values):
        name = min(RESERVED.intersection(values))
        raise InvalidArgument(
            f"an argument cannot be called {name!r}: handlers get something else by this name",
            argument="args",
            machine=machine,
            hint=f"Rename it; taken are {', '.join(sorted(RESERVED))}.",
        )


def check_class(kind: type) -> None:
    """Refuse a class of arguments with a field that handlers could never get.

    Raises:
        InvalidArgument: a field has a name by which handlers get something else.
    """
    taken = RESERVED.intersection(_names(kind) or ())
    if taken:
        raise InvalidArgument(
            f"{kind.__name__} has the field {min(taken)!r}, and handlers get something else by "
            "this name",
            argument="args",
            hint=f"Rename it; taken are {', '.join(sorted(RESERVED))}.",
        )


# -- classes -----------------------------------------------------------------------------


def check_arguments(
    args: object, values: Mapping[str, Any], wanted: type, state: str, machine: str
) -> Mapping[str, Any]:
    """Compare arguments with the class that a state declares.

    Args:
        args: as they were given.
        values: the same by name.

    Returns:
        The values, with declared defaults and with those that the class computes.

    Raises:
        InvalidArgument: a name is missing or unknown, a value has a wrong type,
            or the class refuses the arguments.
    """
    if not typing.is_typeddict(wanted) and isinstance(args, wanted):
        return values
    if args is not None and not isinstance(args, Mapping):
        text = f"{state} takes {wanted.__name__}, not {type(args).__name__}"
        raise _wrong(text, state, machine)
    fields = _fields(wanted)
    unknown = [name for name in values if name not in fields.classes]
    if unknown:
        near = did_you_mean(near_names(unknown[0], fields.classes))
        raise _wrong(f"{state} has no argument {unknown[0]!r}{near}", state, machine)
    missing = [name for name in fields.needed if name not in values]
    if missing:
        raise _wrong(f"{state} needs the argument {missing[0]!r}", state, machine)
    for name, value in values.items():
        classes = fields.classes[name]
        if classes and not isinstance(value, classes):
            text = f"{state} takes {name} as {_words(classes)}, not {type(value).__name__}"
            raise _wrong(text, state, machine)
    if fields.makes:
        return _made(values, wanted, fields, state, machine)
    if len(values) == len(fields.classes):
        return values
    return {**{name: make() for name, make in fields.defaults.items()}, **values}


def needs_args(wanted: type | None) -> bool:
    """True if the arguments have to be looked at also when none are given.

    Some are required then, or have defaults.
    """
    if wanted is None:
        return False
    fields = _fields(wanted)
    return fields.makes or bool(fields.needed or fields.defaults)


def requires_args(wanted: type | None) -> bool:
    """True if a state that declares these arguments cannot be called without some."""
    return wanted is not None and bool(_fields(wanted).needed)


@dataclasses.dataclass(frozen=True, slots=True)
class _Fields:
    """The arguments of a class.

    Attributes:
        classes: the classes of each; none if any value is fine.
        needed: the arguments that must be given.
        defaults: makers of the values of the others.
        names: the attributes of an instance.
        init: the parameters of the class.
        makes: an instance has to be made, as the class computes or converts values.
    """

    classes: Mapping[str, tuple[type, ...]]
    needed: tuple[str, ...]
    defaults: Mapping[str, Callable[[], Any]]
    names: tuple[str, ...]
    init: frozenset[str]
    makes: bool


def _made(
    values: Mapping[str, Any], wanted: type, fields: _Fields, state: str, machine: str
) -> Mapping[str, Any]:
    try:
        made = wanted(**{name: value for name, value in values.items() if name in fields.init})
    except Exception as error:
        raise _wrong(
            f"{wanted.__name__} refuses the arguments of {state}: {error}", state, machine
        ) from error
    # An instance has the converted values; parameters that are no fields stay as they were given.
    found = {name: make() for name, make in fields.defaults.items() if name not in fields.names}
    return {**found, **values, **_attributes(made, fields.names)}


@lru_cache(maxsize=1024)
def _fields(wanted: type) -> _Fields:
    names = _names(wanted) or ()
    hints = _hints(wanted)
    if typing.is_typeddict(wanted):
        required: frozenset[str] = getattr(wanted, "__required_keys__", frozenset())
        needed = tuple(name for name in names if name in required)
        return _Fields(_checks(names, hints), needed, {}, names, frozenset(), makes=False)
    parameters = _parameters(wanted) if names else {}
    every = tuple(dict.fromkeys((*names, *parameters)))
    validates = hasattr(wanted, "__pydantic_fields__") or hasattr(wanted, "__fields__")
    converted = {one.name for one in getattr(wanted, "__attrs_attrs__", ()) if one.converter}
    unchecked = every if validates else converted
    checks = {**_checks(every, hints), **dict.fromkeys(unchecked, ())}
    needed = tuple(name for name, default in parameters.items() if default is _MISSING)
    if dataclasses.is_dataclass(wanted):
        defaults = _dataclass_defaults(wanted, parameters)
        computes = hasattr(wanted, "__post_init__") or not {*every} <= {*needed, *defaults}
        makes = validates or computes
    else:
        defaults, makes = {}, bool(names)
    return _Fields(checks, needed, defaults, names, frozenset(parameters), makes)


def _checks(names: tuple[str, ...], hints: Mapping[str, Any]) -> dict[str, tuple[type, ...]]:
    return {name: _classes(hints.get(name, Any)) for name in names}


def _hints(wanted: type) -> Mapping[str, Any]:
    try:
        return typing.get_type_hints(wanted)
    except Exception:  # noqa: BLE001 - a type that only type checkers know, or a wrong one
        return {}


def _parameters(wanted: type) -> dict[str, Any]:
    """The parameters of a class by name, with their defaults."""
    try:
        found = inspect.signature(wanted).parameters.values()
    except (TypeError, ValueError):  # a class in C that has no signature
        return {}
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return {one.name: one.default for one in found if one.kind in named}


def _dataclass_defaults(wanted: Any, parameters: Mapping[str, Any]) -> dict[str, Callable[[], Any]]:
    found: dict[str, Callable[[], Any]] = {}
    fields = {field.name: field for field in dataclasses.fields(wanted)}
    for name, field in fields.items():
        if field.default_factory is not dataclasses.MISSING:
            found[name] = field.default_factory
        elif field.default is not dataclasses.MISSING:
            found[name] = _always(field.default)
    for name, default in parameters.items():  # an InitVar is a parameter and no field
        if name not in fields and default is not _MISSING:
            found[name] = _always(default)
    return found


def _always(value: Any) -> Callable[[], Any]:
    return lambda: value


def _classes(hint: Any) -> tuple[type, ...]:
    """The classes of which a value has to be; none if that cannot be checked."""
    if hint is float:
        return (float, int)
    if hint is None:
        return (type(None),)
    if isinstance(hint, dataclasses.InitVar):
        return _classes(hint.type)
    if isinstance(hint, type) and not typing.get_args(hint):
        return (hint,) if hint is not object and _is_checkable(hint) else ()
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        parts = [_classes(part) for part in typing.get_args(hint)]
        return tuple(one for part in parts for one in part) if all(parts) else ()
    return ()


def _is_checkable(kind: type) -> bool:
    """False for Any, TypedDicts, and protocols that `isinstance` refuses."""
    try:
        isinstance(None, kind)
    except Exception:  # noqa: BLE001 - a metaclass may raise anything
        return False
    return True


def _words(classes: tuple[type, ...]) -> str:
    return " or ".join(one.__name__ for one in classes)


def _wrong(text: str, state: str, machine: str) -> InvalidArgument:
    return InvalidArgument(text, argument="args", machine=machine, state=state)
