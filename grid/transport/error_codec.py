"""Errors on unary calls: gRPC statuses, both ways.

An error leaves as a status code and a text and, for peers of our kind, two trailers: the
origin (`grid` or `actor`) and the error's class and arguments, from which the caller gets the
same error again; see `failures`.

Go peers send a code and a text only. Their gate's refusals are known texts, compared whole and
together with the code; any other text is an actor's. Because a Go actor can forward just such
a text, a refusal that is known by its text is not `retryable`: it may have been acted upon.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import grpc

from grid.errors import (
    AlreadyRegistered,
    GridError,
    MessageTooLarge,
    NilActor,
    ReceiverBusy,
    RequestFailed,
    UnknownActorType,
    UnknownMailbox,
    UnknownMessageType,
)
from grid.transport.failures import decode_failure, encode_body, encode_failure, mark_answer
from grid.wire_pb2 import Failure

__all__ = ["decode_error", "decode_failure", "encode_error", "encode_failure", "is_answer"]

_TRAILER = "grid-error-bin"
_ORIGIN = "grid-origin"
_GRID, _ACTOR = "grid", "actor"
# HTTP/2 headers hold 8 KiB by default: the text, percent-encoded, and the trailer, in base64.
_TEXT_ROOM = 3600
_TRAILER_ROOM = 3000
_SHORT = 500  # characters that each argument of an error keeps if they do not all fit

_BY_NUMBER = {code.value[0]: code for code in grpc.StatusCode}
_UNKNOWN = grpc.StatusCode.UNKNOWN
_EXHAUSTED = grpc.StatusCode.RESOURCE_EXHAUSTED

_Make = Callable[[re.Match[str], str, str], GridError]

# Refusals of the gate of a Go peer, and of gRPC for it: code, whole text, meaning.
_OF_GATE: tuple[tuple[grpc.StatusCode, re.Pattern[str], _Make], ...] = (
    (_UNKNOWN, re.compile("grid: unknown mailbox"), lambda _, name, __: UnknownMailbox(name)),
    (_UNKNOWN, re.compile("grid: receiver busy"), lambda _, name, __: ReceiverBusy(name)),
    (
        _UNKNOWN,
        re.compile("codec: unregistered message type"),
        lambda _, __, type_name: UnknownMessageType(type_name),
    ),
    (
        _EXHAUSTED,
        re.compile(
            r"(?:grpc: |SERVER: |Stream removed \(CLIENT: )?[Rr]eceived message larger than max "
            r"\((\d{1,18}) vs\. (\d{1,18})\)\)?"
        ),
        lambda m, _, __: MessageTooLarge(int(m[1]), int(m[2])),
    ),
)

# Answers of a Go peer to ActorStart.
_OF_START: tuple[tuple[grpc.StatusCode, re.Pattern[str], _Make], ...] = (
    (
        _UNKNOWN,
        re.compile(
            'registering actor "([^"]+)": registry: (?:already registered|failed registration)'
        ),
        lambda m, _, __: AlreadyRegistered(m[1]),
    ),
    (
        _UNKNOWN,
        re.compile(r"grid: def not registered(?: \(nil def\))?: type=(\S+)"),
        lambda m, _, __: UnknownActorType(m[1]),
    ),
    (_UNKNOWN, re.compile("grid: nil actor"), lambda _, name, __: NilActor(name)),
)
_START = frozenset(("grid.ActorStart", "github.com/lytics/grid/v3/ActorStart"))

Trailers = tuple[tuple[str, str | bytes], ...]


def encode_error(error: GridError) -> tuple[grpc.StatusCode, str, Trailers]:
    """The status code, text and trailing metadata that carry an error. Never raises."""
    failure = encode_failure(error)
    from_actor = failure.origin == Failure.ACTOR
    trailers: Trailers = ((_ORIGIN, _ACTOR if from_actor else _GRID),)
    body = failure.error
    if len(body) > _TRAILER_ROOM:
        subject = error.cause if isinstance(error, RequestFailed) and from_actor else error
        body = b"" if subject is None else encode_body(subject, _SHORT)
    if 0 < len(body) <= _TRAILER_ROOM:
        trailers += ((_TRAILER, body),)
    return _BY_NUMBER[failure.code], _fitting(failure.text), trailers


def decode_error(
    code: grpc.StatusCode, text: str, trailers: Trailers, *, receiver: str, type_name: str
) -> GridError:
    """The error that a peer answered with. Never raises, whatever the peer sent.

    Args:
        code: the status code.
        text: the status text.
        trailers: the trailing metadata.
        receiver: the name the request went to, for texts that do not say it.
        type_name: the request's type name, likewise.
    """
    sent = dict(trailers)
    if _ORIGIN in sent or _TRAILER in sent:
        body = sent.get(_TRAILER, b"")
        return decode_failure(
            Failure(
                code=code.value[0],
                text=_sendable(text),
                origin=Failure.GRID if sent.get(_ORIGIN) == _GRID else Failure.ACTOR,
                error=body if isinstance(body, bytes) else b"",
            )
        )
    return mark_answer(_by_text(code, text, receiver, type_name))


def is_answer(error: BaseException) -> bool:
    """True if a peer answered with this very error: it was decoded here."""
    return bool(error.__dict__.get("_answer"))


def _by_text(code: grpc.StatusCode, text: str, receiver: str, type_name: str) -> GridError:
    known = _OF_GATE + (_OF_START if type_name in _START else ())
    for its_code, pattern, make in known:
        match = pattern.fullmatch(text) if code is its_code else None
        if match:
            error = make(match, receiver, type_name)
            error.retryable = False  # see the head of this file
            return error
    return RequestFailed(text, code)


def _sendable(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


def _fitting(text: str) -> str:
    """As much of a text as can be sent."""
    room = _TEXT_ROOM
    for position, char in enumerate(text):
        room -= 1 if " " <= char <= "~" and char != "%" else 3 * len(char.encode())
        if room < 0:
            return text[:position]
    return text
