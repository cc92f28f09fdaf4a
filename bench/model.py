"""Results of a measurement as rows of figures, and the size of a run."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

__all__ = [
    "NORMAL",
    "QUICK",
    "REQUESTS",
    "TRANSPORT_PARTS",
    "Progress",
    "Row",
    "Size",
    "callers_case",
    "median",
    "percentile",
]

REQUESTS = "requests"
"""The figure of the subject `transport` that is drawn."""

TRANSPORT_PARTS = (
    "calls",
    "open_loop",
    "one_way",
    "one_process",
    "payload",
    "broadcasting",
    "wire_bytes",
)
"""The modules that the subject `transport` consists of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """Size of a run.

    Attributes:
        rounds: how often each figure is taken; the median counts.
        seconds: how long one throughput round lasts.
        names: mailboxes that one peer opens.
        actors: idle actors whose memory is measured.
        machines: the most state machines whose memory is measured.
        kills: leaders killed, and leaders stopped.
        leases: the leases, in seconds, under which leaders are killed.
        mib: the large payload, in MiB.
        parts: of the subject `transport`; None for all.
        peers: other systems to compare with; None for all that are installed.
    """

    rounds: int
    seconds: float
    names: int = 10_000
    actors: int = 5_000
    machines: int = 100_000
    kills: int = 20
    leases: tuple[float, ...] = (2.0,)
    mib: int = 64
    parts: tuple[str, ...] | None = None
    peers: tuple[str, ...] | None = None


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
        least_ratio: what `ours / yardstick` must reach; None if that is not required.
        most_ratio: what `ours / yardstick` must not exceed.
        least: what `ours` must reach.
        most: what `ours` must not exceed.
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
    most_ratio: float | None = None
    least: float | None = None
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
        """Requirement, as text."""
        bounds = (
            ("ratio >= ", self.least_ratio, ""),
            ("ratio <= ", self.most_ratio, ""),
            (">= ", self.least, self.unit),
            ("<= ", self.most, self.unit),
        )
        return ", ".join(
            said + _bound(value, unit) for said, value, unit in bounds if value is not None
        )

    @property
    def met(self) -> bool | None:
        """Whether it is as required; None if nothing is required.

        A bound on a ratio that cannot be had is missed.
        """
        ratio = self.ratio
        checks = []
        if self.least_ratio is not None:
            checks.append(ratio is not None and ratio >= self.least_ratio)
        if self.most_ratio is not None:
            checks.append(ratio is not None and ratio <= self.most_ratio)
        if self.least is not None:
            checks.append(self.ours >= self.least)
        if self.most is not None:
            checks.append(self.ours <= self.most)
        return all(checks) if checks else None


def _bound(value: float, unit: str) -> str:
    number = f"{value:,.0f}" if value >= 1000 else f"{value:g}"
    return number if not unit else f"{number}{unit}" if unit[0] == "/" else f"{number} {unit}"


Progress = Callable[[str], None]


def median(values: Sequence[float]) -> float:
    """The middle one."""
    return float(statistics.median(values))


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest value that a given percentage of them does not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


def callers_case(callers: int) -> str:
    """Name of a number of callers in rows."""
    return "1 caller" if callers == 1 else f"{callers} callers"
