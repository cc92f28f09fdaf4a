"""Snapshots of session, pool, client and server counters.

Nothing is sampled in the background: a snapshot is made when it is asked for, from
counters that are kept anyway. Counters begin at 0 and never go back while their owner
lives; the counts of an ended session stay in the sums of its pool, its
client or its server. Messages that stay inside a process touch no session and
are in no counter but the mailbox's; nor are single calls to peers without
sessions.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields

from grid.transport.breaker import BreakerState
from grid.transport.protocol import Traffic

__all__ = [
    "BreakerStatistics",
    "ClientStatistics",
    "Counters",
    "PoolStatistics",
    "SessionStatistics",
    "SessionTotals",
    "counted",
    "total",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Counters:
    """Counters of the traffic on sessions, both ways.

    Attributes:
        frames_sent: frames; one carries any number of deliveries, or only a ping or a greeting.
        frames_received: likewise.
        deliveries_sent: messages, answers, stream items, chunks of large messages, and
            their cancellations and the like.
        deliveries_received: likewise.
        bytes_sent: bytes of the frames, without the overhead of gRPC and TCP.
        bytes_received: likewise.
        late: answers and items that came after their caller had left.
        tells_refused: one-way messages of the other side that no mailbox took.
    """

    frames_sent: int = 0
    frames_received: int = 0
    deliveries_sent: int = 0
    deliveries_received: int = 0
    bytes_sent: int = 0
    bytes_received: int = 0
    late: int = 0
    tells_refused: int = 0

    @property
    def deliveries_per_frame_sent(self) -> float:
        """The mean size of a batch; 0 before the first frame."""
        return self.deliveries_sent / self.frames_sent if self.frames_sent else 0.0

    @property
    def deliveries_per_frame_received(self) -> float:
        """The mean size of a batch; 0 before the first frame."""
        return self.deliveries_received / self.frames_received if self.frames_received else 0.0


_COUNTED = tuple(field.name for field in fields(Counters))


def total(several: Iterable[Counters]) -> Counters:
    """The sums."""
    listed = tuple(several)
    return Counters(**{name: sum(getattr(one, name) for one in listed) for name in _COUNTED})


def counted_by(
    sent: Traffic, received: Traffic, *, late: int, tells_refused: int
) -> dict[str, int]:
    """The counters of one session, to make a value of."""
    return {
        "frames_sent": sent.frames,
        "frames_received": received.frames,
        "deliveries_sent": sent.deliveries,
        "deliveries_received": received.deliveries,
        "bytes_sent": sent.bytes,
        "bytes_received": received.bytes,
        "late": late,
        "tells_refused": tells_refused,
    }


def counted(counters: Counters) -> dict[str, int]:
    """The counters by name, to make a larger value of."""
    return {name: getattr(counters, name) for name in _COUNTED}


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionStatistics(Counters):
    """One session.

    Attributes:
        address: the other side's; on the side that was dialled in gRPC's words,
            e.g. `ipv4:127.0.0.1:40112`, or `unix socket`.
        in_flight: open exchanges of both sides: requests without an answer,
            tells not yet written, streams.
        queued: deliveries that wait for a frame.
        streams: of those in flight, streams that are open.
        busy: enough deliveries are queued for another session to help.
        round_trip: seconds that the last ping took; None before the first one.
            Pings go only when an answer is waited for and nothing comes.
        age: seconds since it was begun.
        idle: seconds without anything in flight and without a delivery, counted
            in steps of about 1; 0 while it is used.
    """

    address: str
    in_flight: int
    queued: int
    streams: int
    busy: bool
    round_trip: float | None
    age: float
    idle: float


class SessionTotals:
    """Sums over the sessions of a pool, a client or a server."""

    __slots__ = ()

    sessions: tuple[SessionStatistics, ...]

    @property
    def in_flight(self) -> int:
        """Open exchanges of all sessions."""
        return sum(one.in_flight for one in self.sessions)

    @property
    def queued(self) -> int:
        """Deliveries that wait for a frame of one of the sessions."""
        return sum(one.queued for one in self.sessions)

    @property
    def streams(self) -> int:
        """Open streams of all sessions."""
        return sum(one.streams for one in self.sessions)


@dataclass(frozen=True, slots=True)
class BreakerStatistics:
    """The breaker of one address.

    Attributes:
        state: its treatment of calls now.
        trips: the number of times it has opened.
    """

    state: BreakerState
    trips: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolStatistics(Counters, SessionTotals):
    """The sessions to one address. The counters are those of all there were.

    Attributes:
        address: where they lead.
        sessions: those there are, also those that end or have only begun.
        dialling: a session is being made.
        waiting: messages of lost sessions that wait for a new one.
        dials: the number of connections that were tried; a unix socket and a port
            of one peer count each.
        failed_dials: those of them that failed.
        maximum: the largest number of sessions; 0 if the peer has none, and is
            served by single calls.
        breaker: the address', if the client has breakers.
    """

    address: str
    sessions: tuple[SessionStatistics, ...] = ()
    dialling: bool = False
    waiting: int = 0
    dials: int = 0
    failed_dials: int = 0
    maximum: int = 0
    breaker: BreakerStatistics | None = None

    @property
    def busy(self) -> bool:
        """All sessions are busy, and there are some."""
        return bool(self.sessions) and all(one.busy for one in self.sessions)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientStatistics(Counters, SessionTotals):
    """A client. The counters are those of all sessions there were, to any address.

    Attributes:
        pools: by address; of those that were not used for long only the
            counters are left.
    """

    pools: Mapping[str, PoolStatistics]

    @property
    def sessions(self) -> tuple[SessionStatistics, ...]:  # type: ignore[override]
        """Those of all pools."""
        return tuple(session for pool in self.pools.values() for session in pool.sessions)
