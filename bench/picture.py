"""Small pictures of a run, as SVG: request ratios, systems side by side, failovers."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from bench.model import REQUESTS, Row, callers_case, median

__all__ = ["failover_svg", "machine_svg", "request_svg", "transport_svg"]

_WIDTH, _LEFT, _RIGHT, _LANE = 720, 170, 40, 34
_OURS, _BOUND, _INK = "#2f6f9f", "#b3452c", "#333"
_SHADES = {1: "#a9c7dd", 16: "#5c96bf", 128: "#1d4e75"}  # by callers
_US = "this grid"
_LEAST = 100.0  # where the logarithmic axis begins
_MACHINES = {  # who is drawn beside our machines, and how
    "transitions": "#d9902f",
    "transitions, AsyncMachine": "#d9902f",
    "python-statemachine": "#8a5a9e",
}
_WIDER = 110  # their lanes have longer names


def request_svg(rows: Iterable[Row]) -> str:
    """A bar for each number of callers: calls per second, as a part of the yardstick's."""
    rates = [row for row in rows if row.subject == "request" and row.least_ratio is not None]
    top = max(1.0, *(max((row.ratio or 0, *row.ratios)) for row in rates)) * 1.08
    parts = []
    for lane, row in enumerate(rates):
        y = _top(lane)
        ratio = row.ratio or 0.0
        parts.append(_text(_LEFT - 10, y + 16, row.case, anchor="end"))
        width = _x(ratio, top) - _LEFT
        parts.append(f'<rect x="{_LEFT}" y="{y}" width="{width:.1f}" height="20" fill="{_OURS}"/>')
        low, high = min(row.ratios, default=ratio), max(row.ratios, default=ratio)
        parts.append(_text(max(_x(ratio, top), _x(high, top)) + 6, y + 15, f"{ratio:.1f}"))
        parts.append(_line(_x(low, top), y + 10, _x(high, top), y + 10, _INK))
    parts += _bounds([(1.0, "bare grpc.aio")], top, len(rates))
    title = "Requests per second, as a multiple of a bare grpc.aio echo's (line: all rounds)"
    return _svg(title, parts, len(rates))


def failover_svg(rows: Iterable[Row]) -> str:
    """A dot for each failover, on a lane for each way to end the leader's peer."""
    lanes = [row for row in rows if row.subject == "failover" and row.samples]
    top = max(max(row.most or 0, *row.samples) for row in lanes) * 1.05
    parts = []
    for lane, row in enumerate(lanes):
        y = _top(lane) + 10
        parts.append(_text(_LEFT - 10, y + 5, row.case, anchor="end"))
        parts.append(_line(_LEFT, y, _WIDTH - _RIGHT, y, "#ddd"))
        parts += _dots(row.samples, y, top)
        if row.most is not None:
            x = _x(row.most, top)
            parts.append(_line(x, y - 12, x, y + 12, _BOUND))
            parts.append(_text(x + 4, y - 4, f"{row.most:g} s", fill=_BOUND))
    return _svg("Seconds until the next leader acts (red: at most)", parts, len(lanes))


def transport_svg(rows: Iterable[Row]) -> str:
    """A lane for each system, a dot for each number of callers: requests per second.

    Empty if there are no such rows.
    """
    rates = _rates(rows)
    if not rates:
        return ""
    systems = sorted(rates, key=lambda name: -max(rates[name].values()))
    top = max(max(of.values()) for of in rates.values()) * 1.3
    parts = _decades(top, len(systems))
    for lane, name in enumerate(systems):
        y = _top(lane) + 10
        ink = _OURS if name == _US else _INK
        parts.append(_text(_LEFT - 10, y + 5, name, anchor="end", fill=ink))
        points = [(_log_x(rate, top), callers) for callers, rate in sorted(rates[name].items())]
        parts.append(_line(points[0][0], y, points[-1][0], y, "#ccc"))
        parts += [
            f'<circle cx="{x:.1f}" cy="{y}" r="6" fill="{_SHADES[callers]}"/>'
            for x, callers in points
        ]
    return _svg(
        "Requests per second with 1, 16 and 128 callers (light to dark)", parts, len(systems)
    )


