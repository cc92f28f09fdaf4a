"""Pictures as SVG, complete in themselves: no script, no font, no tool is needed.

Colours follow the light or dark scheme of the reader; the picture has a background of its own, so
that it can be read on any page. All rules begin with the picture's class, because notebooks put
many pictures into one page.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from html import escape

from machine.draw._layers import parts_of
from machine.draw._layout import Layout, Rect, Route
from machine.draw._legend import legend
from machine.draw._marks import STYLE, end_mark, line_path, number, stroke_of
from machine.draw._picture import WORDS, Box, Key, Picture, tooltip

__all__ = ["svg"]

CHAR = 7.85  # of a monospaced letter of 13 px
SMALL = 5.6  # of a letter in a badge
HEADING_CHAR = 6.7  # of a letter above a frame
SIDE = 12.0  # in a box, before and after the text
BORDER = 20.0  # around everything
BETWEEN = 34.0  # between parts
LONE = 12.0  # between states that have no lines
WIDE = 760.0  # of a page
HEADING = 30.0

_UNFIT = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


def svg(picture: Picture) -> str:
    """The text of an SVG file."""
    return "\n".join(_Drawing(picture).write()) + "\n"


def _text(text: str) -> str:
    return escape(_UNFIT.sub("\N{REPLACEMENT CHARACTER}", text))


def _letters(text: str) -> int:
    return sum(2 if unicodedata.east_asian_width(one) in "WF" else 1 for one in text)


def _pill(text: str) -> float:
    return SMALL * _letters(text) + 10


class _Drawing:
    def __init__(self, picture: Picture) -> None:
        self.picture = picture
        self.boxes: dict[str, Rect] = {}
        self.frames: dict[int, Rect] = {}
        self.routes: list[Route] = []
        parts, alone = parts_of(picture)
        self.layouts = [Layout(part, self.width_of) for part in parts]
        self.top = BORDER + (HEADING if picture.title else 0.0)
        self.width = max([WIDE * 0.5, *(one.width for one in self.layouts)])
        height = self.pack()
        height = self.put_alone(alone, height)
        heading = BORDER * 2 + _letters(picture.title) * 9
        rows, self.legend_width, legend_height = legend(
            picture, max(self.extent(), min(self.width, WIDE))
        )
        self.legend = rows
        self.legend_top = height + (BETWEEN * 0.6 if rows else 0.0)
        self.height = self.legend_top + legend_height + BORDER
        self.width = max(self.extent(), self.legend_width + 2 * BORDER, heading)

    def width_of(self, key: Key) -> float:
        """The width that a box needs, or the inside of a frame for its heading."""
        if isinstance(key, int):
            return _letters(self.picture.frames[key].heading) * HEADING_CHAR
        box = self.picture.boxes[key]
        width = 2 * SIDE + CHAR * _letters(key)
        width += sum(_pill(badge) + 4 for badge in self.pills(box))
        return float(max(round(width + (6 if self.pills(box) else 0)), 64))

    def pills(self, box: Box) -> list[str]:
        return [*box.badges, *([] if box.tick is None else [str(box.tick)])]

    def extent(self) -> float:
        rects = [*self.boxes.values(), *self.frames.values()]
        right = max((rect.x + rect.width for rect in rects), default=0.0)
        ends = [x for route in self.routes for x, _ in route.points]
        return max(right, max(ends, default=0.0) + 2) + BORDER

    def pack(self) -> float:
        """Put the parts side by side while they fit, then below; where the last one ends."""
        limit = max(WIDE, self.width)
        x, y, bottom = 0.0, self.top, self.top
        for layout in self.layouts:
            if x and x + layout.width > limit:
                x, y = 0.0, bottom + BETWEEN
            self.shift(layout, x + BORDER, y)
            bottom = max(bottom, y + layout.height)
            x += layout.width + BETWEEN * 1.5
        return bottom

    def shift(self, layout: Layout, x: float, y: float) -> None:
        for rect in (*layout.boxes.values(), *layout.frames.values()):
            rect.x += x
            rect.y += y
        for route in layout.routes:
            route.points = [(x + one, y + other) for one, other in route.points]
        self.boxes |= layout.boxes
        self.frames |= layout.frames
        self.routes += layout.routes

    def put_alone(self, names: list[str], top: float) -> float:
        if not names:
            return top
        limit = max(WIDE, self.width) if self.layouts else WIDE
        width = max(self.width_of(name) for name in names)
        in_row = max(1, min(int((limit + LONE) // (width + LONE)), len(names)))
        y = top + (BETWEEN if self.layouts else 0.0)
        for at, name in enumerate(names):
            row, column = divmod(at, in_row)
            place = BORDER + column * (width + LONE)
            self.boxes[name] = Rect(place, y + row * (32 + LONE), width, 32)
        return y + (len(names) - 1) // in_row * (32 + LONE) + 32

    # -- text ------------------------------------------------------------------------------

    def write(self) -> Iterator[str]:
        width, height = number(self.width), number(self.height)
        title = self.picture.title or "States"
        yield (
            f'<svg xmlns="http://www.w3.org/2000/svg" class="states-svg" width="{width}" '
            f'height="{height}" viewBox="0 0 {width} {height}" role="img">'
        )
        yield f"<title>{_text(title)}</title>"
        yield f"<style>{STYLE}</style>"
        yield f'<rect class="page" width="{width}" height="{height}" rx="8"/>'
        if self.picture.title:
            yield f'<text class="heading" x="{number(BORDER)}" y="30">{_text(title)}</text>'
        for at in self.frames:
            yield from self.frame(at)
        for idle in (True, False):
            for route in self.routes:
                if route.line.idle is idle:
                    yield from self.line(route)
        for name in self.picture.boxes:
            yield from self.box(self.picture.boxes[name], self.boxes[name])
        for x, y, content in self.legend:
            place = f"translate({number(BORDER + x)} {number(self.legend_top + y)})"
            yield f'<g class="legend" transform="{place}">{content}</g>'
        yield "</svg>"

    def frame(self, at: int) -> Iterator[str]:
        rect, frame = self.frames[at], self.picture.frames[at]
        kind = "frame apart" if frame.exclusive else "frame"
        yield (
            f'<g class="{kind}"><rect x="{number(rect.x)}" y="{number(rect.y)}" '
            f'width="{number(rect.width)}" height="{number(rect.height)}" rx="9"/>'
        )
        x, y = number(rect.x + 11), number(rect.y + 16)
        yield f'<text x="{x}" y="{y}">{_text(frame.heading)}</text></g>'

    def line(self, route: Route) -> Iterator[str]:
        line = route.line
        idle = " idle" if line.idle else ""
        told = f"{self.named(line.source)} {WORDS[line.kind]} {self.named(line.target)}"
        if line.both:
            told += ", and the other way round"
        yield f'<g class="line {line.kind.value}{idle}"><title>{_text(told)}</title>'
        yield f'<path class="{stroke_of(line.kind)}" d="{line_path(route)}"/>'
        end, before = route.points[-1], route.points[-2]
        yield end_mark(line.kind, *end, 1 if before[0] < end[0] else -1)
        if line.both:
            start, after = route.points[0], route.points[1]
            yield end_mark(line.kind, *start, 1 if after[0] < start[0] else -1)
        yield "</g>"

    def named(self, key: Key) -> str:
        if isinstance(key, str):
            return key
        frame = self.picture.frames[key]
        return frame.title or ", ".join(frame.members)

    def box(self, box: Box, rect: Rect) -> Iterator[str]:
        kind = "box"
        if box.active:
            kind += " active"
        if box.is_error:
            kind += " error"
        yield f'<g class="{kind}"><title>{_text(tooltip(box))}</title>'
        yield (
            f'<rect class="shape" x="{number(rect.x)}" y="{number(rect.y)}" '
            f'width="{number(rect.width)}" height="{number(rect.height)}" rx="6"/>'
        )
        middle = rect.y + rect.height / 2
        x, y = number(rect.x + SIDE), number(middle + 4.5)
        length = number(CHAR * _letters(box.name))
        yield f'<text class="name" x="{x}" y="{y}" textLength="{length}">{_text(box.name)}</text>'
        right = rect.x + rect.width - 8
        for at, pill in enumerate(reversed(self.pills(box))):
            width = _pill(pill)
            right -= width
            tick = box.tick is not None and at == 0
            yield (
                f'<rect class="{"tick" if tick else "pill"}" x="{number(right)}" '
                f'y="{number(middle - 7.5)}" width="{number(width)}" height="15" rx="7.5"/>'
            )
            yield (
                f'<text class="{"tick" if tick else "pill"}" x="{number(right + width / 2)}" '
                f'y="{number(middle + 3.4)}">{_text(pill)}</text>'
            )
            right -= 4
        yield "</g>"
