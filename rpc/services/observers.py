"""Events of calls, for counters and logs: what became of each, at its client and at its server.

    def count(event: CallEvent) -> None:
        counters[event.side, event.kind, event.method].inc()

    WeatherServer(station, bus, observers=[count])

An observer is called at once and must not wait. What it raises is logged and changes nothing.
Where there are no observers nothing is made.
"""

from __future__ import annotations

import enum
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from grid.deadline import now
from grid.errors import GridError, InvalidArgument

__all__ = [
    "CallEvent",
    "CallWatch",
    "EventKind",
    "Observer",
    "Observers",
    "checked_observers",
    "tell_bids",
]

_log = logging.getLogger("rpc.services")

_LOG_PAUSE = 1.0  # seconds between errors of observers that are logged


class EventKind(enum.StrEnum):
    """The kind of an event.

    A client tells `SENT`, then, of an AFFINITY call before it, `BID` for each server that
    answered and `GRANTED`, `LOST` or `ABANDONED` for its outcome; a server tells `RECEIVED`, and
    the same of bids. Each ends with one of `ENDED`, `EXPIRED` and `CANCELED`.
    """

    SENT = "sent"  # the request goes to a server
    RECEIVED = "received"  # a server begins to serve it
    BID = "bid"  # a server scored it
    GRANTED = "granted"  # the bid won: this server gets the request
    LOST = "lost"  # another server got it
    ABANDONED = "abandoned"  # no server got it, or no word of it came in time
    ENDED = "ended"  # there is an outcome: an answer, or `error`
    EXPIRED = "expired"  # the time of the call was over
    CANCELED = "canceled"  # the caller has left


@dataclass(frozen=True, slots=True)
class CallEvent:
    """One event of a call.

    Attributes:
        kind: what happened.
        side: where it was seen.
        service: the service's full name.
        method: the method's name in the .proto.
        topic: the parameters of its topic.
        client: the id of the caller.
        member: the id of the server; "" where it is not known.
        seconds: since the call began on this side.
        score: of a bid.
        error: of an end, and None for an answer.
    """

    kind: EventKind
    side: Literal["client", "server"]
    service: str
    method: str
    topic: tuple[str, ...]
    client: str
    member: str
    seconds: float
    score: float = 0.0
    error: GridError | None = None


Observer: TypeAlias = Callable[[CallEvent], object]


class Observers:
    """The observers of one client or server; see `checked_observers`."""

    def __init__(self, functions: tuple[Observer, ...]) -> None:
        self._functions = functions
        self._logged = -_LOG_PAUSE

    def tell(self, event: CallEvent) -> None:
        """Tell all of them; none can break the call."""
        for function in self._functions:
            try:
                function(event)
            except Exception:  # noqa: BLE001 - an observer changes nothing
                if now() - self._logged >= _LOG_PAUSE:
                    self._logged = now()
                    _log.exception("an observer of %s failed", event.service)


def checked_observers(given: Iterable[Observer]) -> Observers | None:
    """The observers; None without any, for telling has a price.

    Raises:
        InvalidArgument: one cannot be called.
    """
    made = tuple(given) if isinstance(given, Iterable) else (None,)
    if not all(map(callable, made)):
        raise InvalidArgument("observers", given, "a list of functions of a CallEvent")
    return Observers(made) if made else None


class CallWatch:
    """Tells the events of one call.

    Args:
        observers: that are told.
        side: where the events are seen.
        service, method, topic, client: of the call.
    """

    __slots__ = ("_about", "_began", "_observers", "_side")

    def __init__(
        self,
        observers: Observers,
        side: Literal["client", "server"],
        service: str,
        method: str,
        topic: tuple[str, ...],
        client: str,
    ) -> None:
        self._observers = observers
        self._side = side
        self._about = (service, method, topic, client)
        self._began = now()

    def tell(
        self,
        kind: EventKind,
        member: str = "",
        *,
        score: float = 0.0,
        error: GridError | None = None,
    ) -> None:
        """Tell one event."""
        seconds = now() - self._began
        event = CallEvent(kind, self._side, *self._about, member, seconds, score, error)
        self._observers.tell(event)


def tell_bids(watch: CallWatch, scores: Mapping[str, float], chosen: str | None) -> None:
    """Tell the bids of one call and their outcomes.

    Args:
        watch: the call's.
        scores: of the servers that have bid, by their ids.
        chosen: the id of the server that gets the request; None if none does.
    """
    for member, score in scores.items():
        watch.tell(EventKind.BID, member, score=score)
    for member, score in scores.items():
        if member == chosen:
            watch.tell(EventKind.GRANTED, member, score=score)
        elif score > 0:
            kind = EventKind.ABANDONED if chosen is None else EventKind.LOST
            watch.tell(kind, member, score=score)