def machine_svg(rows: Iterable[Row]) -> str:
    """A lane for each way to mutate, a dot for us and for each of the others.

    Empty if there are no such rows.
    """
    lanes: dict[str, dict[str, float]] = {}
    for row in rows:
        drawn = row.against in _MACHINES and "asyncio" not in row.case
        if row.subject == "machine" and row.unit == "/s" and drawn:
            case = row.case.replace(" with relations", "").removesuffix(", uvloop")
            lane = lanes.setdefault(case, {_OURS: row.ours})
            ink = _MACHINES[row.against]
            lane[ink] = max(row.yardstick or _LEAST, lane.get(ink, 0.0))
    if not lanes:
        return ""
    top = max(max(lane.values()) for lane in lanes.values()) * 1.3
    parts = _decades(top, len(lanes), _WIDER)
    for number, (case, lane) in enumerate(lanes.items()):
        y = _top(number) + 10
        parts.append(_text(_LEFT + _WIDER - 10, y + 5, case, anchor="end"))
        for ink, rate in lane.items():
            x = _log_x(rate, top, _WIDER)
            parts.append(f'<circle cx="{x:.1f}" cy="{y}" r="6" fill="{ink}"/>')
    who = "blue: ours, orange: transitions, violet: python-statemachine"
    return _svg(f"Mutations per CPU second ({who})", parts, len(lanes))


def _rates(rows: Iterable[Row]) -> dict[str, dict[int, float]]:
    """Of each system, by callers; ours is the median of its figures beside all the others."""
    found: dict[str, dict[int, list[float]]] = {}
    cases = {callers_case(callers): callers for callers in _SHADES}
    for row in rows:
        if row.subject == "transport" and row.figure == REQUESTS and row.case in cases:
            callers = cases[row.case]
            found.setdefault(_US, {}).setdefault(callers, []).append(row.ours)
            theirs = found.setdefault(row.against, {})
            theirs.setdefault(callers, []).append(row.yardstick or _LEAST)
    return {
        name: {callers: median(values) for callers, values in of.items()}
        for name, of in found.items()
    }


def _decades(top: float, lanes: int, wider: int = 0) -> list[str]:
    parts = []
    for power in range(round(math.log10(_LEAST)), math.floor(math.log10(top)) + 1):
        x = _log_x(10.0**power, top, wider)
        parts.append(_line(x, _top(0) - 6, x, _top(lanes), "#eee"))
        parts.append(_text(x, _top(lanes) + 14, f"{10**power:,}", anchor="middle"))
    return parts


def _log_x(value: float, top: float, wider: int = 0) -> float:
    left = _LEFT + wider
    part = math.log(max(value, _LEAST) / _LEAST) / math.log(top / _LEAST)
    return left + part * (_WIDTH - left - _RIGHT)


def _dots(values: Sequence[float], y: float, top: float) -> list[str]:
    return [
        f'<circle cx="{_x(value, top):.1f}" cy="{y}" r="4" fill="{_OURS}" fill-opacity="0.45"/>'
        for value in values
    ]


def _bounds(marks: Sequence[tuple[float, str]], top: float, lanes: int) -> list[str]:
    end = _top(lanes)
    parts = []
    for value, label in marks:
        x = _x(value, top)
        parts.append(_line(x, _top(0) - 6, x, end, _BOUND))
        parts.append(_text(x, end + 14, label, anchor="middle", fill=_BOUND))
    return parts


def _x(value: float, top: float) -> float:
    return _LEFT + value / top * (_WIDTH - _LEFT - _RIGHT)


def _top(lane: int) -> float:
    return 44 + lane * _LANE


def _text(x: float, y: float, text: str, *, anchor: str = "start", fill: str = _INK) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{fill}">{text}</text>'


def _line(x1: float, y1: float, x2: float, y2: float, stroke: str) -> str:
    return f'<path d="M{x1:.1f} {y1:.1f}L{x2:.1f} {y2:.1f}" stroke="{stroke}" stroke-width="1.5"/>'


def _svg(title: str, parts: Sequence[str], lanes: int) -> str:
    height = _top(lanes) + 26
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" '
        f'font-family="sans-serif" font-size="13">'
    )
    ground = f'<rect width="{_WIDTH}" height="{height}" fill="#fff"/>'
    return "\n".join([head, ground, _text(16, 24, title), *parts, "</svg>\n"])
