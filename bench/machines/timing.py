"""Two sides in turn, in short slices, by the CPU time of their thread.

The machine is shared: a slice is short, so that one of a few is undisturbed,
and the least one counts. Sides take turns slice by slice, so that a slow
minute does not fall to one of them only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from bench.machines import Side
from bench.model import Row, median

__all__ = ["Clock", "Pair", "rows_of"]

_SLICES = 5
_PART = 0.01  # of a throughput round's seconds
_LEAST = 200  # mutations of a slice, and what their number is a multiple of


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Two sides to be compared, and how the row is called.

    Attributes:
        row: the row without figures; of a pair with unit "/s" a rate, else a time.
        ours: what is measured.
        theirs: what it is held against.
    """

    row: Row
    ours: Side
    theirs: Side
    _found: list[tuple[float, float]] = field(default_factory=list)

    def take(self, clock: Clock) -> None:
        """Measure both once more."""
        self._found.append(clock.both(self.ours, self.theirs))

    def result(self) -> Row:
        """The row with the medians of the rounds."""
        scale = {"us": 1e6, "ns": 1e9}.get(self.row.unit)
        pairs = [
            (1 / one, 1 / other) if scale is None else (one * scale, other * scale)
            for one, other in self._found
        ]
        return replace(
            self.row,
            ours=median([one for one, _ in pairs]),
            yardstick=median([other for _, other in pairs]),
            ratios=tuple(one / other for one, other in pairs),
        )


class Clock:
    """Measures sides.

    Args:
        seconds: of one throughput round; a slice is a small part of it.
    """

    def __init__(self, seconds: float) -> None:
        self._slice = seconds * _PART
        self._counts: dict[Side, int] = {}
        self._turn = False

    def both(self, ours: Side, theirs: Side) -> tuple[float, float]:
        """CPU seconds of one mutation of each side; who begins changes from time to time."""
        self._turn = not self._turn
        order = [ours, theirs] if self._turn else [theirs, ours]
        least: dict[Side, float] = {}
        for _ in range(_SLICES):
            for side in order:
                count = self._count(side)
                least[side] = min(side(count) / count, least.get(side, float("inf")))
        return least[ours], least[theirs]

    def _count(self, side: Side) -> int:
        """Number of mutations in a slice: found out once, which warms it up as well."""
        count = self._counts.get(side, 0)
        if not count:
            count = _LEAST
            while (took := side(count)) < self._slice / 4:
                count *= 4
            count = max(1, round(count * self._slice / took / _LEAST)) * _LEAST
            self._counts[side] = count
        return count


def rows_of(pairs: Sequence[Pair]) -> list[Row]:
    """The rows of pairs that were measured."""
    return [pair.result() for pair in pairs]
