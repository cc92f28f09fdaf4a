"""The positions of all things in a part of a picture, and the ways of its lines.

Lines run from column to column. One that passes a column has a place of its own there (an Item
without a block), so that no line runs over a box. Items are put in an order with few crossings,
and then as near as they get to the height of their neighbours without changing that order.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from machine.draw._items import PASSING, Item, Port, put_in_order
from machine.draw._layers import Block, Part
from machine.draw._picture import Key, Line
from machine.schema.state import Relation

__all__ = ["Layout", "Rect", "Route"]

ROW = 32.0  # the height of a box
PORT = 12.0  # between lines at one side of a box
TITLE = 24.0  # above the boxes of a frame
PAD = 10.0  # inside a frame
INSIDE = 9.0  # between the boxes of a frame
APART = 18.0  # between blocks
STRAIGHT = 8.0  # weight of a passing line's wish for its height; that of a block is 1
MARGIN = 13.0  # before a curve begins, for an arrow's head
CURVE = 44.0  # the width of curves
HIGHEST = 6  # boxes below each other in a frame, if no lines lead to them
LANE = 9.0  # between lines that connect blocks of one column


@dataclass(slots=True)
class Rect:
    """A place on the plane."""

    x: float
    y: float
    width: float
    height: float


@dataclass(slots=True)
class Route:
    """The way of a line: points where it bends; `bow` if it goes round on the right side."""

    line: Line
    points: list[tuple[float, float]]
    bow: bool = False


class Layout:
    """One part, laid out: `boxes`, `frames`, `routes`, `width` and `height`."""

    def __init__(self, part: Part, width_of: Callable[[Key], float]) -> None:
        self.part = part
        self.boxes: dict[str, Rect] = {}
        self.frames: dict[int, Rect] = {}
        self.routes: list[Route] = []
        self._items: dict[Key, Item] = {}
        self._ports: dict[Port, list[tuple[Item, Port | None]]] = {}
        self._offsets: dict[Port, float] = {}
        self._inner: dict[str, tuple[float, float]] = {}
        self._chains: list[tuple[Line, list[Item], Port, Port]] = []
        for block in part.blocks:
            item = Item(block.layer, block)
            self._items[block.key] = item
            for name in block.names:
                self._items[name] = item
        depth = max(block.layer for block in part.blocks) + 1
        self._layers: list[list[Item]] = [[] for _ in range(depth)]
        for block in part.blocks:
            self._layers[block.layer].append(self._items[block.key])
        self._thread_lines()
        for item in {id(one): one for one in self._items.values()}.values():
            self._measure(item)
        put_in_order(self._layers)
        for _ in range(3):
            self._spread_ports()
            self._align()
        self._columns(width_of)
        self._place()
        self._route()

    # -- connections -----------------------------------------------------------------------

    def _thread_lines(self) -> None:
        passing: dict[tuple[int, Relation, bool, Key], Item] = {}
        for line in self.part.lines:
            source, target = self._items[line.source], self._items[line.target]
            step = (target.layer > source.layer) - (target.layer < source.layer)
            tail: Port = (line.source, "left" if step < 0 else "right", line.kind, "tail")
            head: Port = (line.target, "left" if step > 0 else "right", line.kind, "head")
            if line.both:
                tail = (*tail[:3], "both")
                head = (*head[:3], "both")
            chain = [source]
            for layer in range(source.layer + step, target.layer, step or 1):
                key = (layer, line.kind, line.both, line.target)
                if key not in passing:
                    passing[key] = Item(layer)
                    self._layers[layer].append(passing[key])
                chain.append(passing[key])
            chain.append(target)
            self._chains.append((line, chain, tail, head))
            self._link(chain, tail, head)

    def _link(self, chain: list[Item], tail: Port, head: Port) -> None:
        last = len(chain) - 2
        for at, (one, other) in enumerate(pairwise(chain)):
            out = tail if at == 0 else None
            into = head if at == last else None
            if one.layer != other.layer:
                one.links.append((out, other, into))
                other.links.append((into, one, out))
            if out is not None:
                self._ports.setdefault(out, []).append((other, into))
            if into is not None:
                self._ports.setdefault(into, []).append((one, out))

    def _at_side(self, key: Key, side: str) -> list[Port]:
        return [port for port in self._ports if port[0] == key and port[1] == side]

    def _most(self, key: Key) -> int:
        return max(len(self._at_side(key, "left")), len(self._at_side(key, "right")))

    def _measure(self, item: Item) -> None:
        """The height of a block, and where its boxes are in it."""
        block = item.block
        if block is None:
            return
        framed = isinstance(block.key, int)
        top = y = max(TITLE, PORT * self._most(block.key) + 4) if framed else 0.0
        rows = len(block.names)
        if rows > HIGHEST and not any(self._most(name) for name in block.names):
            block.columns = math.ceil(rows / HIGHEST)
            rows = math.ceil(rows / block.columns)
        for at, name in enumerate(block.names):
            y = top if at % rows == 0 else y
            height = max(ROW, PORT * self._most(name) + 6)
            self._inner[name] = (y, height)
            y += height + INSIDE
            item.height = max(item.height, y - INSIDE + (PAD if framed else 0.0))

    # -- heights ---------------------------------------------------------------------------

    def _height_of(self, item: Item, port: Port | None) -> float:
        return item.y + (self._offsets.get(port, 0.0) if port else PASSING / 2)

    def _spread_ports(self) -> None:
        """Give each port its place at its box, in the order of the other ends of its lines."""
        sides: dict[tuple[Key, str], list[Port]] = {}
        for port in self._ports:
            sides.setdefault(port[:2], []).append(port)
        for (key, _), ports in sides.items():
            where = {port: self._leads_to(self._items[key], port) for port in ports}
            ports.sort(key=lambda port: where[port])
            if isinstance(key, int):
                top, height = 0.0, max(TITLE, PORT * self._most(key) + 4)
            else:
                top, height = self._inner[key]
            gap = min(PORT + 2, height / (len(ports) + 1))
            middle = top + height / 2 - gap * (len(ports) - 1) / 2
            for at, port in enumerate(ports):
                self._offsets[port] = middle + at * gap

    def _leads_to(self, item: Item, port: Port) -> float:
        """The mean height of the other ends of a port's lines; ways round must not cross."""
        heights = []
        for other, theirs in self._ports[port]:
            height = self._height_of(other, theirs)
            if other.layer == item.layer:
                here = self._height_of(item, port)
                height = here + 1e5 / (height - here or 1.0)
            heights.append(height)
        return sum(heights) / len(heights)

    def _align(self) -> None:
        for layer in self._layers:
            if all(item.y == 0.0 for item in layer):
                _stack(layer, [0.0] * len(layer))
        count = len(self._layers)
        for side in (-1, 1, -1, 1, 0, 0, 1, -1):
            sweep = range(count) if side < 0 else range(count - 1, -1, -1)
            for at in sweep:
                layer = self._layers[at]
                _stack(layer, [self._wish(item, side) for item in layer])
        top = min(item.y for layer in self._layers for item in layer)
        for layer in self._layers:
            for item in layer:
                item.y -= top

    def _wish(self, item: Item, side: int) -> float:
        """The height of an item that suits its neighbours on one side, or all of them (0)."""
        wishes = [
            self._height_of(other, theirs) - (self._offsets.get(own, 0.0) if own else PASSING / 2)
            for own, other, theirs in item.links
            if not side or other.layer == item.layer + side
        ]
        return median(wishes) if wishes else item.y

    # -- places ----------------------------------------------------------------------------

    def _columns(self, width_of: Callable[[Key], float]) -> None:
        self._lanes = [_Lanes() for _ in self._layers]
        bows = []
        for line, chain, tail, head in self._chains:
            if chain[0].layer == chain[-1].layer:
                ends = self._height_of(chain[0], tail), self._height_of(chain[-1], head)
                bows.append((min(ends), max(ends), chain[0].layer, line))
        self._lane_of: dict[Line, int] = {}
        for top, bottom, at, line in sorted(bows, key=lambda bow: bow[1] - bow[0]):
            self._lane_of[line] = self._lanes[at].take(top, bottom)
        self._x: list[float] = []
        self._widths: list[float] = []
        x = 0.0
        for layer, lanes in zip(self._layers, self._lanes, strict=True):
            width = max(
                (_block_width(item.block, width_of) for item in layer if item.block), default=40.0
            )
            self._x.append(x)
            self._widths.append(width)
            x += width + 2 * MARGIN + CURVE + LANE * lanes.count
        last = self._lanes[-1].count
        self.width = x - 2 * MARGIN - CURVE - LANE * last
        if last:
            self.width += MARGIN + LANE * last + 4
        self.height = max(item.y + item.height for layer in self._layers for item in layer)

    def _place(self) -> None:
        for layer, x, width in zip(self._layers, self._x, self._widths, strict=True):
            for item in layer:
                block = item.block
                if block is None:
                    continue
                inset = 0.0
                if isinstance(block.key, int):
                    inset = PAD
                    self.frames[block.key] = Rect(x, item.y, width, item.height)
                rows = math.ceil(len(block.names) / block.columns)
                wide = (width - 2 * inset + INSIDE) / block.columns - INSIDE
                for at, name in enumerate(block.names):
                    y, height = self._inner[name]
                    left = x + inset + at // rows * (wide + INSIDE)
                    self.boxes[name] = Rect(left, item.y + y, wide, height)

    def _edge(self, key: Key, side: str) -> float:
        rect = self.frames[key] if isinstance(key, int) else self.boxes[key]
        return rect.x if side == "left" else rect.x + rect.width

    def _route(self) -> None:
        for line, chain, tail, head in self._chains:
            start = (self._edge(line.source, tail[1]), self._height_of(chain[0], tail))
            end = (self._edge(line.target, head[1]), self._height_of(chain[-1], head))
            layer = chain[0].layer
            if layer == chain[-1].layer:
                right = self._x[layer] + self._widths[layer]
                x = right + MARGIN + LANE * (self._lane_of[line] + 0.5)
                self.routes.append(Route(line, [start, (x, start[1]), (x, end[1]), end], bow=True))
                continue
            forward = chain[-1].layer > layer
            points = [start]
            for at, item in enumerate(chain):
                left = self._x[item.layer] - MARGIN
                right = self._x[item.layer] + self._widths[item.layer] + MARGIN
                y = start[1] if at == 0 else end[1]
                if 0 < at < len(chain) - 1:
                    y = item.y + PASSING / 2
                    points.append((left if forward else right, y))
                if at < len(chain) - 1:
                    points.append((right if forward else left, y))
                else:
                    points.append((left if forward else right, y))
            points.append(end)
            self.routes.append(Route(line, points))


