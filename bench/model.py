"""What a measurement brings: rows of figures, and how large a run is."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

__all__ = ["NORMAL", "QUICK", "Row", "Size", "median", "percentile"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How much a run measures.

    Attributes:
        rounds: how often each figure is taken; the median counts.
        seconds: how long one throughput round lasts.
        names: mailboxes that one peer opens.
        actors: idle actors whose memory is measured.
        kills: leaders killed, and leaders stopped.
        leases: the leases, in seconds, under which leaders are killed.
    """

    rounds: int
    seconds: float
    names: int = 10_000
    actors: int = 5_000
    kills: int = 20
    leases: tuple[float, ...] = (2.0,)


NORMAL = Size(rounds=9, seconds=1.0)
QUICK = Size(rounds=3, seconds=0.4, actors=1_000, kills=3)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One figure beside its yardstick.

    Attributes:
        subject: the benchmark.
        case: under which conditions.
        figure: what was measured.
        unit: of both values.
        ours: this grid's value.
        yardstick: the value it is held against; None if there is none.
        against: what the yardstick is.
        least_ratio: what `ours / yardstick` must reach; None if nothing is required.
        most: what `ours` must stay below; None if nothing is required.
        samples: the single values behind `ours`, where they are worth showing.
        ratios: ours over the yardstick, round by round, where the two were
            measured in pairs.
    """

    subject: str
    case: str
    figure: str
    unit: str
    ours: float
    yardstick: float | None = None
    against: str = ""
    least_ratio: float | None = None
    most: float | None = None
    samples: tuple[float, ...] = field(default=())
    ratios: tuple[float, ...] = field(default=())

    @property
    def ratio(self) -> float | None:
        """Ours over the yardstick's: the median over the pairs, if there are pairs."""
        if self.ratios:
            return median(self.ratios)
        return self.ours / self.yardstick if self.yardstick else None

    @property
    def required(self) -> str:
        """What is asked of it, for people."""
        if self.least_ratio is not None:
            return f"ratio >= {self.least_ratio:g}"
        return f"<= {self.most:g} {self.unit}" if self.most is not None else ""

    @property
    def met(self) -> bool | None:
        """Whether it is as required; None if nothing is required."""
        if self.least_ratio is not None:
            return self.ratio is not None and self.ratio >= self.least_ratio
        return self.ours <= self.most if self.most is not None else None


Progress = Callable[[str], None]


def median(values: Sequence[float]) -> float:
    """The middle one."""
    return float(statistics.median(values))


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest value that so many percent of them do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]
