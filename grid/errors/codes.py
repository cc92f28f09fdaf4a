"""The status codes of gRPC: their names and numbers."""

from __future__ import annotations

__all__ = ["CODE_NAMES", "CODE_NUMBERS", "code_name"]

CODE_NAMES = (
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
)
CODE_NUMBERS = {name: number for number, name in enumerate(CODE_NAMES)}


def code_name(code: object) -> str:
    """The name of a code that is given as a name, a number or an enum member.

    An error cannot be OK: that, and any other value, is UNKNOWN.
    """
    if isinstance(code, int):
        name = CODE_NAMES[code] if 0 <= code < len(CODE_NAMES) else ""
    else:
        name = str(code if isinstance(code, str) else getattr(code, "name", "")).upper()
    return name if CODE_NUMBERS.get(name) else "UNKNOWN"
