"""The columns of a picture, and the part that stands in each.

A block is a state, or a frame with its states below each other. Blocks that a block requires stand
to its left, those that it adds to its right, as far as there are no cycles. Parts that no line
connects are laid out one by one.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

from machine.draw._picture import Key, Line, Picture
from machine.schema.state import Relation

__all__ = ["Block", "Part", "parts_of"]


@dataclass(slots=True, eq=False)
class Block:
    """A state, or a frame; `key` as in lines, `columns` of boxes inside."""

    key: Key
    names: tuple[str, ...]
    layer: int = 0
    columns: int = 1
    before: list[Block] = field(default_factory=list)
    beside: list[Block] = field(default_factory=list)


@dataclass(slots=True)
class Part:
    """Blocks that lines connect."""

    blocks: list[Block]
    lines: list[Line]


def parts_of(picture: Picture) -> tuple[list[Part], list[str]]:
    """The parts that have lines or frames, and the states that have neither."""
    blocks: dict[Key, Block] = {}
    framed = picture.framed
    for name in picture.boxes:
        key: Key = framed.get(name, name)
        if key not in blocks:
            names = picture.frames[key].members if isinstance(key, int) else (name,)
            blocks[key] = Block(key, names)
    owner: dict[Key, Block] = {**blocks}
    owner.update({name: blocks[at] for name, at in framed.items()})
    ends = [(owner[line.source], owner[line.target], line) for line in picture.lines]
    parts, alone = [], []
    for members in _connected(list(blocks.values()), ends):
        lines = [line for source, _, line in ends if source in members]
        if not lines and isinstance(members[0].key, str):
            alone += list(members[0].names)
            continue
        _constrain(members, [end for end in ends if end[0] in members])
        _assign(members)
        parts.append(Part(members, lines))
    return parts, alone


def _connected(blocks: list[Block], ends: list[tuple[Block, Block, Line]]) -> Iterator[list[Block]]:
    near: dict[Key, list[Block]] = {block.key: [] for block in blocks}
    for source, target, _ in ends:
        near[source.key].append(target)
        near[target.key].append(source)
    seen: set[Key] = set()
    for block in blocks:
        if block.key in seen:
            continue
        seen.add(block.key)
        found, todo = {block.key}, [block]
        while todo:
            for other in near[todo.pop().key]:
                if other.key not in seen:
                    seen.add(other.key)
                    found.add(other.key)
                    todo.append(other)
        yield [one for one in blocks if one.key in found]


def _constrain(blocks: list[Block], ends: list[tuple[Block, Block, Line]]) -> None:
    """Note the order of columns; a constraint that would close a cycle is left out."""
    for kind in (Relation.REQUIRE, Relation.ADD, Relation.REMOVE, Relation.AFTER):
        for source, target, line in ends:
            if line.kind is not kind or source is target:
                continue
            if kind in (Relation.REMOVE, Relation.AFTER):
                source.beside.append(target)
                target.beside.append(source)
                continue
            left, right = (target, source) if kind is Relation.REQUIRE else (source, target)
            if left not in right.before and not _stands_before(right, left):
                right.before.append(left)
            elif left not in right.before:
                source.beside.append(target)
                target.beside.append(source)


def _stands_before(left: Block, right: Block) -> bool:
    seen, todo = {right.key}, [right]
    while todo:
        for other in todo.pop().before:
            if other is left:
                return True
            if other.key not in seen:
                seen.add(other.key)
                todo.append(other)
    return False


def _assign(blocks: list[Block]) -> None:
    """Give each block a column: the first one possible, but columns do not grow without limit."""
    size = sum(len(block.names) for block in blocks)
    columns = _Columns(max(9, math.ceil(1.7 * math.sqrt(size))))
    after: dict[Key, list[Block]] = {block.key: [] for block in blocks}
    for block in blocks:
        for other in block.before:
            after[other.key].append(block)
    placed: set[Key] = set()
    waiting = [block for block in blocks if block.before or after[block.key]]
    while waiting:
        ready = [one for one in waiting if all(other.key in placed for other in one.before)]
        for block in ready:
            columns.put(block, max((other.layer + 1 for other in block.before), default=0))
            placed.add(block.key)
        waiting = [one for one in waiting if one.key not in placed]
    for block in blocks:
        if block.key in placed and not block.before:
            nearest = min(other.layer for other in after[block.key]) - 1
            if nearest > block.layer:
                columns.move(block, nearest)
    _assign_beside(blocks, placed, columns)
    used = sorted({block.layer for block in blocks})
    for block in blocks:
        block.layer = used.index(block.layer)


def _assign_beside(blocks: list[Block], placed: set[Key], columns: _Columns) -> None:
    """Blocks that nothing puts left or right of another stand next to those they have lines to."""
    todo = [block for block in blocks if block.key in placed]
    while len(placed) < len(blocks):
        if not todo:
            first = max(
                (block for block in blocks if block.key not in placed),
                key=lambda block: len(block.beside),
            )
            columns.put(first, 0)
            placed.add(first.key)
            todo.append(first)
        block = todo.pop(0)
        for other in block.beside:
            if other.key not in placed:
                columns.put(other, block.layer + 1)
                placed.add(other.key)
                todo.append(other)


class _Columns:
    """The height of each column."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.load: dict[int, int] = {}

    def put(self, block: Block, layer: int) -> None:
        while self.load.get(layer) and self.load[layer] + len(block.names) > self.most:
            layer += 1
        block.layer = layer
        self.load[layer] = self.load.get(layer, 0) + len(block.names)

    def move(self, block: Block, layer: int) -> None:
        if self.load.get(layer, 0) + len(block.names) <= self.most:
            self.load[block.layer] -= len(block.names)
            self.load[layer] = self.load.get(layer, 0) + len(block.names)
            block.layer = layer
