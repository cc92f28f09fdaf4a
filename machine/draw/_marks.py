"""Strokes, ends of lines and colours of SVG pictures."""

from __future__ import annotations

from collections.abc import Mapping

from machine.draw._layout import Route
from machine.schema.state import Relation

__all__ = ["STYLE", "end_mark", "line_path", "number", "stroke_of"]

_END = 10.0  # the part of a line that its end covers
_BAR = 3.0  # between a bar and its box

_LIGHT = {
    "page": "#ffffff",
    "text": "#1f2328",
    "dim": "#57606a",
    "box": "#f6f8fa",
    "edge": "#8c959f",
    "pill": "#e4e8ec",
    "active": "#1a7f37",
    "error": "#cf222e",
    "require": "#0969da",
    "add": "#8250df",
    "remove": "#cf222e",
    "after": "#6e7781",
    "frame": "#8c959f",
    "tint": "0.05",
}
_DARK = {
    "page": "#0d1117",
    "text": "#e6edf3",
    "dim": "#9198a1",
    "box": "#1c2128",
    "edge": "#6e7681",
    "pill": "#343b44",
    "active": "#2ea043",
    "error": "#da3633",
    "require": "#58a6ff",
    "add": "#bc8cff",
    "remove": "#ff7b72",
    "after": "#9198a1",
    "frame": "#6e7681",
    "tint": "0.09",
}


def _rules(shape: str, colours: Mapping[str, str]) -> str:
    """CSS with the colours put in and each rule bound to the picture's class."""
    for name, colour in colours.items():
        shape = shape.replace(f"@{name}@", colour)
    rules = []
    for rule in shape.split("\n"):
        if rule.strip():
            names, _, body = rule.partition("{")
            bound = ",".join(f".states-svg {name.strip()}" for name in names.split(","))
            rules.append(f"{bound}{{{body}")
    return "".join(rules)


_SHAPES = """
text{font:13px ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace}
.heading{font:600 16px system-ui,"Segoe UI",Helvetica,Arial,sans-serif}
.frame text,.legend text{font:600 11px system-ui,"Segoe UI",Helvetica,Arial,sans-serif}
.legend text{font-weight:400}
text.pill,text.tick{font:10px system-ui,"Segoe UI",Helvetica,Arial,sans-serif;text-anchor:middle}
text.tick{font-weight:700}
.active .name{font-weight:600}
path{fill:none;stroke-width:1.6}
.dashed{stroke-dasharray:6 3}
.dotted{stroke-dasharray:1.5 4;stroke-linecap:round}
.idle{opacity:.4}
.apart rect{stroke-dasharray:5 3}
.add polygon{stroke-width:1.4}
"""
_COLOURS = """
.page{fill:@page@}
text{fill:@text@}
.legend text{fill:@dim@}
.shape{fill:@box@;stroke:@edge@}
.error .shape{stroke:@error@}
.active .shape{fill:@active@;stroke:@active@}
.active.error .shape{fill:@error@;stroke:@error@}
.active text{fill:#ffffff}
rect.pill{fill:@pill@}
rect.tick{fill:none;stroke:@edge@}
.active rect.pill{fill:#000000;fill-opacity:.22}
.active rect.tick{fill:#ffffff;stroke:none}
.active text.tick{fill:@active@}
.active.error text.tick{fill:@error@}
.frame rect{fill:@frame@;fill-opacity:@tint@;stroke:@frame@}
.frame text{fill:@dim@}
.apart rect{fill:@remove@;stroke:@remove@}
.apart text{fill:@remove@}
.require path{stroke:@require@}
.require polygon{fill:@require@}
.add path{stroke:@add@}
.add polygon{fill:@page@;stroke:@add@}
.remove path{stroke:@remove@}
.after path{stroke:@after@}
"""
STYLE = (
    _rules(_SHAPES, {})
    + _rules(_COLOURS, _LIGHT)
    + f"@media (prefers-color-scheme:dark){{{_rules(_COLOURS, _DARK)}}}"
)

_STROKES = {Relation.ADD: "dashed", Relation.AFTER: "dotted"}


def stroke_of(kind: Relation) -> str:
    """The class of a line's stroke."""
    return _STROKES.get(kind, "solid")


def number(value: float) -> str:
    """A number as short as it may be."""
    return f"{value:.1f}".removesuffix(".0")


def end_mark(kind: Relation, x: float, y: float, way: int) -> str:
    """The mark at the end of a line that comes to x from the left (1) or the right (-1)."""

    def points(*pairs: tuple[float, float]) -> str:
        return " ".join(f"{number(x - way * dx)},{number(y + dy)}" for dx, dy in pairs)

    match kind:
        case Relation.REQUIRE:
            return f'<polygon points="{points((0.5, 0), (_END, -4.5), (_END, 4.5))}"/>'
        case Relation.ADD:
            return f'<polygon points="{points((1.5, 0), (_END, -4.5), (_END, 4.5))}"/>'
        case Relation.REMOVE:
            one, other = points((_BAR, -5.5)), points((_BAR, 5.5))
            return f'<path style="stroke-width:2.6" d="M{one} L{other}"/>'
        case Relation.AFTER:
            tip = points((1.5, 0))
            return f'<path d="M{points((7, -4.5))} L{tip} L{points((7, 4.5))}"/>'


def _short(kind: Relation) -> float:
    """The length by which a line is shorter for its end mark."""
    return {Relation.REMOVE: _BAR, Relation.AFTER: 2.0}.get(kind, _END)


def line_path(route: Route) -> str:
    """The `d` of a line's path: straight along columns, curves between them."""
    points = list(route.points)
    kind = route.line.kind
    points[-1] = _nearer(points[-1], points[-2], _short(kind))
    if route.line.both:
        points[0] = _nearer(points[0], points[1], _short(kind))
    if route.bow:
        return _bow(points)
    parts = [f"M{_pair(*points[0])}"]
    for at in range(1, len(points)):
        (x1, y1), (x2, y2) = points[at - 1], points[at]
        if at % 2 == 1 or abs(y1 - y2) < 0.3:
            parts.append(f"L{_pair(x2, y2)}")
        else:
            bend = (x2 - x1) * 0.55
            parts.append(f"C{_pair(x1 + bend, y1)} {_pair(x2 - bend, y2)} {_pair(x2, y2)}")
    return " ".join(parts)


def _bow(points: list[tuple[float, float]]) -> str:
    (x1, y1), (x, _), _, (x2, y2) = points
    way = 1 if y2 > y1 else -1
    turn = min(7.0, abs(y2 - y1) / 2)
    return (
        f"M{_pair(x1, y1)} L{_pair(x - turn, y1)} Q{_pair(x, y1)} {_pair(x, y1 + way * turn)} "
        f"L{_pair(x, y2 - way * turn)} Q{_pair(x, y2)} {_pair(x - turn, y2)} L{_pair(x2, y2)}"
    )


def _nearer(end: tuple[float, float], other: tuple[float, float], by: float) -> tuple[float, float]:
    return (end[0] - by if other[0] < end[0] else end[0] + by), end[1]


def _pair(x: float, y: float) -> str:
    return f"{number(x)},{number(y)}"