def _block_width(block: Block, width_of: Callable[[Key], float]) -> float:
    widest = max(width_of(name) for name in block.names)
    if isinstance(block.key, int):
        columns = (widest + INSIDE) * block.columns - INSIDE
        return max(columns, width_of(block.key)) + 2 * PAD
    return widest


def _stack(layer: list[Item], wishes: Iterable[float]) -> None:
    """Put items below each other, each as near to where it wants to be as the others allow."""
    tops, total = [], 0.0
    for at, item in enumerate(layer):
        tops.append(total)
        below = layer[at + 1] if at + 1 < len(layer) else item
        apart = (
            APART if item.block and below.block else APART / 2 if item.block or below.block else 2
        )
        total += item.height + apart
    pools: list[tuple[float, float, int]] = []  # the mean of the wishes, their weight and number
    for item, wish, top in zip(layer, wishes, tops, strict=True):
        pools.append((wish - top, 1.0 if item.block else STRAIGHT, 1))
        while len(pools) > 1 and pools[-2][0] >= pools[-1][0]:
            (one, some, count), (other, more, number) = pools[-2:]
            mean = (one * some + other * more) / (some + more)
            pools[-2:] = [(mean, some + more, count + number)]
    shifts = [shift for shift, _, count in pools for _ in range(count)]
    for item, top, shift in zip(layer, tops, shifts, strict=True):
        item.y = top + shift


class _Lanes:
    """Lines that go round on the right of a column, those that overlap in different lanes."""

    def __init__(self) -> None:
        self.taken: list[list[tuple[float, float]]] = []

    @property
    def count(self) -> int:
        return len(self.taken)

    def take(self, top: float, bottom: float) -> int:
        for at, lane in enumerate(self.taken):
            if all(bottom + 4 < one or other + 4 < top for one, other in lane):
                lane.append((top, bottom))
                return at
        self.taken.append([(top, bottom)])
        return len(self.taken) - 1
