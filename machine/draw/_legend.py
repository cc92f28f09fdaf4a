"""The legend of an SVG picture: the meaning of its lines, frames and colours."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from machine.draw._layout import Route
from machine.draw._marks import end_mark, line_path, stroke_of
from machine.draw._picture import WORDS, Line, Picture
from machine.schema.state import Relation

__all__ = ["legend"]

_LETTER = 6.3
_ROW = 22.0
_GAP = 20.0


def legend(picture: Picture, limit: float) -> tuple[list[tuple[float, float, str]], float, float]:
    """Its entries with their places, its width and its height."""
    placed: list[tuple[float, float, str]] = []
    x = y = width = 0.0
    for content, length in _entries(picture):
        if x and x + length > limit - 2 * _GAP:
            x, y = 0.0, y + _ROW
        placed.append((x, y, content))
        width = max(width, x + length)
        x += length + _GAP
    return placed, width, y + _ROW if placed else 0.0


def _entries(picture: Picture) -> Iterator[tuple[str, float]]:
    for kind in picture.kinds:
        yield _labelled(_sample(kind), 40, f"A {_told(kind)} B")
    if any(frame.exclusive for frame in picture.frames):
        box = '<g class="frame apart"><rect x="0" y="3" width="24" height="14" rx="4"/></g>'
        yield _labelled(box, 24, "at most one is active")
    if picture.live:
        box = '<rect class="shape" x="0" y="3" width="24" height="14" rx="4"/>'
        yield _labelled(f'<g class="active">{box}</g>', 24, "active")
        yield _labelled(box, 24, "not active")
    if any(box.tick is not None for box in picture.boxes.values()):
        pill = (
            '<rect class="tick" x="0" y="2.5" width="20" height="15" rx="7.5"/>'
            '<text class="tick" x="10" y="13.5">n</text>'
        )
        yield _labelled(pill, 20, "ticks")
    for group, members in picture.unframed.items():
        yield _labelled("", 0, f"{group} = {', '.join(members)}")


def _told(kind: Relation) -> str:
    return "comes after" if kind is Relation.AFTER else WORDS[kind]


def _sample(kind: Relation) -> str:
    points = [(0.0, 10.0), (10.0, 10.0), (20.0, 10.0), (40.0, 10.0)]
    path = line_path(Route(Line("A", "B", kind), points))
    line = f'<path class="{stroke_of(kind)}" d="{path}"/>{end_mark(kind, 40, 10, 1)}'
    return f'<g class="line {kind.value}">{line}</g>'


def _labelled(content: str, width: float, text: str) -> tuple[str, float]:
    start = width + 7 if width else 0.0
    label = f'<text x="{start:g}" y="14">{escape(text)}</text>'
    return content + label, start + _LETTER * len(text)
