"""The content of a picture before it is drawn: boxes, frames around them, and lines."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from machine.core.machine import Machine, schema_of
from machine.draw._frames import Frame, frames_of
from machine.errors import InvalidArgument, UnknownState, did_you_mean, near_names
from machine.schema.schema import Schema, as_schema
from machine.schema.state import EXCEPTION, RELATIONS, Relation, State, flatten

__all__ = ["WORDS", "Box", "Key", "Line", "Picture", "picture_of", "tooltip"]

Key: TypeAlias = str | int
"""The end of a line: a state by name, or a frame by its number."""

WORDS: Mapping[Relation, str] = {
    Relation.REQUIRE: "requires",
    Relation.ADD: "adds",
    Relation.REMOVE: "removes",
    Relation.AFTER: "after",
}


@dataclass(frozen=True, slots=True)
class Box:
    """A state; `tick` is None where none is known."""

    name: str
    state: State
    active: bool = False
    tick: int | None = None

    @property
    def is_error(self) -> bool:
        """True if the state stands for an error."""
        return self.name == EXCEPTION or EXCEPTION in self.state.require

    @property
    def badges(self) -> tuple[str, ...]:
        """Its flags."""
        state = self.state
        words = ("initial", "final", "auto", "multi")
        return tuple(word for word in words if getattr(state, word))


@dataclass(frozen=True, slots=True)
class Line:
    """A relation, of two states or of all states of a frame; `both` holds in both directions."""

    source: Key
    target: Key
    kind: Relation
    both: bool = False
    idle: bool = False


@dataclass(frozen=True, slots=True)
class Picture:
    """The boxes, frames and lines to draw. `live`: the active states are known."""

    title: str
    boxes: Mapping[str, Box]
    frames: tuple[Frame, ...]
    lines: tuple[Line, ...]
    live: bool
    unframed: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def kinds(self) -> tuple[Relation, ...]:
        """The kinds of relation that have lines, in the order of the legend."""
        there = {line.kind for line in self.lines}
        return tuple(kind for kind in WORDS if kind in there)

    @property
    def framed(self) -> dict[str, int]:
        """The number of the frame, for each state that has one."""
        return {name: at for at, frame in enumerate(self.frames) for name in frame.members}


def picture_of(
    what: object,
    *,
    active: str | Iterable[str] | Mapping[str, int] | None = None,
    relations: str | Iterable[str] | None = None,
    title: str | None = None,
) -> Picture:
    """The picture of a machine, a Machine subclass, or anything that is a schema."""
    kinds = _kinds(relations)
    machine = what if isinstance(what, Machine) else None
    schema = machine.schema if machine is not None else _schema(what)
    clock = machine.clock() if machine is not None and active is None else _clock(active, schema)
    ticks = machine is not None or isinstance(active, Mapping)
    names = [name for name in schema if _is_shown(name, schema, clock)]
    boxes = {
        name: Box(
            name,
            schema[name],
            active=bool(clock and clock.get(name, 0) % 2),
            tick=clock.get(name, 0) if clock is not None and ticks else None,
        )
        for name in names
    }
    frames, unframed = frames_of(schema, names, exclusive=Relation.REMOVE in kinds)
    lines = tuple(_lines(boxes, frames, kinds, clock is not None))
    heading = _title(what) if title is None else title
    return Picture(heading, boxes, frames, lines, clock is not None, unframed)


def _schema(what: object) -> Schema:
    if isinstance(what, type) and issubclass(what, Machine):
        return schema_of(what)
    return as_schema(what)


def _kinds(relations: str | Iterable[str] | None) -> tuple[Relation, ...]:
    if relations is None:
        return RELATIONS
    kinds = []
    for name in [relations] if isinstance(relations, str) else relations:
        try:
            kinds.append(Relation(name))
        except ValueError:
            near = did_you_mean(near_names(str(name), RELATIONS))
            raise InvalidArgument(
                f"unknown relation {name!r}{near}",
                argument="relations",
                hint=f"The relations are {', '.join(RELATIONS)}.",
            ) from None
    return tuple(kinds)


def _clock(
    active: str | Iterable[str] | Mapping[str, int] | None, schema: Schema
) -> Mapping[str, int] | None:
    if active is None:
        return None
    clock = active if isinstance(active, Mapping) else dict.fromkeys(flatten(active, "active"), 1)
    for name in clock:
        if name not in schema:
            raise UnknownState(name, known=schema.names)
    return clock


def _is_shown(name: str, schema: Schema, clock: Mapping[str, int] | None) -> bool:
    if name != EXCEPTION or schema[name] != State(multi=True) or (clock and clock.get(name)):
        return True
    grouped = any(name in members for members in schema.groups.values())
    return grouped or bool(schema.inbound_relations_of(name))


def _title(what: object) -> str:
    if isinstance(what, Machine):
        kind = "" if type(what) is Machine else type(what).__name__
        name = "" if re.fullmatch("[0-9a-f]{16}", what.id) else what.id
        return " ".join(dict.fromkeys(part for part in (kind, name) if part))
    return what.__name__ if isinstance(what, type) else ""


# -- lines -------------------------------------------------------------------------------


def _lines(
    boxes: Mapping[str, Box],
    frames: tuple[Frame, ...],
    kinds: tuple[Relation, ...],
    live: bool,
) -> Iterator[Line]:
    for kind in WORDS:
        if kind not in kinds:
            continue
        pairs = {
            (name, other): None
            for name, box in boxes.items()
            for other in box.state.relation(kind)
            if not (kind is Relation.REMOVE and _framed_apart(name, other, frames))
        }
        ends = _gathered(pairs, frames)
        for source, target in ends:
            both = kind is Relation.REMOVE and (target, source) in ends
            if (
                both
                and source != target
                and list(ends).index((target, source)) < list(ends).index((source, target))
            ):
                continue
            sources = (source, target) if both else (source,)
            idle = live and not any(_is_active(one, boxes, frames) for one in sources)
            yield Line(source, target, kind, both, idle)


def _framed_apart(name: str, other: str, frames: tuple[Frame, ...]) -> bool:
    return any(frame.exclusive and {name, other} <= set(frame.members) for frame in frames)


def _gathered(
    pairs: Mapping[tuple[str, str], None], frames: tuple[Frame, ...]
) -> dict[tuple[Key, Key], None]:
    """Lines to, or from, all states of a frame as one line to, or from, the frame."""
    found: dict[tuple[Key, Key], None] = dict.fromkeys(pairs)
    for flip in (False, True):
        for at, frame in enumerate(frames):
            ends = {pair[0] if not flip else pair[1]: None for pair in found}
            for end in ends:
                each = [(end, one) if not flip else (one, end) for one in frame.members]
                if end in frame.members or not all(pair in found for pair in each):
                    continue
                whole: tuple[Key, Key] = (end, at) if not flip else (at, end)
                found = {whole if pair == each[0] else pair: None for pair in found}
                found = {pair: None for pair in found if pair not in each}
    return found


def _is_active(key: Key, boxes: Mapping[str, Box], frames: tuple[Frame, ...]) -> bool:
    if isinstance(key, int):
        return any(boxes[name].active for name in frames[key].members)
    return boxes[key].active


def tooltip(box: Box) -> str:
    """All about a state, in one line."""
    facts = [" ".join((box.name, *(f"({word})" for word in box.badges)))]
    if box.tick is not None:
        facts.append(f"tick {box.tick}")
    for kind, word in WORDS.items():
        others = box.state.relation(kind)
        if others:
            facts.append(f"{word} {', '.join(others)}")
    if box.state.tags:
        facts.append(f"tags {', '.join(box.state.tags)}")
    return "; ".join(facts)
