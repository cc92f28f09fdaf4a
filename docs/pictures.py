"""Pictures of the manual, drawn from the code: `python -m docs.pictures`.

The rooms of a package are drawn from its imports, floor above floor (`docs/rooms.py`). A trip is
drawn from the functions that it enters (`docs/trips.py`). The layout is computed here, without
chance, so that equal code gives equal pictures.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Iterable, Sequence
from html import escape
from itertools import pairwise
from pathlib import Path

from docs.rooms import EXCEPTIONS, FLOORS, ROOT, floor_of, imports, room_of
from docs.trips import TRIPS, Step
from machine.draw import draw
from node import ClientStates, PoolStates, WorkerStates

__all__ = ["main", "pictures"]

FOLDER = ROOT / "docs"

_CHARACTER = 7.3  # pixels of a character of the font
_STYLE = """\
<style>
text { font: 12px ui-monospace, Menlo, Consolas, 'DejaVu Sans Mono', monospace; fill: #1f2933 }
.title { font-weight: bold }
.note { fill: #52606d }
.box { fill: #e8f1fb; stroke: #2f6fab }
.floor { fill: #f7f9fb; stroke: #d9e2ec }
.lane { stroke: #cbd5e1; stroke-dasharray: 3 3 }
.arrow { fill: none; stroke: #7b8794; stroke-width: 1.2 }
.exception { stroke: #c2410c; stroke-dasharray: 5 3 }
</style>
<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" \
orient="auto"><path d="M0 0 8 4 0 8z" fill="#7b8794"/></marker></defs>
"""

_HEIGHT, _STOREY, _MARGIN, _SPACE = 28, 78, 16, 22
_ROW, _LANE = 40, 112

Edge = tuple[str, str]


def pictures() -> dict[Path, str]:
    """All pictures by their files."""
    made = {FOLDER / f"rooms-{package}.svg": _house(package) for package in ("grid", "machine")}
    made |= {FOLDER / f"trip-{name}.svg": _trip(steps) for name, steps in TRIPS.items()}
    made[FOLDER / "worker-states.svg"] = draw(WorkerStates, "svg") + "\n"
    made[FOLDER / "pool-states.svg"] = draw(PoolStates, "svg") + "\n"
    made[FOLDER / "client-states.svg"] = draw(ClientStates, "svg") + "\n"
    return made


def main() -> None:
    """Write the pictures that differ from the committed ones."""
    for path, text in pictures().items():
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
            print(path.relative_to(ROOT), file=sys.stderr)


# -- rooms -------------------------------------------------------------------------


def _house(package: str) -> str:
    floors = [sorted(_full(package, room) for room in floor) for floor in FLOORS[package]]
    edges, exceptions = _edges(package)
    ways, levels = _with_bends(_reduced(edges), floors)
    _untangle(levels, ways)
    places = _places(levels, ways)
    width = max(x + _width(node) / 2 for node, (x, _) in places.items()) + _MARGIN
    height = len(levels) * _STOREY + _MARGIN
    drawn = [_storey(level, width) for level in range(len(levels))]
    drawn += [_curve([places[node] for node in way], "arrow") for way in ways]
    drawn += [_curve([places[a], places[b]], "arrow exception") for a, b in sorted(exceptions)]
    for node, (x, y) in places.items():
        if not _is_bend(node):
            drawn.append(_box(x, y, node.partition(".")[2] or f"import {node}"))
    return _svg(width, height, drawn)


def _full(package: str, room: str) -> str:
    return f"{package}.{room}" if room else package


def _edges(package: str) -> tuple[set[Edge], set[Edge]]:
    """Imports between rooms, and those that are allowed as exceptions."""
    edges: set[Edge] = set()
    exceptions: set[Edge] = set()
    for one in imports(package):
        edge = room_of(one.importer), room_of(one.module)
        if edge[0] == edge[1] or None in (floor_of(edge[0]), floor_of(edge[1])):
            continue
        (exceptions if (one.importer, edge[1]) in EXCEPTIONS else edges).add(edge)
    return edges, exceptions


def _reduced(edges: set[Edge]) -> list[Edge]:
    """Those edges that no longer way says."""
    below: dict[str, set[str]] = defaultdict(set)
    for start, end in edges:
        below[start].add(end)

    def reaches(start: str, end: str, seen: set[str]) -> bool:
        if start == end:
            return True
        seen.add(start)
        return any(reaches(one, end, seen) for one in below[start] - seen)

    return sorted(
        (start, end)
        for start, end in edges
        if not any(reaches(one, end, {start}) for one in below[start] - {end})
    )


def _with_bends(
    edges: Iterable[Edge], floors: Sequence[Sequence[str]]
) -> tuple[list[list[str]], list[list[str]]]:
    """Ways with a bend on each level that they cross; the levels, the highest first.

    A floor is one level, or more where its rooms import each other.
    """
    edges = list(edges)
    levels: list[list[str]] = []
    for floor in reversed(floors):
        left, inside = set(floor), [edge for edge in edges if {*edge} <= {*floor}]
        while left:
            top = sorted(left - {end for start, end in inside if start in left})
            levels.append(top)
            left -= set(top)
    at = {node: number for number, level in enumerate(levels) for node in level}
    ways = []
    for start, end in edges:
        bends = [f"{start}>{end}>{level}" for level in range(at[start] + 1, at[end])]
        for level, bend in enumerate(bends, at[start] + 1):
            levels[level].append(bend)
        ways.append([start, *bends, end])
    return ways, levels


def _untangle(levels: list[list[str]], ways: Iterable[Sequence[str]]) -> None:
    """Order each level by the places of its neighbours above and below, in some sweeps."""
    above: dict[str, list[str]] = defaultdict(list)
    below: dict[str, list[str]] = defaultdict(list)
    for way in ways:
        for high, low in pairwise(way):
            above[low].append(high)
            below[high].append(low)
    for sweep in range(24):
        down = sweep % 2 == 0
        near = above if down else below
        for level in levels if down else levels[::-1]:
            place = {
                node: (number + 0.5) / len(other)
                for other in levels
                for number, node in enumerate(other)
            }

            def wanted(node: str, near: dict[str, list[str]] = near) -> float:
                others = near[node]
                return sum(place[one] for one in others) / len(others) if others else place[node]  # noqa: B023

            level.sort(key=lambda node: (round(wanted(node), 6), node))


def _places(
    levels: Sequence[Sequence[str]], ways: Iterable[Sequence[str]]
) -> dict[str, tuple[float, float]]:
    """Middles of the nodes: each level in its order, as near to its neighbours as there is room."""
    near: dict[str, list[str]] = defaultdict(list)
    for way in ways:
        for high, low in pairwise(way):
            near[low].append(high)
            near[high].append(low)
    x: dict[str, float] = {}
    for level in levels:
        at = 0.0
        for node in level:
            x[node] = at + _width(node) / 2
            at += _width(node) + _SPACE
        for node in level:
            x[node] -= at / 2
    for sweep in range(40):
        for level in levels if sweep % 2 else levels[::-1]:
            wanted = [
                sum(x[one] for one in near[node]) / len(near[node]) if near[node] else x[node]
                for node in level
            ]
            x.update(zip(level, _apart(level, wanted), strict=True))
    left = min(x[node] - _width(node) / 2 for level in levels for node in level)
    return {
        node: (x[node] - left + 2 * _MARGIN, _MARGIN + number * _STOREY + _STOREY / 2)
        for number, level in enumerate(levels)
        for node in level
    }


def _apart(level: Sequence[str], wanted: Sequence[float]) -> list[float]:
    """The places nearest to the wanted ones that keep the order and the space in between.

    Neighbours that would overlap become a block, whose members share their shift.
    """
    offsets, at = [], 0.0
    for number, node in enumerate(level):
        if number:
            at += (_width(level[number - 1]) + _width(node)) / 2 + _SPACE
        offsets.append(at)
    blocks: list[tuple[float, int]] = []  # the sum of the shifts, and the number of members
    for place, offset in zip(wanted, offsets, strict=True):
        total, count = place - offset, 1
        while blocks and blocks[-1][0] / blocks[-1][1] > total / count:
            before = blocks.pop()
            total, count = total + before[0], count + before[1]
        blocks.append((total, count))
    shifts = [total / count for total, count in blocks for _ in range(count)]
    return [offset + shift for offset, shift in zip(offsets, shifts, strict=True)]


def _is_bend(node: str) -> bool:
    return ">" in node


def _width(node: str) -> float:
    if _is_bend(node):
        return 6
    return len(node.partition(".")[2] or f"import {node}") * _CHARACTER + 20


def _storey(level: int, width: float) -> str:
    y = _MARGIN + level * _STOREY + 4
    return (
        f'<rect class="floor" x="8" y="{y}" width="{width - 8:.0f}" height="{_STOREY - 8}" rx="6"/>'
    )


def _curve(points: Sequence[tuple[float, float]], kind: str) -> str:
    (x, y), *rest = points
    upwards = bool(rest) and rest[-1][1] < y
    y += -_HEIGHT / 2 if upwards else _HEIGHT / 2
    parts = [f"M{x:.0f} {y:.0f}"]
    for number, (to_x, to_y) in enumerate(rest):
        if number == len(rest) - 1:
            to_y += _HEIGHT / 2 if upwards else -_HEIGHT / 2
        middle = (y + to_y) / 2
        parts.append(f"C{x:.0f} {middle:.0f} {to_x:.0f} {middle:.0f} {to_x:.0f} {to_y:.0f}")
        x, y = to_x, to_y
    return f'<path class="{kind}" marker-end="url(#tip)" d="{" ".join(parts)}"/>'


def _box(x: float, y: float, text: str) -> str:
    width = len(text) * _CHARACTER + 20
    return (
        f'<rect class="box" x="{x - width / 2:.0f}" y="{y - _HEIGHT / 2:.0f}" '
        f'width="{width:.0f}" height="{_HEIGHT}" rx="5"/>'
        f'<text x="{x:.0f}" y="{y + 4:.0f}" text-anchor="middle">{escape(text)}</text>'
    )


# -- trips -------------------------------------------------------------------------


def _trip(steps: Sequence[Step]) -> str:
    """A lane for each room, in the order of the first visits, and a row for each step."""
    rooms = list(dict.fromkeys(step.room for step in steps))
    lanes = {room: _MARGIN + (number + 0.5) * _LANE for number, room in enumerate(rooms)}
    text_at = _MARGIN + len(rooms) * _LANE + 8
    captions = [(step.function, step.note) for step in steps]
    width = text_at + max(len(one) for pair in captions for one in pair) * _CHARACTER + _MARGIN
    top = _MARGIN + _HEIGHT + 8
    height = top + len(steps) * _ROW + _MARGIN
    drawn = [
        f'<line class="lane" x1="{x:.0f}" y1="{top - 4}" x2="{x:.0f}" y2="{height - _MARGIN}"/>'
        for x in lanes.values()
    ]
    drawn += [_box(x, _MARGIN + _HEIGHT / 2, room) for room, x in lanes.items()]
    before: tuple[float, float] | None = None
    for number, (step, (title, note)) in enumerate(zip(steps, captions, strict=True)):
        x, y = lanes[step.room], top + number * _ROW + _ROW / 2
        if before is not None:
            drawn.append(_hop(before, (x, y)))
        drawn.append(f'<circle class="box" cx="{x:.0f}" cy="{y:.0f}" r="9"/>')
        drawn.append(f'<text x="{x:.0f}" y="{y + 4:.0f}" text-anchor="middle">{number + 1}</text>')
        drawn.append(
            f'<text class="title" x="{text_at:.0f}" y="{y - 2:.0f}">{escape(title)}</text>'
        )
        drawn.append(f'<text class="note" x="{text_at:.0f}" y="{y + 13:.0f}">{escape(note)}</text>')
        before = x, y
    return _svg(width, height, drawn)


def _hop(start: tuple[float, float], end: tuple[float, float]) -> str:
    (x, y), (to_x, to_y) = start, end
    if x == to_x:
        path = f"M{x:.0f} {y + 9:.0f} V{to_y - 10:.0f}"
    else:
        side = 10 if to_x < x else -10
        path = f"M{x:.0f} {y + 9:.0f} V{to_y:.0f} H{to_x + side:.0f}"
    return f'<path class="arrow" marker-end="url(#tip)" d="{path}"/>'


def _svg(width: float, height: float, drawn: Iterable[str]) -> str:
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}" '
        f'viewBox="0 0 {width:.0f} {height:.0f}">\n'
        '<rect width="100%" height="100%" fill="#fff"/>\n'
    )
    return head + _STYLE + "\n".join(drawn) + "\n</svg>\n"


if __name__ == "__main__":
    main()
