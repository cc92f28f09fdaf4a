"""Parts that schemas are read from, and states as parts of other schemas."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from enum import Enum
from typing import TypeAlias

from machine.errors import InvalidArgument, Problem, SchemaError
from machine.schema.state import Names, Relation, State, flatten, name_of
from machine.schema.text import parse_states

__all__ = [
    "Definition",
    "data_part",
    "definitions",
    "in_order",
    "named",
    "no_duplicates",
    "read_groups",
    "renamed",
    "restricted",
]

Definition: TypeAlias = State | Mapping[str, object] | None
"""The definition of a state in a mapping: None has no relations."""


def definitions(value: object, argument: str) -> Mapping[str, Definition]:
    """The definitions of a mapping or of a text in the short form, not checked yet."""
    if isinstance(value, str):
        return dict(parse_states(value))
    if not isinstance(value, Mapping):
        raise InvalidArgument(
            f"{argument} is a mapping of names to states, not {type(value).__name__} {value!r}",
            argument=argument,
            hint='Like {"Open": State(remove="Closed"), "Closed": None}.',
        )
    for name in value:
        if not isinstance(name, str):
            raise InvalidArgument(
                f"{argument} has the key {name!r}, which is no str", argument=argument
            )
    return value


def in_order(order: object) -> Iterator[str]:
    if isinstance(order, str) or not isinstance(order, Iterable):
        raise InvalidArgument(f"order is an iterable of names, not {order!r}", argument="order")
    for name in order:
        yield from flatten(name, "order")


def read_groups(groups: Mapping[str, Names], problems: list[Problem]) -> dict[str, tuple[str, ...]]:
    read: dict[str, tuple[str, ...]] = {}
    for group, members in groups.items():
        try:
            read[str(group)] = flatten(members, f"groups.{group}")
        except InvalidArgument as error:
            problems.append(Problem("bad-value", other=str(group), text=str(error)))
    return read


def data_part(value: object, name: str, place: str) -> dict[str, object]:
    if not isinstance(value, Mapping):
        text = f"{name} is a mapping, not {type(value).__name__} {value!r}"
        raise SchemaError(Problem("bad-value", text=text), place=place)
    for key in value:
        if not isinstance(key, str):
            text = f"{name} has the key {key!r}, which is no text; put it in quotes"
            raise SchemaError(Problem("bad-value", text=text), place=place)
    return dict(value)


def no_duplicates(pairs: list[tuple[str, object]]) -> dict[str, object]:
    data = dict(pairs)
    if len(data) != len(pairs):
        seen = [key for key, _ in pairs]
        double = next(key for key in seen if seen.count(key) > 1)
        raise ValueError(f"{double!r} is there twice; keep one")
    return data


def renamed(state: State, new: Mapping[str, str]) -> State:
    return state.replace(
        require=[new[name] for name in state.require],
        add=[new[name] for name in state.add],
        remove=[new[name] for name in state.remove],
        after=[new[name] for name in state.after],
    )


def restricted(name: str, state: State, kept: set[str], *, strict: bool) -> State:
    lost = [other for other in state.require if other not in kept]
    if lost and strict:
        text = (
            f"{name!r} requires {', '.join(lost)}, which would be left out; "
            'take it too (require="follow"), or give require="drop"'
        )
        raise SchemaError(
            Problem("require-left-out", name, Relation.REQUIRE.value, lost[0], text=text)
        )
    return state.replace(
        require=[other for other in state.require if other in kept],
        add=[other for other in state.add if other in kept],
        remove=[other for other in state.remove if other in kept],
        after=[other for other in state.after if other in kept],
    )


def named(value: object) -> object:
    """A mapping for an Enum class or a list of names; other values as they are.

    The value of a member is its definition if it is a State.
    """
    if isinstance(value, type) and issubclass(value, Enum):
        members = {name_of(one): one.value for one in value}
        return {name: one if isinstance(one, State) else None for name, one in members.items()}
    if isinstance(value, list | tuple):
        return dict.fromkeys(flatten(value, "schema"))
    return value
