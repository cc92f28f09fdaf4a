"""Two small pictures of a run, as SVG: request ratios, and how failovers are spread."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from bench.model import Row

__all__ = ["failover_svg", "request_svg"]

_WIDTH, _LEFT, _RIGHT, _LANE = 720, 170, 40, 34
_OURS, _BOUND, _INK = "#2f6f9f", "#b3452c", "#333"


def request_svg(rows: Iterable[Row]) -> str:
    """A bar for each number of callers: calls per second, as a part of the yardstick's."""
    rates = [row for row in rows if row.subject == "request" and row.least_ratio is not None]
    top = max(1.0, *(max((row.ratio or 0, *row.ratios)) for row in rates)) * 1.02
    parts = []
    for lane, row in enumerate(rates):
        y = _top(lane)
        ratio = row.ratio or 0.0
        parts.append(_text(_LEFT - 10, y + 16, row.case, anchor="end"))
        width = _x(ratio, top) - _LEFT
        parts.append(f'<rect x="{_LEFT}" y="{y}" width="{width:.1f}" height="20" fill="{_OURS}"/>')
        parts.append(_text(_LEFT + 8, y + 15, f"{ratio:.2f}", fill="#fff"))
        low, high = min(row.ratios, default=ratio), max(row.ratios, default=ratio)
        parts.append(_line(_x(low, top), y + 10, _x(high, top), y + 10, _INK))
    parts += _bounds([(0.8, "0.8 required"), (1.0, "bare grpc.aio")], top, len(rates))
    title = "Requests per second, as a part of a bare grpc.aio echo's (line: all rounds)"
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
