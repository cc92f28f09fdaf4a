"""Pictures in D2."""

from __future__ import annotations

import json
from collections.abc import Iterator

from machine.draw._picture import WORDS, Box, Key, Line, Picture, tooltip
from machine.schema.state import Relation

__all__ = ["d2"]

_LOOKS = {
    Relation.REQUIRE: 'style.stroke: "#0969da"',
    Relation.ADD: 'style.stroke: "#8250df"; style.stroke-dash: 5',
    Relation.REMOVE: 'style.stroke: "#cf222e"; target-arrowhead.shape: cross',
    Relation.AFTER: 'style.stroke: "#6e7781"; style.stroke-dash: 2',
}
_DOT = " \N{MIDDLE DOT} "
_BOTH = 'style.stroke: "#cf222e"; source-arrowhead.shape: cross; target-arrowhead.shape: cross'


def d2(picture: Picture) -> str:
    """The text of a D2 diagram."""
    return "\n".join(_write(picture)) + "\n"


def _write(picture: Picture) -> Iterator[str]:
    yield "direction: left"
    if picture.title:
        yield f"title: {_quoted(picture.title)} {{shape: text; near: top-center}}"
    framed = picture.framed
    for name, box in picture.boxes.items():
        if name not in framed:
            yield _box(box)
    for at, frame in enumerate(picture.frames):
        yield f"frame{at}: {_quoted(frame.heading)} {{"
        if frame.exclusive:
            yield '  style.stroke: "#cf222e"; style.stroke-dash: 4'
        yield "  style.fill: transparent"
        for name in frame.members:
            yield f"  {_box(picture.boxes[name])}"
        yield "}"
    for line in picture.lines:
        yield _line(line, framed)
    if picture.kinds:
        yield "legend: Legend {"
        yield "  near: bottom-center"
        for kind in picture.kinds:
            yield f"  A -> B: A {WORDS[kind]} B {{{_LOOKS[kind]}}}"
        yield "}"


def _box(box: Box) -> str:
    small = [*box.badges, *([] if box.tick is None else [f"tick {box.tick}"])]
    label = "\\n".join([_bare(box.name), *([_DOT.join(small)] if small else [])])
    look = ""
    if box.active:
        fill = "#cf222e" if box.is_error else "#1a7f37"
        look = f'; style.fill: "{fill}"; style.font-color: "#ffffff"'
    return f'{_name(box.name)}: "{label}" {{tooltip: {_quoted(tooltip(box))}{look}}}'


def _line(line: Line, framed: dict[str, int]) -> str:
    look = _BOTH if line.both else _LOOKS[line.kind]
    arrow = "<->" if line.both else "->"
    return f"{_path(line.source, framed)} {arrow} {_path(line.target, framed)}: {{{look}}}"


def _path(key: Key, framed: dict[str, int]) -> str:
    if isinstance(key, int):
        return f"frame{key}"
    return f"frame{framed[key]}.{_name(key)}" if key in framed else _name(key)


def _name(name: str) -> str:
    """A state's key; none of them can be one of D2's own words."""
    return _quoted(f"state {name}")


def _bare(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)[1:-1]


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
