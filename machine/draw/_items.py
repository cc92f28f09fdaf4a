"""The contents of the columns of a picture, and their order.

Each item is put near the mean of its neighbours in the next column, from left to right and back
again, and the order with the fewest crossings is kept (Sugiyama, Tagawa and Toda, 1981).
"""

from __future__ import annotations

from bisect import bisect_left, insort
from dataclasses import dataclass, field
from typing import TypeAlias

from machine.draw._layers import Block
from machine.draw._picture import Key
from machine.schema.state import Relation

__all__ = ["PASSING", "Item", "Port", "put_in_order"]

PASSING = 9.0  # the height of a line that passes

Port: TypeAlias = tuple[Key, str, Relation, str]
"""The end of a line at a box: the box, left or right, the kind, tail or head."""


@dataclass(slots=True, eq=False)
class Item:
    """An entry of a column: a block, or a line that passes."""

    layer: int
    block: Block | None = None
    height: float = PASSING
    y: float = 0.0
    place: int = 0
    links: list[tuple[Port | None, Item, Port | None]] = field(default_factory=list)
    order: list[float] = field(default_factory=list)


def put_in_order(layers: list[list[Item]]) -> None:
    """Sort each column, in place."""
    _Ordering(layers).run()


class _Ordering:
    """Put the items of each column in an order with few crossings."""

    def __init__(self, layers: list[list[Item]]) -> None:
        self.layers = layers

    def run(self) -> None:
        self._number()
        best = [list(layer) for layer in self.layers]
        fewest = self._crossings()
        for turn in range(16):
            forward = turn % 2 == 0
            layers = self.layers if forward else self.layers[::-1]
            for layer in layers[1:]:
                self._sort(layer, -1 if forward else 1)
            crossings = self._crossings()
            if crossings < fewest:
                best, fewest = [list(layer) for layer in self.layers], crossings
        self.layers[:] = best
        self._number()

    def _number(self) -> None:
        for layer in self.layers:
            for at, item in enumerate(layer):
                item.place = at

    def _sort(self, layer: list[Item], side: int) -> None:
        size = len(layer)

        def mean(item: Item) -> float:
            near = [
                _fraction(other, port, len(self.layers[other.layer]))
                for _, other, port in item.links
                if other.layer == item.layer + side
            ]
            if not near:
                return (item.place + 0.5) / size
            return sum(near) / len(near)

        layer.sort(key=mean)
        for at, item in enumerate(layer):
            item.place = at

    def _crossings(self) -> int:
        count = 0
        for layer in self.layers:
            ends = sorted(
                (_fraction(item, own, 1), _fraction(other, theirs, 1))
                for item in layer
                for own, other, theirs in item.links
                if other.layer == item.layer + 1
            )
            seen: list[float] = []
            for _, end in ends:
                count += len(seen) - bisect_left(seen, end + 1e-9)
                insort(seen, end)
        return count


def _fraction(item: Item, port: Port | None, size: int) -> float:
    """The height of an item in its column, from 0 to 1; boxes of a frame are distinguished."""
    within = 0.5
    if port is not None and item.block is not None and isinstance(item.block.key, int):
        names = item.block.names
        within = 0.0 if isinstance(port[0], int) else (names.index(port[0]) + 1) / (len(names) + 1)
    return (item.place + within) / size
