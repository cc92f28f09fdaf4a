"""The definition of one state, and the reading of names that a caller gave."""

from __future__ import annotations

import builtins
import functools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from enum import Enum, StrEnum
from typing import TypeAlias, TypedDict, TypeVar, Unpack, cast

from machine.errors import InvalidArgument, did_you_mean, near_names
from machine.schema.arguments import check_class, requires_args
from machine.schema.retries import Retries, as_retries, as_timeout

__all__ = [
    "EXCEPTION",
    "FIELDS",
    "RELATIONS",
    "Changes",
    "Names",
    "Relation",
    "State",
    "flatten",
    "keywords_checked",
]

EXCEPTION = "Exception"
"""The one built-in state: active while there is an error that has not been handled."""

Names: TypeAlias = "str | Enum | Iterable[Names]"
"""One name, or any nested iterable of names."""


class Relation(StrEnum):
    """A kind of relation between two states, in the order in which they are always listed."""

    ADD = "add"
    REQUIRE = "require"
    REMOVE = "remove"
    AFTER = "after"


RELATIONS = tuple(Relation)
FIELDS = (
    *("auto", "multi", "require", "add", "remove", "after", "tags", "args"),
    *("timeout", "retry", "initial", "final"),  # at the end: pickles have the values in this order
)


def flatten(names: Names, argument: str = "names") -> tuple[str, ...]:
    """The names in order, each once. Raises InvalidArgument for anything that is not a name."""
    found: dict[str, None] = {}
    _collect(names, argument, found, 0)
    return tuple(found)


def _collect(names: object, argument: str, found: dict[str, None], depth: int) -> None:
    if isinstance(names, Enum):
        names = name_of(names)
    if isinstance(names, str):
        found[str(names)] = None
        return
    if isinstance(names, set | frozenset):
        names = sorted(names, key=str)  # a set has no order of its own that would last
    elif isinstance(names, Mapping) or not isinstance(names, Iterable) or isinstance(names, bytes):
        raise InvalidArgument(
            f"{argument} takes a name or names, not {_shown(names)}",
            argument=argument,
            hint=_fix(names),
        )
    elif isinstance(names, type):
        raise InvalidArgument(
            f"{argument} takes names, not the class {names.__name__}",
            argument=argument,
            hint=_fix(names),
        )
    if depth > 20:
        raise InvalidArgument(f"{argument} is nested more than 20 deep", argument=argument)
    for name in names:
        _collect(name, argument, found, depth + 1)


def _shown(value: object) -> str:
    if isinstance(value, type):
        return f"the class {value.__name__}"
    return f"{type(value).__name__} {value!r}"


def _fix(value: object) -> str | None:
    if value is builtins.Exception:
        return "The state is machine.EXCEPTION; the bare word is Python's class."
    if value is None:
        return "Leave it out, or give ()."
    return None


class Changes(TypedDict, total=False):
    """The fields of a state that can be replaced: all of them."""

    auto: bool
    multi: bool
    require: Names
    add: Names
    remove: Names
    after: Names
    tags: Names
    args: type | None
    timeout: float | None
    retry: Retries | int | None
    initial: bool
    final: bool


Callee = TypeVar("Callee", bound=Callable[..., object])


def keywords_checked(function: Callee) -> Callee:
    """The same function, but a misspelt keyword raises InvalidArgument and names the right one."""
    known = frozenset(FIELDS)

    @functools.wraps(function)
    def checked(*args: object, **given: object) -> object:
        for name in given:
            if name not in known:
                raise _unknown_field(name)
        return function(*args, **given)

    return cast("Callee", checked)


