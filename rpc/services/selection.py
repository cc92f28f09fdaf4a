"""The choice of a server by the scores that servers give a request. Pure.

The rules are those of psrpc: a server is chosen when the time is over, when it scores high
enough, or, without waiting, when it is the first. A score of zero or less is never chosen.
Where all servers are known the choice is also made when all have answered.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from grid.errors import InvalidArgument
from grid.numbers import check_seconds, is_number

__all__ = ["Bid", "Selection", "SelectionOptions"]


@dataclass(frozen=True, slots=True)
class Bid:
    """A server's score for a request.

    Attributes:
        member: the server's id.
        score: above 0; the higher the better.
    """

    member: str
    score: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SelectionOptions:
    """Rules of the choice by affinity. Options that are given replace all defaults.

    Attributes:
        minimum: bids below this score do not count; 0 for none.
        maximum: a bid of this score or more is taken at once; 0 for none.
        accept_first: take the first bid that counts.
        affinity_timeout: seconds to wait for bids; 0 for as long as the call may take.
        short_circuit: seconds to wait after the first bid that counts; 0 for not.
        choose: a function of the bids that count, which returns the id of the server, or None
            to decline all; it is called when the time is over.
    """

    minimum: float = 0.0
    maximum: float = 0.0
    accept_first: bool = False
    affinity_timeout: float = 0.0
    short_circuit: float = 0.0
    choose: Callable[[Sequence[Bid]], str | None] | None = None

    def __post_init__(self) -> None:
        """Raise `InvalidArgument` for what is none of these."""
        for name in ("minimum", "maximum"):
            if not is_number(score := getattr(self, name)):
                raise InvalidArgument(name, repr(score), "a score")
        check_seconds("affinity_timeout", self.affinity_timeout, endless=True)
        check_seconds("short_circuit", self.short_circuit, endless=True)
        if self.choose is not None and not callable(self.choose):
            raise InvalidArgument("choose", self.choose, "a function of the bids")


DEFAULT = SelectionOptions(affinity_timeout=1.0, short_circuit=0.2)


class Selection:
    """One choice: bids go in, the chosen server comes out.

    Attributes:
        stop_at: when to call `finish`, on the caller's clock.
        bids: the number of bids, also of those that do not count.
        ranking: bids that count, the best first; ties keep the order of arrival.

    Args:
        options: the rules.
        now: the time of the start.
        until: the end of the call.
    """

    def __init__(self, options: SelectionOptions, now: float, until: float = math.inf) -> None:
        self._options = options
        self._shorted = False
        self._counted: list[Bid] = []
        self.bids = 0
        self.stop_at = until
        if options.affinity_timeout > 0:
            self.stop_at = min(until, now + options.affinity_timeout)

    def bid(self, bid: Bid, now: float) -> str | None:
        """Take a bid; the id of the server if it is chosen at once."""
        options = self._options
        self.bids += 1
        if not bid.score > 0 or (options.minimum > 0 and bid.score < options.minimum):
            return None
        if options.accept_first or 0 < options.maximum <= bid.score:
            return bid.member
        self._counted.append(bid)
        if options.short_circuit > 0 and not self._shorted:
            self._shorted = True
            self.stop_at = min(self.stop_at, now + options.short_circuit)
        return None

    @property
    def ranking(self) -> list[Bid]:
        """Bids that count, the best first."""
        return sorted(self._counted, key=lambda bid: -bid.score)

    def finish(self) -> str | None:
        """The id of the chosen server when the time is over, or all have answered."""
        if self._options.choose is not None:
            return self._options.choose(tuple(self._counted))
        ranking = self.ranking
        return ranking[0].member if ranking else None
