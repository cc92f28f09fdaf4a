"""Errors on the wire: one table, both ways.

An error leaves as a gRPC status: a code, a text, and, for peers of our kind, a
trailer with the error's name and arguments, from which the caller gets the
same error again. Go peers see and send only text, so every text holds the
phrase that Go code looks for, and without the trailer errors are told apart by
those phrases.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable

import grpc

from grid import errors
from grid.errors import GridError
from grid.wire_pb2 import Failure

__all__ = [
    "NEVER_SENT",
    "decode_error",
    "decode_failure",
    "encode_error",
    "encode_failure",
    "is_answer",
]

_TRAILER = "grid-error-bin"
# HTTP/2 headers hold 8 KiB by default: the text, percent-encoded, and the trailer, in base64.
_TEXT_ROOM = 3600
_TRAILER_ROOM = 3000
_ANSWER = "_answer"  # what marks a decoded error; it does not travel
_SHORT = 500  # characters that each argument of an error keeps if they do not all fit

_CODES: dict[type[GridError], grpc.StatusCode] = {
    errors.InvalidName: grpc.StatusCode.INVALID_ARGUMENT,
    errors.InvalidNamespace: grpc.StatusCode.INVALID_ARGUMENT,
    errors.InvalidActorType: grpc.StatusCode.INVALID_ARGUMENT,
    errors.UnsupportedMessage: grpc.StatusCode.INVALID_ARGUMENT,
    errors.UndecodableMessage: grpc.StatusCode.INVALID_ARGUMENT,
    errors.UnknownMessageType: grpc.StatusCode.UNIMPLEMENTED,
    errors.MessageTooLarge: grpc.StatusCode.RESOURCE_EXHAUSTED,
    errors.UnknownMailbox: grpc.StatusCode.NOT_FOUND,
    errors.StaleEpoch: grpc.StatusCode.FAILED_PRECONDITION,
    errors.ReceiverBusy: grpc.StatusCode.RESOURCE_EXHAUSTED,
    errors.MailboxClosed: grpc.StatusCode.UNAVAILABLE,
    errors.PeerNotServing: grpc.StatusCode.UNAVAILABLE,
    errors.PeerUnreachable: grpc.StatusCode.UNAVAILABLE,
    errors.Filtered: grpc.StatusCode.PERMISSION_DENIED,
    errors.OutcomeUnknown: grpc.StatusCode.ABORTED,
    errors.RequestDropped: grpc.StatusCode.ABORTED,
    errors.StreamClosed: grpc.StatusCode.CANCELLED,
    errors.DeadlineExceeded: grpc.StatusCode.DEADLINE_EXCEEDED,
    errors.AlreadyRegistered: grpc.StatusCode.ALREADY_EXISTS,
    errors.LeaseLost: grpc.StatusCode.UNAVAILABLE,
    errors.UnknownActorType: grpc.StatusCode.NOT_FOUND,
    errors.FactoryFailed: grpc.StatusCode.UNKNOWN,
    errors.NilActor: grpc.StatusCode.UNKNOWN,
    errors.UnknownActor: grpc.StatusCode.NOT_FOUND,
    errors.ActorStillRunning: grpc.StatusCode.DEADLINE_EXCEEDED,
    errors.EtcdUnavailable: grpc.StatusCode.UNAVAILABLE,
}
_BY_NUMBER = {code.value[0]: code for code in grpc.StatusCode}
_BY_NAME = {cls.__name__: cls for cls in _CODES}

# The trailer of an answer whose error is all in its status.
_OWN_CODE = b"[]"

# The phrases of peers that send text only, and what they mean; first match wins.
_PHRASES: tuple[tuple[str, Callable[[re.Match[str], str], GridError]], ...] = (
    ("grid: unknown mailbox", lambda _, name: errors.UnknownMailbox(name)),
    ("grid: receiver busy", lambda _, name: errors.ReceiverBusy(name)),
    (r"registering actor \"(.+?)\"", lambda m, _: errors.AlreadyRegistered(m[1])),
    (
        "already registered|failed registration",
        lambda _, name: errors.AlreadyRegistered(name),
    ),
    (
        r"[Rr]eceived message larger than max \((\d+) vs\. (\d+)\)",
        lambda m, _: errors.MessageTooLarge(int(m[1]), int(m[2])),
    ),
    (r"def not registered.*type=(\S+)", lambda m, _: errors.UnknownActorType(m[1])),
    ("grid: nil actor", lambda _, name: errors.NilActor(name)),
)

# What grpc says when it could not connect, so that the call was never written.
NEVER_SENT = re.compile(
    "failed to connect|connections to all backends failing|connection refused|"
    "DNS resolution failed|name resolution|errors resolving|no route to host|"
    "network is unreachable",
    re.IGNORECASE,
)


def encode_error(
    error: GridError,
) -> tuple[grpc.StatusCode, str, tuple[tuple[str, bytes], ...]]:
    """The status code, text and trailing metadata that carry an error."""
    text = _fitting(str(error))
    if type(error) is errors.RequestFailed:
        # Its code may be one that gRPC itself uses for a broken connection.
        return _code_named(error.code), text, ((_TRAILER, _OWN_CODE),)
    code = _CODES.get(type(error))
    if code is None:
        return grpc.StatusCode.UNKNOWN, text, ()
    for limit in (None, _SHORT):
        body = _trailer(error, limit)
        if len(body) <= _TRAILER_ROOM:
            return code, text, ((_TRAILER, body),)
    return code, text, ()


def _trailer(error: GridError, limit: int | None) -> bytes:
    arguments = error.attributes()
    shortened = {k: v[:limit] if isinstance(v, str) else v for k, v in arguments.items()}
    return json.dumps([type(error).__name__, shortened]).encode()


def _fitting(text: str) -> str:
    """As much of a text as can be sent, without what UTF-8 cannot say."""
    text = text.encode("utf-8", "replace").decode()
    room = _TEXT_ROOM
    for position, char in enumerate(text):
        room -= 1 if " " <= char <= "~" and char != "%" else 3 * len(char.encode())
        if room < 0:
            return text[:position]
    return text


def decode_error(
    code: grpc.StatusCode,
    text: str,
    trailers: tuple[tuple[str, str | bytes], ...],
    *,
    receiver: str,
    type_name: str,
) -> GridError:
    """The error that a peer answered with.

    Args:
        code: the status code.
        text: the status text.
        trailers: the trailing metadata.
        receiver: the name the request went to, for texts that do not say it.
        type_name: the request's type name, likewise.
    """
    error = _decoded(code, text, trailers, receiver, type_name)
    error.__dict__[_ANSWER] = True
    return error


def is_answer(error: BaseException) -> bool:
    """True if a peer answered with this very error: it was decoded here."""
    return bool(error.__dict__.get(_ANSWER))


def _decoded(
    code: grpc.StatusCode,
    text: str,
    trailers: tuple[tuple[str, str | bytes], ...],
    receiver: str,
    type_name: str,
) -> GridError:
    for key, value in trailers:
        if key == _TRAILER and isinstance(value, bytes):
            if value == _OWN_CODE:
                return errors.RequestFailed(text, code.name)
            error = _decode_trailer(value)
            if error is not None:
                return error
    if "codec: unregistered message type" in text:
        return errors.UnknownMessageType(type_name)
    for phrase, make in _PHRASES:
        match = re.search(phrase, text)
        if match:
            return make(match, receiver)
    return errors.RequestFailed(text, code.name)


def encode_failure(error: GridError) -> Failure:
    """An error as sessions carry it."""
    code, text, trailers = encode_error(error)
    return Failure(code=code.value[0], text=text, error=trailers[0][1] if trailers else b"")


def decode_failure(failure: Failure) -> GridError:
    """The error that came over a session."""
    trailers = ((_TRAILER, failure.error),) if failure.error else ()
    code = _BY_NUMBER.get(failure.code, grpc.StatusCode.UNKNOWN)
    return decode_error(code, failure.text, trailers, receiver="", type_name="")


def _decode_trailer(body: bytes) -> GridError | None:
    # A newer peer may know errors or arguments that this one does not; the
    # status text still tells them.
    try:
        name, attributes = json.loads(body)
        return _BY_NAME[name](**attributes)
    except (ValueError, KeyError, TypeError):
        return None


def _code_named(name: str) -> grpc.StatusCode:
    code = grpc.StatusCode.__members__.get(name.upper(), grpc.StatusCode.UNKNOWN)
    return grpc.StatusCode.UNKNOWN if code is grpc.StatusCode.OK else code
