"""Errors of service calls, named by their cause.

    ServiceError                a server answered with an error; it has a code and details
    ├── NoServers               no server of the method is registered
    ├── AllDeclined             servers are there, and none took the request
    ├── AllUnreachable          servers are registered, and none could be reached
    ├── CallTimedOut            no answer in time (also a TimeoutError)
    ├── OutcomeUnclear          the server was lost after it had the request
    ├── ReplyTooLarge           the answer is over the limit (also a MessageTooLarge)
    ├── MalformedRequest        the server could not decode the request
    ├── MalformedResult         the answer is not of the method's type
    ├── Unimplemented           the server does not have the method
    ├── NotRegistered           this topic was never registered here
    ├── AlreadyServed           the topic has its one server already
    ├── SubscriptionLost        the subscriber did not read fast enough
    ├── StreamEnded             the stream is over
    └── CallClosed              the client or the server was closed

`retryable` says whether sending the same again is safe: True means that no handler has
seen the request. `members` names the servers that were asked.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import DecodeError, Message

from grid.errors import GridError, InvalidArgument, MessageTooLarge, RequestFailed, Retryable
from grid.errors.classification import text_of
from rpc.service_pb2 import RichStatus
from rpc.services.codes import ErrorCode, code_of_grpc

__all__ = [
    "AllDeclined",
    "AllUnreachable",
    "AlreadyServed",
    "CallClosed",
    "CallTimedOut",
    "MalformedRequest",
    "MalformedResult",
    "NoServers",
    "NotRegistered",
    "OutcomeUnclear",
    "ReplyTooLarge",
    "ServiceError",
    "StreamEnded",
    "SubscriptionLost",
    "Unimplemented",
    "error_of",
    "from_handler",
]


_RICH = "grpc-status-details-bin"
# The text of a `MessageTooLarge`. A size has fewer digits than a wrong server could send.
_TOO_LARGE = re.compile(
    r"grid: (message|metadata) too large: ([0-9]{1,20}) bytes, the limit is ([0-9]{1,20})"
)
# The numbers of gRPC's status codes, by their names: their order, from 1 on.
_GRPC_NUMBERS = {
    name: number
    for number, name in enumerate(
        (
            *("CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND"),
            *("ALREADY_EXISTS", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION"),
            *("ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"),
            "UNAUTHENTICATED",
        ),
        start=1,
    )
}


class ServiceError(GridError):
    """An error of a service call, with a code; raise it in a handler to answer with it.

    Args:
        code: an `ErrorCode` or its text.
        text: what went wrong; what UTF-8 cannot encode in it becomes `?`.
        details: protobuf messages for the caller's program.

    Attributes:
        code: the `ErrorCode`.
        text: what went wrong.
        details: what came with it, packed in `google.protobuf.Any`; see `detail`.
        members: the servers that were asked.

    Raises:
        InvalidArgument: there is no such code, or the text is none.
    """

    code: ErrorCode
    text: str
    details: tuple[AnyMessage, ...]
    members: tuple[str, ...]

    def __init__(
        self,
        code: ErrorCode | str,
        text: str = "",
        *,
        details: Iterable[Message] = (),
        members: Iterable[str] = (),
    ) -> None:
        try:
            known = ErrorCode(code)
        except ValueError:
            raise InvalidArgument("code", code, f"one of {', '.join(ErrorCode)}") from None
        if not isinstance(text, str):
            raise InvalidArgument("text", text, "a text")
        # One that cannot be sent would leave the caller without an answer.
        text = (text or str(known)).encode("utf-8", "replace").decode()
        super().__init__(
            text,
            code=known,
            text=text,
            details=tuple(map(_packed, details)),
            members=tuple(members),
        )

    def grpc_trailer(self) -> tuple[str, bytes]:
        """The trailing metadata by which gRPC carries the details, for a servicer's context.

        `context.set_trailing_metadata([error.grpc_trailer()])`, before `context.abort`.
        """
        status = RichStatus(
            code=_GRPC_NUMBERS[self.code.grpc], message=self.text, details=self.details
        )
        return _RICH, status.SerializeToString()

    def detail(self, message: type[Any]) -> Any:
        """The first detail of a message type, or None."""
        for packed in self.details:
            found = message()
            if packed.Unpack(found):
                return found
        return None


class _Caused(ServiceError):
    """An error whose class says its code."""

    _code: ErrorCode

    def __init__(self, text: str, *, members: Iterable[str] = ()) -> None:
        super().__init__(self._code, text, members=members)

    def attributes(self) -> dict[str, Any]:
        return {"text": self.text, "members": self.members}


class NoServers(_Caused, Retryable):
    """No server of the method, or of the topic, is registered. Start one, or check the name."""

    _code = ErrorCode.UNAVAILABLE


class AllDeclined(_Caused, Retryable):
    """Servers are there, and none took the request: they are full, or scored it 0 or less.

    `members` names them. Send it again later.
    """

    _code = ErrorCode.UNAVAILABLE


class AllUnreachable(_Caused, Retryable):
    """Servers are registered, and none could be reached; `members` names them."""

    _code = ErrorCode.UNAVAILABLE


class CallTimedOut(_Caused, TimeoutError):
    """No answer in time; `members` names the servers that may act on the request."""

    _code = ErrorCode.DEADLINE_EXCEEDED


class OutcomeUnclear(_Caused):
    """The server was lost after it had the request, which it may have acted upon.

    It is sent to no other server unless the caller says `idempotent=True`.
    """

    _code = ErrorCode.UNAVAILABLE


class ReplyTooLarge(ServiceError, MessageTooLarge):
    """The answer is over the size limit of the server or the bus; the handler has run.

    Its text is the same from each server: it is known by that and by its code.
    """

    def __init__(
        self, size: int, limit: int, part: str = "message", *, members: Iterable[str] = ()
    ) -> None:
        MessageTooLarge.__init__(self, size, limit, part)
        self.code = ErrorCode.RESOURCE_EXHAUSTED
        self.text, self.details, self.members = str(self), (), tuple(members)

    def attributes(self) -> dict[str, Any]:
        """See `GridError.attributes`."""
        return {
            "size": self.size,
            "limit": self.limit,
            "part": self.part,
            "members": self.members,
        }


class MalformedRequest(_Caused):
    """The server could not decode the request: client and server have different .proto files."""

    _code = ErrorCode.MALFORMED_REQUEST


class MalformedResult(_Caused):
    """The answer cannot be decoded: client and server have different .proto files."""

    _code = ErrorCode.MALFORMED_RESULT


class Unimplemented(_Caused):
    """The server does not have the method."""

    _code = ErrorCode.UNIMPLEMENTED


class NotRegistered(_Caused):
    """This topic is not registered on this server. Register it first."""

    _code = ErrorCode.NOT_FOUND


class AlreadyServed(_Caused):
    """The method or the topic is registered already: here, or, with `single_server`, elsewhere."""

    _code = ErrorCode.ALREADY_EXISTS


class SubscriptionLost(_Caused):
    """The subscriber did not read fast enough; messages were lost. Subscribe again."""

    _code = ErrorCode.RESOURCE_EXHAUSTED


class StreamEnded(_Caused):
    """The stream is over: the other side has closed it, or was lost."""

    _code = ErrorCode.CANCELED


class CallClosed(_Caused, Retryable):
    """The client or the server was closed."""

    _code = ErrorCode.CANCELED


_BY_CODE: dict[ErrorCode, type[_Caused]] = {
    ErrorCode.MALFORMED_REQUEST: MalformedRequest,
    ErrorCode.MALFORMED_RESULT: MalformedResult,
    ErrorCode.UNIMPLEMENTED: Unimplemented,
}


def error_of(
    code: str, text: str, details: Iterable[AnyMessage] = (), *, members: Iterable[str] = ()
) -> ServiceError:
    """The error that a server answered with."""
    known = ErrorCode.of(code)
    details = tuple(details)
    if known is ErrorCode.RESOURCE_EXHAUSTED and (large := _TOO_LARGE.fullmatch(text)):
        part, size, limit = large.groups()
        return ReplyTooLarge(int(size), int(limit), part, members=members)
    if known in _BY_CODE and not details:
        return _BY_CODE[known](text, members=members)
    return ServiceError(known, text, details=details, members=members)


def from_handler(error: BaseException) -> ServiceError:
    """The error that callers get when a handler raises `error`.

    An error of gRPC keeps its code, its text and its details, and one of the grid its code; any
    other is `unknown` with its text.
    """
    if isinstance(error, ServiceError):
        return error
    if isinstance(error, RequestFailed):
        made = ServiceError(code_of_grpc(error.code), error.text)
    elif isinstance(error, TimeoutError):
        made = ServiceError(ErrorCode.DEADLINE_EXCEEDED, text_of(error))
    else:
        try:
            known = _from_grpc(error)
        except Exception:  # noqa: BLE001 - a user's class that has `code` and `details` of its own
            known = None
        made = known or ServiceError(ErrorCode.UNKNOWN, text_of(error))
    made.__cause__ = error
    return made


def _from_grpc(error: BaseException) -> ServiceError | None:
    # Known by its methods: gRPC may not be loaded, and it has several such classes.
    code, details = getattr(error, "code", None), getattr(error, "details", None)
    if not callable(code) or not callable(details):
        return None
    name = getattr(code(), "name", None)
    if name is None:
        return None
    return ServiceError(code_of_grpc(name), str(details() or ""), details=_rich_details(error))


def _rich_details(error: BaseException) -> list[AnyMessage]:
    trailing = getattr(error, "trailing_metadata", None)
    for key, value in (trailing() if callable(trailing) else None) or ():
        if key == _RICH:
            try:
                return list(RichStatus.FromString(value).details)
            except DecodeError:
                break  # what the server sent there is none
    return []


def _packed(detail: Message) -> AnyMessage:
    if isinstance(detail, AnyMessage):
        return detail
    packed = AnyMessage()
    packed.Pack(detail)
    return packed
