"""Error codes of services, and what they are in HTTP and gRPC.

The codes and their numbers are those of the psrpc protocol, so that an error keeps its
code on every bus and in every language.
"""

from __future__ import annotations

import enum

__all__ = ["ErrorCode", "code_of_grpc"]


class ErrorCode(enum.StrEnum):
    """The kind of an error, as text on every bus."""

    CANCELED = "canceled"
    UNKNOWN = "unknown"
    INVALID_ARGUMENT = "invalid_argument"
    MALFORMED_REQUEST = "malformed_request"
    MALFORMED_RESULT = "malformed_result"
    DEADLINE_EXCEEDED = "deadline_exceeded"
    NOT_FOUND = "not_found"
    NOT_ACCEPTABLE = "not_acceptable"
    ALREADY_EXISTS = "already_exists"
    PERMISSION_DENIED = "permission_denied"
    RESOURCE_EXHAUSTED = "resource_exhausted"
    FAILED_PRECONDITION = "failed_precondition"
    ABORTED = "aborted"
    OUT_OF_RANGE = "out_of_range"
    UNIMPLEMENTED = "unimplemented"
    INTERNAL = "internal"
    UNAVAILABLE = "unavailable"
    DATA_LOSS = "data_loss"
    UNAUTHENTICATED = "unauthenticated"
    UNPROCESSABLE_ENTITY = "unprocessable_entity"
    UPSTREAM_SERVER_ERROR = "upstream_server_error"
    UPSTREAM_CLIENT_ERROR = "upstream_client_error"

    @classmethod
    def of(cls, text: str) -> ErrorCode:
        """The code of a text; `UNKNOWN` for a text that is none."""
        return _BY_TEXT.get(text, cls.UNKNOWN)

    @property
    def http(self) -> int:
        """The HTTP status."""
        return _TABLE[self][0]

    @property
    def grpc(self) -> str:
        """The name of the gRPC status code."""
        return _TABLE[self][1]


_TABLE: dict[ErrorCode, tuple[int, str]] = {
    ErrorCode.CANCELED: (503, "CANCELLED"),
    ErrorCode.UNKNOWN: (500, "UNKNOWN"),
    ErrorCode.INVALID_ARGUMENT: (400, "INVALID_ARGUMENT"),
    ErrorCode.MALFORMED_REQUEST: (400, "INVALID_ARGUMENT"),
    ErrorCode.MALFORMED_RESULT: (500, "INTERNAL"),
    ErrorCode.DEADLINE_EXCEEDED: (503, "DEADLINE_EXCEEDED"),
    ErrorCode.NOT_FOUND: (404, "NOT_FOUND"),
    ErrorCode.NOT_ACCEPTABLE: (406, "UNKNOWN"),
    ErrorCode.ALREADY_EXISTS: (409, "ALREADY_EXISTS"),
    ErrorCode.PERMISSION_DENIED: (403, "PERMISSION_DENIED"),
    ErrorCode.RESOURCE_EXHAUSTED: (429, "RESOURCE_EXHAUSTED"),
    ErrorCode.FAILED_PRECONDITION: (412, "FAILED_PRECONDITION"),
    ErrorCode.ABORTED: (409, "ABORTED"),
    ErrorCode.OUT_OF_RANGE: (416, "OUT_OF_RANGE"),
    ErrorCode.UNIMPLEMENTED: (501, "UNIMPLEMENTED"),
    ErrorCode.INTERNAL: (500, "INTERNAL"),
    ErrorCode.UNAVAILABLE: (503, "UNAVAILABLE"),
    ErrorCode.DATA_LOSS: (500, "DATA_LOSS"),
    ErrorCode.UNAUTHENTICATED: (401, "UNAUTHENTICATED"),
    ErrorCode.UNPROCESSABLE_ENTITY: (422, "UNKNOWN"),
    ErrorCode.UPSTREAM_SERVER_ERROR: (502, "INTERNAL"),
    ErrorCode.UPSTREAM_CLIENT_ERROR: (424, "INVALID_ARGUMENT"),
}
_BY_TEXT = {str(code): code for code in ErrorCode}
# The code of the same name where several codes have one gRPC code.
_FROM_GRPC = {"CANCELLED": ErrorCode.CANCELED} | {code.name: code for code in ErrorCode}


def code_of_grpc(name: str) -> ErrorCode:
    """The code for the name of a gRPC status code; `UNKNOWN` for any other text."""
    return _FROM_GRPC.get(name, ErrorCode.UNKNOWN)
