"""Where the outcomes of a session's requests go: back into the session."""

from __future__ import annotations

from typing import TYPE_CHECKING

from grid.errors import GridError, MessageTooLarge
from grid.transport.answer import Answer, Unanswerable
from grid.transport.failures import encode_failure
from grid.transport.stream_end import SessionPort, StreamEnd

if TYPE_CHECKING:
    from grid.transport.link import Link

__all__ = ["SessionAnswer", "StreamAnswer", "TellAnswer"]


class SessionAnswer(Answer):
    """The answer to a request."""

    __slots__ = ("_exchange", "_link")

    def __init__(self, link: Link, exchange: int, at: float) -> None:
        # One is made for each request: what the base class does, without the call.
        self.at = at
        self.done = self.cancelled = False
        self._holder = self._watchers = None
        self._link = link
        self._exchange = exchange

    def _send(self, name: str, data: bytes) -> None:
        link = self._link
        if len(data) > link.largest:
            self._send_error(MessageTooLarge(len(data), link.largest))
        else:
            link.session.reply(self._exchange, name, data)

    def _send_error(self, error: GridError) -> None:
        self._link.session.fail(self._exchange, encode_failure(error))


class StreamAnswer(SessionAnswer):
    """The answer to a request for a stream: a stream, or an error."""

    __slots__ = ()

    opens_stream = True

    def accept(self, stream: StreamEnd) -> bool:
        """See `Answer.accept`."""
        if self.done or not self._link.session.accept(self._exchange, stream):
            return False
        stream.bind(SessionPort(self._link.session, self._exchange, self._link))
        stream.accepted()
        self._finish()
        return True


class TellAnswer(Unanswerable):
    """What becomes of a tell is counted, and told to nobody."""

    __slots__ = ("_link",)

    def __init__(self, link: Link, at: float) -> None:
        super().__init__(at)
        self._link = link

    def _send_error(self, error: GridError) -> None:
        self._link.tells_refused += 1
