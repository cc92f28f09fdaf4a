"""The two ways from one end of a stream to the other: over a session, and inside one process."""

from __future__ import annotations

from grid.errors import GridError
from grid.transport._flow import Flow
from grid.transport.failures import decode_failure, encode_failure
from grid.transport.protocol import Session
from grid.transport.request_handler import RequestHandler
from grid.transport.stream_end import StreamEnd

__all__ = ["LocalPort", "SessionPort"]

_LOCAL_CREDIT = 256


class SessionPort:
    """A stream over a session."""

    __slots__ = ("_exchange", "_session")

    in_process: bool = False

    def __init__(self, session: Session, exchange: int) -> None:
        self._session = session
        self._exchange = exchange

    @property
    def largest(self) -> int:
        """See `StreamPort`."""
        return self._session.largest

    def credit(self) -> int:
        """See `StreamPort`."""
        return self._session.credit(self._exchange)

    def send(self, name: str, data: bytes) -> None:
        """See `StreamPort`."""
        self._session.send_item(self._exchange, name, data)

    def consumed(self, size: int) -> None:
        """See `StreamPort`."""
        self._session.consumed(self._exchange, size)

    def end_sending(self) -> None:
        """See `StreamPort`."""
        self._session.end_sending(self._exchange)

    def end(self, error: GridError | None) -> None:
        """See `StreamPort`."""
        if not self._session.cancel(self._exchange):
            failure = None if error is None else encode_failure(error)
            self._session.end_stream(self._exchange, failure)

    def shared(self) -> None:
        """See `StreamPort`; a session shares nothing."""


class LocalPort:
    """A stream inside one process. Its items ask the peer's lease as those of a session do."""

    __slots__ = ("_far", "_flow", "_peer", "largest", "other")

    in_process: bool = True

    def __init__(self, far: StreamEnd, largest: int, peer: RequestHandler) -> None:
        self._far = far
        self._peer = peer
        self._flow = Flow(None, _LOCAL_CREDIT, _LOCAL_CREDIT)
        self.largest: int = largest
        self.other: LocalPort | None = None

    @classmethod
    def connect(cls, one: StreamEnd, two: StreamEnd, largest: int, peer: RequestHandler) -> None:
        """Make two ends the ends of one stream.

        Args:
            one: an end.
            two: the other end.
            largest: bytes of the largest item.
            peer: the peer that has the mailbox; its lease must hold for each item.
        """
        there, back = cls(two, largest, peer), cls(one, largest, peer)
        there.other, back.other = back, there
        one.bind(there)
        # What the opener sends is taken in the loop's next turn, so that no item is handled
        # inside of its sender's call, and a caller that asks and asks again lets others run.
        two.bind(back, deferred=True)

    def credit(self) -> int:
        """See `StreamPort`."""
        return self._flow.credit

    def send(self, name: str, data: bytes) -> None:
        """See `StreamPort`."""
        if self._peer.may_answer():
            self._flow.sent(len(data))
            self._far.put(name, data)
        elif self.other is not None:
            late = self._peer.late()
            self.end(late)
            self.other.end(late)

    def consumed(self, size: int) -> None:
        """See `StreamPort`."""
        total = self._flow.consumed(size)
        if total and self.other is not None and self.other._flow.granted(total):
            self._far.credited()

    def end_sending(self) -> None:
        """See `StreamPort`."""
        self._far.ended(whole=False, error=None)

    def end(self, error: GridError | None) -> None:
        """See `StreamPort`."""
        # As over a session: an error of its own, without this side's traceback.
        theirs = None if error is None else decode_failure(encode_failure(error))
        self._far.ended(whole=True, error=theirs)

    def shared(self) -> object | None:
        """See `StreamPort`."""
        return self._far.given() if self._peer.may_answer() else None
