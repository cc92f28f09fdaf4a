"""The order of handlers among states that came together: first Require, then After.

Both are stable sorts. Require gives a topology, so the first is an ordinary
sort by position in it. After is a comparison of two states that says nothing
about a third, so it is not an order: `A >C; B; C` leaves A before C when B
stands between them. The result then depends on which pairs are compared. It
is the one that machines of asyncmachine have: blocks of 20 are sorted by
insertion, neighbour by neighbour, and then merged in place by rotation (Kim
and Kutzner, Stable minimum storage merging by symmetric comparisons, 2004).
`machine lint` names the pairs that cannot be guaranteed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

__all__ = ["sort_stable", "topology"]

_BLOCK = 20

Before = Callable[[int, int], bool]


def topology(require: Sequence[Sequence[int]], roots: Sequence[int]) -> list[int]:
    """The position of each state among those that Require or are required; -1 for others.

    Args:
        require: for each state the states that it needs.
        roots: all states; those that need others are visited in this order.
    """
    position = [-1] * len(require)
    seen = [False] * len(require)
    count = 0
    for root in roots:
        if seen[root] or not require[root]:
            continue
        seen[root] = True
        walk = [(root, iter(require[root]))]
        while walk:
            state, others = walk[-1]
            for other in others:
                if not seen[other]:
                    seen[other] = True
                    walk.append((other, iter(require[other])))
                    break
            else:
                walk.pop()
                position[state] = count
                count += 1
    return position


def sort_stable(items: list[int], before: Before) -> None:
    """Sort in place by a comparison that need not be transitive; see the module."""
    size = len(items)
    for start in range(0, size, _BLOCK):
        _insertion(items, start, min(start + _BLOCK, size), before)
    block = _BLOCK
    while block < size:
        for start in range(0, size - block, 2 * block):
            _merge(items, start, start + block, min(start + 2 * block, size), before)
        block *= 2


def _insertion(items: list[int], start: int, end: int, before: Before) -> None:
    for i in range(start + 1, end):
        j = i
        while j > start and before(items[j], items[j - 1]):
            items[j - 1], items[j] = items[j], items[j - 1]
            j -= 1


def _merge(items: list[int], start: int, middle: int, end: int, before: Before) -> None:
    if start >= middle or middle >= end:
        return
    if middle - start == 1:
        _move_right(items, start, middle, end, before)
        return
    if end - middle == 1:
        _move_left(items, start, middle, before)
        return
    half = (start + end) // 2
    total = half + middle
    low, high = (total - end, half) if middle > half else (start, middle)
    while low < high:
        probe = (low + high) // 2
        if before(items[total - 1 - probe], items[probe]):
            high = probe
        else:
            low = probe + 1
    cut = total - low
    if low < middle < cut:
        items[low:cut] = items[middle:cut] + items[low:middle]
    _merge(items, start, low, half, before)
    _merge(items, half, cut, end, before)


def _move_right(items: list[int], start: int, middle: int, end: int, before: Before) -> None:
    low, high = middle, end
    while low < high:
        probe = (low + high) // 2
        if before(items[probe], items[start]):
            low = probe + 1
        else:
            high = probe
    items[start:low] = [*items[start + 1 : low], items[start]]


def _move_left(items: list[int], start: int, middle: int, before: Before) -> None:
    low, high = start, middle
    while low < high:
        probe = (low + high) // 2
        if before(items[middle], items[probe]):
            high = probe
        else:
            low = probe + 1
    items[low : middle + 1] = [items[middle], *items[low:middle]]
