"""The rules of lint: relations that are valid and mislead."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import combinations

from machine.schema.rules import require_cycles
from machine.schema.schema import Schema
from machine.schema.state import EXCEPTION, Relation

__all__ = ["RULES", "Finding"]


@dataclass(frozen=True, slots=True)
class Finding:
    """A relation to think about. `level` is "warning" or "info"."""

    code: str
    state: str
    relation: str
    other: str
    text: str
    level: str = "warning"

    def __str__(self) -> str:
        return f"{self.level}: {self.text} [{self.code}]"


def _brought(schema: Schema, name: str) -> tuple[dict[str, str], dict[str, str]]:
    """The states of the first and the second level of Add, each with the state that adds it."""
    first = {other: name for other in schema[name].add if other != name}
    second: dict[str, str] = {}
    for via in first:
        for other in schema[via].add:
            if other != name and other not in first:
                second.setdefault(other, via)
    return first, second


def _required(schema: Schema, name: str, relation: Relation = Relation.REQUIRE) -> dict[str, None]:
    """All that must be active for a state to be, itself first; or so for another relation."""
    found: dict[str, None] = {name: None}
    todo = list(schema[name].relation(relation))
    while todo:
        other = todo.pop(0)
        if other not in found:
            found[other] = None
            todo += schema[other].relation(relation)
    return found


def _exclude(schema: Schema, one: str, other: str) -> bool:
    return other in schema[one].remove or one in schema[other].remove


def _never_together(schema: Schema, one: str, other: str) -> bool:
    ones, others = _required(schema, one), _required(schema, other)
    return any(_exclude(schema, a, b) for a in ones for b in others if a != b)


def overruled(schema: Schema) -> Iterator[Finding]:
    for name, other in schema.overruled:
        text = f"{name} both adds and removes {other}; Add wins, so drop remove={other!r}"
        yield Finding("add-and-remove", name, Relation.REMOVE.value, other, text)


def add_depth(schema: Schema) -> Iterator[Finding]:
    for name in schema:
        first, second = _brought(schema, name)
        for via in second:
            for other in schema[via].add:
                if other != name and other not in first and other not in second:
                    text = (
                        f"adding {name} does not reach {other}: Add goes two levels deep "
                        f"({name} -> {second[via]} -> {via}); "
                        f"add {other!r} to {name} or {second[via]}"
                    )
                    yield Finding("add-too-deep", name, Relation.ADD.value, other, text)


def add_late_remove(schema: Schema) -> Iterator[Finding]:
    for name in schema:
        _, second = _brought(schema, name)
        for other, via in second.items():
            settled = {*schema[name].remove, *schema[via].remove}
            late = [one for one in schema[other].remove if one != name and one not in settled]
            if late:
                text = (
                    f"adding {name} brings {other} along at the second level (via {via}), "
                    f"where the states that it removes ({', '.join(late)}) stay until the next "
                    f"transition; add {other!r} to {name} itself"
                )
                yield Finding("remove-too-late", name, Relation.ADD.value, other, text)


def add_excluded(schema: Schema) -> Iterator[Finding]:
    for name, state in schema.items():
        for other in state.add:
            if name in schema[other].remove:
                text = (
                    f"{name} adds {other}, which removes {name}: adding {name} is canceled; "
                    f"drop one of the two"
                )
                yield Finding("add-excludes-itself", name, Relation.ADD.value, other, text)
        first, second = _brought(schema, name)
        for one, other in combinations([*first, *second], 2):
            if _exclude(schema, one, other):
                text = (
                    f"adding {name} brings {one} and {other} along, which exclude each other; "
                    f"only one comes, so drop the other from add"
                )
                yield Finding("add-exclusive", name, Relation.ADD.value, other, text)


def add_unmet(schema: Schema) -> Iterator[Finding]:
    for name, state in schema.items():
        there = {*_required(schema, name), *state.add}
        for other in state.add:
            for need in schema[other].require:
                if need not in there:
                    text = (
                        f"{name} adds {other}, which requires {need}, which {name} does not bring "
                        f"along; without it {other} is left out silently. "
                        f"Let {name} add or require {need!r}"
                    )
                    yield Finding("add-unmet-require", name, Relation.ADD.value, other, text)


def add_sticky(schema: Schema) -> Iterator[Finding]:
    for name, state in schema.items():
        if state.multi and name != EXCEPTION:
            for other in state.add:
                if other not in state.require:
                    text = (
                        f"{name} is Multi and adds {other}: while {name} is active, every "
                        f"transition adds {other} again; use require={other!r} if that is not meant"
                    )
                    yield Finding("multi-add", name, Relation.ADD.value, other, text, "info")


def after_order(schema: Schema) -> Iterator[Finding]:
    for name, state in schema.items():
        for other in state.after:
            if name in _required(schema, other):
                text = (
                    f"{name} comes after {other}, which requires {name}: a required state should "
                    f"come first, so drop after={other!r}"
                )
                yield Finding("after-against-require", name, Relation.AFTER.value, other, text)
                continue
            ordered = other in _required(schema, name)
            in_cycle = name in _required(schema, other, Relation.AFTER)
            between = None if ordered or in_cycle else _between(schema, name, other)
            if between is not None:
                text = (
                    f"{name} after {other} holds only when they are neighbours; an active state "
                    f"between them, like {between}, hides it. Use require={other!r}, or do not "
                    f"rely on it"
                )
                yield Finding("after-not-sure", name, Relation.AFTER.value, other, text)


def _between(schema: Schema, name: str, other: str) -> str | None:
    """A state that can be active together with both and has no order with either."""
    for one in schema:
        if one in {name, other} or one in schema[name].after or other in schema[one].after:
            continue
        together = not (_never_together(schema, one, name) or _never_together(schema, one, other))
        if together:
            return one
    return None


def after_cycles(schema: Schema) -> Iterator[Finding]:
    for cycle in require_cycles(schema, Relation.AFTER):
        shown = " -> ".join((*cycle, cycle[0]))
        text = f"these states are each after the next: {shown}; no order fits, drop one after"
        yield Finding("after-cycle", cycle[0], Relation.AFTER.value, cycle[1], text)


def autos(schema: Schema) -> Iterator[Finding]:
    auto = [name for name, state in schema.items() if state.auto]
    for name in auto:
        if schema[name].multi:
            text = (
                f"{name} is Auto and Multi: it is activated once and does not tick again by "
                f"itself; add it from a handler, or drop one flag"
            )
            yield Finding("auto-multi", name, "", "", text)
        removed = any(name in state.remove for state in schema.values())
        if not schema[name].require and not removed:
            text = (
                f"{name} is Auto, requires nothing, and nothing removes it: it is always on "
                f"after the first change; give it a require, or drop auto"
            )
            yield Finding("auto-always-on", name, "", "", text, "info")
    for one, other in combinations(auto, 2):
        if _exclude(schema, one, other) and not _needs_exclude(schema, one, other):
            wins = one if other in schema[one].remove else other
            text = (
                f"{one} and {other} are Auto and exclude each other: when both could come, only "
                f"{wins} does; tell them apart with require"
            )
            yield Finding("auto-exclusive", one, Relation.REMOVE.value, other, text)


def _needs_exclude(schema: Schema, one: str, other: str) -> bool:
    ones, others = _required(schema, one), _required(schema, other)
    return any(
        _exclude(schema, a, b) for a in ones for b in others if a != b and (a, b) != (one, other)
    )


def never(schema: Schema) -> Iterator[Finding]:
    for name, state in schema.items():
        for one, other in combinations(_required(schema, name), 2):
            if _exclude(schema, one, other):
                relation = Relation.REQUIRE.value if state.require else ""
                what = (
                    f"requires {other}, and they exclude each other"
                    if one == name
                    else f"requires {one} and {other}, which exclude each other"
                )
                text = f"{name} can never be active: it {what}; drop one of these relations"
                yield Finding("never-active", name, relation, other, text)
                break


def one_sided(schema: Schema) -> Iterator[Finding]:
    for name, state in schema.items():
        for other in state.remove:
            if name not in schema[other].remove and _looks_mutual(schema, name, other):
                text = (
                    f"{name} removes {other}, but not the other way round: while {name} is active, "
                    f"adding {other} is canceled; "
                    f"give {other} remove={name!r} if they should alternate"
                )
                yield Finding("one-sided-remove", name, Relation.REMOVE.value, other, text, "info")


def _looks_mutual(schema: Schema, one: str, other: str) -> bool:
    if any(one in names and other in names for names in schema.groups.values()):
        return True
    return any(
        name in schema[one].remove
        and name in schema[other].remove
        and one in schema[name].remove
        and other in schema[name].remove
        for name in schema
    )


_CAMEL = re.compile(r"[A-Z][A-Za-z0-9]*")
_PHASE = re.compile(r"(?P<head>.+)(?P<phase>Enter|Exit|State|End)")


def names(schema: Schema) -> Iterator[Finding]:
    for name in schema:
        if not _CAMEL.fullmatch(name):
            good = "".join(part[:1].upper() + part[1:] for part in name.split("_")) or "Name"
            text = f"{name} is not in CamelCase, so its handlers read badly; call it {good}"
            yield Finding("name-style", name, "", "", text, "info")
        phase = _PHASE.fullmatch(name)
        if phase:
            text = (
                f"the state {name} reads like the handler {phase['phase']} of {phase['head']}; "
                f"choose a name without {phase['phase']} at its end"
            )
            yield Finding("name-like-handler", name, "", phase["head"], text, "info")
        if name in schema[name].add:
            text = f"{name} adds itself, which does nothing; drop it from add"
            yield Finding("add-itself", name, Relation.ADD.value, name, text)


def groups(schema: Schema) -> Iterator[Finding]:
    seen: dict[frozenset[str], str] = {}
    for group, members in schema.groups.items():
        if len(members) < 2:
            what = f"has only {members[0]}" if members else "is empty"
            text = f"the group {group} {what}; fill it, or drop it"
            yield Finding("group-unused", members[0] if members else "", "", group, text, "info")
            continue
        same = seen.setdefault(frozenset(members), group)
        if same != group:
            text = f"the groups {same} and {group} have the same states; drop one"
            yield Finding("group-twice", members[0], "", group, text, "info")


RULES: tuple[Callable[[Schema], Iterator[Finding]], ...] = (
    never,
    overruled,
    add_excluded,
    add_depth,
    add_late_remove,
    add_unmet,
    add_sticky,
    autos,
    one_sided,
    after_cycles,
    after_order,
    names,
    groups,
)
