"""The deadlines of many exchanges: finds the overdue ones at the cost of a comparison each.

A timer, or a place in a heap, for each exchange would cost as much as sending
it; and nearly all exchanges end long before they are due. So numbers that
follow one another form a group, a heap holds the groups by the earliest
deadline in each, and only a group that is due is looked into: overdue
exchanges are returned, the rest becomes a group again. Groups whose exchanges have long ended
would stay until their time comes; when they are many the heap is rebuilt
from the exchanges that are still open.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from heapq import heapify, heappop, heappush
from typing import Any

__all__ = ["Deadlines"]

_GROUP = 64


class Deadlines:
    """The deadlines of numbered exchanges.

    Args:
        table: the open exchanges by number; the second part of each is its deadline.

    Attributes:
        last: the last number of the open group. A caller that adds very often sets
            this and `earliest` itself, as `add` does, and calls
            `close_group` now and then.
        earliest: the earliest deadline in the open group.
    """

    __slots__ = ("_first", "_heap", "_table", "earliest", "last")

    def __init__(self, table: Mapping[int, tuple[Any, float, Any]]) -> None:
        self._table = table
        self._heap: list[tuple[float, int, int]] = []  # earliest deadline, first, last number
        self._first = 0
        self.last: int = 0
        self.earliest: float = math.inf

    def add(self, number: int, at: float) -> bool:
        """Note the deadline of a number, larger than all before; True if it is the next one."""
        sooner = at < self.next()
        self.last = number
        if at < self.earliest:
            self.earliest = at
        if number - self._first >= _GROUP:
            self.close_group()
        return sooner

    def close_group(self) -> None:
        """Put the exchanges that follow into another group."""
        if self.earliest < math.inf:
            heappush(self._heap, (self.earliest, self._first, self.last))
            self.earliest = math.inf
        self._first = self.last + 1
        if len(self._heap) > _GROUP + len(self._table):
            self._rebuild()

    def next(self) -> float:
        """The time at which `due` may find something; infinite if never."""
        return min(self.earliest, self._heap[0][0]) if self._heap else self.earliest

    def due(self, now: float) -> list[int]:
        """The numbers of open exchanges whose deadline has come, each once.

        The caller removes them from the table.
        """
        overdue: list[int] = []
        if self.earliest <= now:
            self.close_group()
        while self._heap and self._heap[0][0] <= now:
            _, first, last = heappop(self._heap)
            waiting: list[int] = []
            for number in self._within(first, last):
                (overdue if self._table[number][1] <= now else waiting).append(number)
            self._push(waiting)
        return overdue

    def _within(self, first: int, last: int) -> list[int]:
        if last - first <= 4 * len(self._table):
            return [number for number in range(first, last + 1) if number in self._table]
        return sorted(number for number in self._table if first <= number <= last)

    def _push(self, numbers: list[int]) -> None:
        earliest = min((self._table[number][1] for number in numbers), default=math.inf)
        if earliest < math.inf:
            heappush(self._heap, (earliest, numbers[0], numbers[-1]))

    def _rebuild(self) -> None:
        numbers = sorted(self._table)
        self._heap = []
        for start in range(0, len(numbers), _GROUP):
            group = numbers[start : start + _GROUP]
            earliest = min(self._table[number][1] for number in group)
            if earliest < math.inf:
                self._heap.append((earliest, group[0], group[-1]))
        heapify(self._heap)
