"""The outcomes of a session's requests on their way back into the session."""

from __future__ import annotations

from grid.errors import GridError, MessageTooLarge
from grid.transport.answer import Answer, Unanswerable
from grid.transport.failures import encode_failure
from grid.transport.protocol import Session
from grid.transport.stream_end import StreamEnd
from grid.transport.stream_ports import SessionPort

__all__ = ["SessionAnswer", "StreamAnswer", "TellAnswer"]


class SessionAnswer(Answer):
    """The answer to a request."""

    __slots__ = ("_exchange", "_session")

    def __init__(self, session: Session, exchange: int, at: float) -> None:
        # One is made for each request: this is the base class's, without the call.
        self.at = at
        self.done = self.cancelled = False
        self._holder = self._watchers = self.owner = None
        self._session = session
        self._exchange = exchange

    def _send(self, name: str, data: bytes) -> None:
        session = self._session
        if len(data) > session.largest:
            self._send_error(MessageTooLarge(len(data), session.largest))
        else:
            session.reply(self._exchange, name, data)

    def _send_error(self, error: GridError) -> None:
        self._session.fail(self._exchange, encode_failure(error))


class StreamAnswer(SessionAnswer):
    """The answer to a request for a stream: a stream, or an error."""

    __slots__ = ()

    opens_stream = True

    def accept(self, stream: StreamEnd) -> bool:
        """See `Answer.accept`."""
        if self.done or not self._session.accept(self._exchange, stream):
            return False
        stream.bind(SessionPort(self._session, self._exchange))
        stream.accepted()
        self._finish()
        return True


class TellAnswer(Unanswerable):
    """The end of a tell: a refusal is counted, and not sent."""

    __slots__ = ("_session",)

    def __init__(self, session: Session, at: float) -> None:
        super().__init__(at)
        self._session = session

    def _send_error(self, error: GridError) -> None:
        self._session.tells_refused += 1