@dataclass(frozen=True, slots=True, init=False)
class State:
    """The definition of one state: flags, four relations, tags, and the type of its arguments.

    `initial` states are active in a new machine, before any handler is bound; see `Machine`.
    `final` ones are an end, for `is_final` and `when_final`.
    `timeout` is in seconds, for each attempt of its async work; `retry` says how often it is tried.

    Relations and tags are given as one name or any nested iterable of names and kept as tuples
    without duplicates. Whether the names exist is checked by the Schema. Raises InvalidArgument for
    a wrong type. Immutable, so safe in every thread.
    """

    auto: bool = False
    multi: bool = False
    require: tuple[str, ...] = ()
    add: tuple[str, ...] = ()
    remove: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    args: type | None = None
    timeout: float | None = None
    retry: Retries | None = None
    initial: bool = False
    final: bool = False

    @keywords_checked
    def __init__(
        self,
        *,
        auto: bool = False,
        multi: bool = False,
        require: Names = (),
        add: Names = (),
        remove: Names = (),
        after: Names = (),
        tags: Names = (),
        args: type | None = None,
        timeout: float | None = None,
        retry: Retries | int | None = None,
        initial: bool = False,
        final: bool = False,
    ) -> None:
        put = object.__setattr__
        put(self, "auto", _flag(auto, "auto"))
        put(self, "multi", _flag(multi, "multi"))
        put(self, "require", flatten(require, "require"))
        put(self, "add", flatten(add, "add"))
        put(self, "remove", flatten(remove, "remove"))
        put(self, "after", flatten(after, "after"))
        put(self, "tags", flatten(tags, "tags"))
        if args is not None and not isinstance(args, type):
            raise InvalidArgument(
                f"args takes a class, not {_shown(args)}",
                argument="args",
                hint="Give a dataclass or a TypedDict, not an instance of it.",
            )
        if args is not None:
            check_class(args)
        put(self, "args", args)
        put(self, "timeout", as_timeout(timeout))
        put(self, "retry", as_retries(retry))
        put(self, "initial", _flag(initial, "initial"))
        put(self, "final", _flag(final, "final"))

        if initial and requires_args(args):
            raise InvalidArgument(
                "an initial state gets no arguments, but its args class needs some",
                argument="initial",
                hint="Give the fields of the args class defaults, or add the state instead.",
            )

    def __setstate__(self, values: list[object]) -> None:
        # Pickles of older versions have fewer fields: the others have their defaults.
        for at, field in enumerate(fields(self)):
            value = values[at] if at < len(values) else field.default
            object.__setattr__(self, field.name, value)

    def relation(self, kind: Relation | str) -> tuple[str, ...]:
        """The names of one relation: `state.relation("add") == state.add`."""
        match Relation(kind):
            case Relation.ADD:
                return self.add
            case Relation.REQUIRE:
                return self.require
            case Relation.REMOVE:
                return self.remove
            case Relation.AFTER:
                return self.after

    def has_tag(self, tag: str) -> bool:
        """True if the state has this tag, or, with `key:value` tags, a tag of this key."""
        return any(one == tag or one.partition(":")[0] == tag for one in self.tags)

    def extend(self, other: State) -> State:
        """The union of both: relations, tags, true flags; `other`'s args if it has any."""
        return State(
            auto=self.auto or other.auto,
            multi=self.multi or other.multi,
            require=(self.require, other.require),
            add=(self.add, other.add),
            remove=(self.remove, other.remove),
            after=(self.after, other.after),
            tags=(self.tags, other.tags),
            args=other.args or self.args,
            timeout=other.timeout or self.timeout,
            retry=other.retry or self.retry,
            initial=self.initial or other.initial,
            final=self.final or other.final,
        )

    @keywords_checked
    def replace(self, **changes: Unpack[Changes]) -> State:
        """The same state with some fields replaced; `()` empties a relation."""
        return State(
            auto=changes.get("auto", self.auto),
            multi=changes.get("multi", self.multi),
            require=changes.get("require", self.require),
            add=changes.get("add", self.add),
            remove=changes.get("remove", self.remove),
            after=changes.get("after", self.after),
            tags=changes.get("tags", self.tags),
            args=changes.get("args", self.args),
            timeout=changes.get("timeout", self.timeout),
            retry=changes.get("retry", self.retry),
            initial=changes.get("initial", self.initial),
            final=changes.get("final", self.final),
        )

    def normalised(self, name: str) -> State:
        """As state `name` has it: not in its own Remove and After, and Add wins over Remove."""
        remove = tuple(one for one in self.remove if one != name and one not in self.add)
        after = tuple(one for one in self.after if one != name)
        if remove == self.remove and after == self.after:
            return self
        return self.replace(remove=remove, after=after)


def _flag(value: object, argument: str) -> bool:
    if not isinstance(value, bool):
        raise InvalidArgument(
            f"{argument} is True or False, not {_shown(value)}", argument=argument
        )
    return value


def _unknown_field(name: str) -> InvalidArgument:
    return InvalidArgument(
        f"a state has no {name!r}{did_you_mean(near_names(name, FIELDS))}",
        argument=name,
        hint=f"It has: {', '.join(FIELDS)}.",
    )


def name_of(member: Enum) -> str:
    """The state that a member of an Enum stands for: its value if it is a str, else its name."""
    return str.__str__(member) if isinstance(member, str) else member.name


def tag_value(tags: Iterable[str], key: str) -> str | None:
    """The value of the first tag `key:value`; "" of a tag that is just the key; None without."""
    for tag in tags:
        name, _, value = tag.partition(":")
        if name == key:
            return value
    return None
