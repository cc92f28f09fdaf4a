"""The events of a session, handed to futures, streams and the receiving peer.

A token is the future of a request or the end of a stream. An event must not raise: an entry
has left the session's table by then, and only its token knows the caller. So an error of a
token, such as a codec's, becomes the outcome.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping
from typing import Any

from grid.errors import GridError, OutcomeUnknown, RequestFailed
from grid.transport._answers import SessionAnswer, StreamAnswer, TellAnswer
from grid.transport._routes import InboundRoute
from grid.transport.answer import Answer
from grid.transport.failures import decode_failure
from grid.transport.protocol import Session
from grid.transport.request_handler import RequestHandler
from grid.transport.stream_end import StreamEnd
from grid.wire_pb2 import Failure, Frame

__all__ = ["Arrivals"]

_log = logging.getLogger("grid.transport")

_REQUEST = Frame.REQUEST


class Arrivals:
    """The part of a link that takes deliveries for exchanges and streams.

    Attributes:
        session: the protocol.
    """

    session: Session
    _handler: RequestHandler | None
    _now: float

    def _give_up(self, reason: str) -> None:
        raise NotImplementedError

    def on_request(
        self,
        exchange: int,
        kind: int,
        route: InboundRoute,
        data: bytes,
        milliseconds: int,
        metadata: Mapping[str, str] | None,
    ) -> None:
        at = self._now + milliseconds / 1000 if milliseconds else math.inf
        answer: Answer
        if kind == _REQUEST:
            answer = SessionAnswer(self.session, exchange, at)
        elif kind == Frame.OPEN:
            answer = StreamAnswer(self.session, exchange, at)
        else:
            answer = TellAnswer(self.session, at)
        if self._handler is None:
            answer.reject(OutcomeUnknown("this side takes no requests"))
            return
        if kind != Frame.TELL:
            self.session.attach(exchange, answer)
        try:
            self._handler.accept(
                route.receiver, route.epoch, route.type_name, data, metadata, answer
            )
        except Exception as error:  # noqa: BLE001 - the session is not to end by one message
            _log.error("a request could not be taken", exc_info=error)
            answer.fail(RequestFailed(f"the request could not be taken: {error!r}", "INTERNAL"))

    def on_cancel(self, token: Any) -> None:
        token.cancel()

    def on_reply(self, token: Any, type_name: str, data: bytes) -> None:
        # A stream's token takes a reply as a refusal; see StreamEnd.set_result.
        if not token.done():  # the caller may just have left
            try:
                token.set_result((type_name, data))
            except Exception as error:  # noqa: BLE001 - whatever a codec or a callback raises
                self._settle(token, error)

    def on_failure(self, token: Any, failure: Failure) -> None:
        if not token.done():
            self._tell(token, token.set_exception, decode_failure(failure))

    def on_accept(self, token: Any) -> None:
        if isinstance(token, StreamEnd):
            token.accepted()
        elif not token.done():
            self.on_failure(
                token,
                Failure(code=13, text="a request was answered with a stream", origin=Failure.GRID),
            )
            self._give_up("a stream was opened that was not asked for")

    def on_item(self, token: Any, type_name: str, data: bytes) -> None:
        token.put(type_name, data)

    def on_credit(self, token: Any) -> None:
        token.credited()

    def on_end(self, token: Any, whole: bool, failure: Failure | None) -> None:
        token.ended(whole, None if failure is None else decode_failure(failure))

    def _tell(self, token: Any, tell: Callable[[GridError], None], error: GridError) -> None:
        try:
            tell(error)
        except Exception as defect:  # noqa: BLE001 - likewise
            self._settle(token, defect)

    def _settle(self, token: Any, error: Exception) -> None:
        _log.error("an answer could not be handed on", exc_info=error)
        if not token.done():
            failed = RequestFailed(f"the answer could not be taken: {error!r}", "INTERNAL")
            token.set_exception(failed)
