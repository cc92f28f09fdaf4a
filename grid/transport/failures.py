"""Errors as sessions carry them. Decoding is total: whatever a peer sends becomes an error.

A `Failure` has a status code, a text, an origin, and the error's class and arguments as JSON.
The origin decides: an error of the grid of the other side becomes the same error again; an
error of an actor becomes a `RequestFailed`, with the error that the JSON describes as its cause, so
that an actor's words can never pass for a refusal of the grid.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping
from typing import Any, get_type_hints

from grid.errors import GridError, RequestFailed
from grid.errors.classification import TABLE, Meaning, is_from_actor, meaning
from grid.errors.codes import CODE_NAMES, CODE_NUMBERS
from grid.wire_pb2 import Failure

__all__ = ["decode_body", "decode_failure", "encode_body", "encode_failure", "mark_answer"]

_ANSWER = "_answer"  # marks a decoded error; it does not travel
# An error is one entry of one frame, never a message in chunks: a session ends by what it cannot
# read. So a text, which may quote whatever its writer had at hand, travels up to this length.
_ROOM = 262_144  # bytes of a text, and of a body
_SHORT = 4_000  # characters that each argument of an error keeps if they do not all fit
_BY_NAME = {
    cls.__name__: cls
    for cls, row in TABLE.items()
    if row.travels and issubclass(cls, GridError) and cls is not RequestFailed
}


def encode_failure(error: GridError) -> Failure:
    """An error as sessions carry it. Never raises."""
    from_actor = is_from_actor(error)
    if isinstance(error, RequestFailed) and from_actor:
        code, subject = error.code, error.cause
    else:
        code, subject = _row(error).code, error
    return Failure(
        code=CODE_NUMBERS.get(code) or CODE_NUMBERS["UNKNOWN"],
        text=_fitting(_text(error)),
        origin=Failure.ACTOR if from_actor else Failure.GRID,
        error=b"" if subject is None else _fitting_body(subject),
    )


def decode_failure(failure: Failure) -> GridError:
    """The error that came over a session. Never raises, whatever the other side sent."""
    code = CODE_NAMES[failure.code] if failure.code < len(CODE_NAMES) else "UNKNOWN"
    said = decode_body(failure.error)
    if said is not None and failure.origin == Failure.GRID:
        return mark_answer(said)
    failed = RequestFailed(failure.text, code)
    failed.__cause__ = said
    return mark_answer(failed)


def mark_answer(error: GridError) -> GridError:
    """The error itself, marked as the answer of a peer; see `error_codec.is_answer`."""
    error.__dict__[_ANSWER] = True
    return error


def encode_body(error: GridError, limit: int | None = None) -> bytes:
    """The class and the arguments of an error, as JSON; empty if it does not travel.

    Args:
        error: the error to encode. A class that is not known elsewhere goes as the nearest
            class that it derives from.
        limit: characters to keep of each text.
    """
    found = meaning(type(error))
    if found is None or _BY_NAME.get(found[0].__name__) is not found[0]:
        return b""
    cls = found[0]
    try:
        kept = {
            name: _cut(value, limit) if isinstance(value, str) else value
            for name, value in error.attributes().items()
            if name in _parameters(cls)
        }
        return json.dumps([cls.__name__, kept]).encode()
    except Exception:  # noqa: BLE001 - attributes are anything; the text still tells it
        return b""


def decode_body(body: bytes) -> GridError | None:
    """The error of an encoded class and arguments; None if it is not one that is known here.

    A newer peer may know errors or arguments that this one does not, and a hostile one may
    send anything; the text of the failure still tells it.
    """
    if not body:
        return None
    try:
        name, attributes = json.loads(body)
        cls = _BY_NAME[name]
        return cls(**attributes) if _fit(cls, attributes) else None
    except Exception:  # noqa: BLE001 - deep nesting, huge numbers, wrong types, and the like
        return None


def _row(error: GridError) -> Meaning:
    found = meaning(type(error))
    return TABLE[RequestFailed] if found is None else found[1]


def _text(error: GridError) -> str:
    try:
        return str(error).encode("utf-8", "replace").decode()
    except Exception:  # noqa: BLE001 - a foreign __str__ may raise anything
        return type(error).__name__


def _fitting(text: str) -> str:
    """As much of a text as may travel."""
    data = text.encode()
    return text if len(data) <= _ROOM else _cut(text, len(data[:_ROOM].decode(errors="ignore")))


def _fitting_body(error: GridError) -> bytes:
    body = encode_body(error)
    if len(body) > _ROOM:
        body = encode_body(error, _SHORT)
    return body if len(body) <= _ROOM else b""


def _cut(text: str, limit: int | None) -> str:
    if limit is None or len(text) <= limit:
        return text
    return f"{text[:limit]}... ({len(text):,} characters)"


def _parameters(cls: type[BaseException]) -> frozenset[str]:
    return frozenset(inspect.signature(cls).parameters)


def _fit(cls: type[BaseException], attributes: Mapping[str, Any]) -> bool:
    # Callers compute with attributes, so their types are checked where they come in.
    types = get_type_hints(cls)
    return all(_is_a(value, types.get(name)) for name, value in attributes.items())


def _is_a(value: object, wanted: object) -> bool:
    if wanted is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if wanted is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if wanted == list[str]:
        return isinstance(value, list) and all(isinstance(one, str) for one in value)
    return isinstance(value, str)
