"""Kinds of failed calls: try elsewhere, log in again, or tell the caller."""

from __future__ import annotations

import enum

from grid.errors import (
    EtcdAuthFailed,
    EtcdCompacted,
    EtcdError,
    EtcdOutOfSpace,
    EtcdPermissionDenied,
    EtcdRequestTooLarge,
    EtcdUnavailable,
    GridError,
    LeaseLost,
)

__all__ = ["CallFailed", "Kind", "cause", "translate"]

_TELLING_ATTEMPT = 1.0  # seconds: that nothing came in less says little

# etcd itself never answers INTERNAL: it is gRPC's word for a call or stream that broke.
_LOST_CODES = {"UNAVAILABLE", "CANCELLED", "ABORTED", "INTERNAL"}
_LOST_TEXTS = (
    "stream removed",
    "rst_stream",
    "context canceled",
    "context deadline exceeded",
    "raft",
)
# The beginnings of etcd's own answers; everything else is said by gRPC.
_ETCDS_WORDS = ("etcdserver: ", "raft")
# Of etcd, and for still larger ones of the gRPC beneath it.
_TOO_LARGE_TEXTS = ("request is too large", "received message larger than max")
_TOKEN_TEXTS = ("invalid auth token", "revision of auth store is old", "user name is empty")
_AUTH_TEXTS = (*_TOKEN_TEXTS, "authentication failed", "password")


class Kind(enum.Enum):
    """The reaction to a failed call."""

    LOST = "the endpoint is gone or cannot serve: another may"
    TIMED_OUT = "the endpoint did not answer in the time of one attempt"
    TOKEN = "the login is not known (any more)"  # noqa: S105
    REFUSED = "etcd answered, and the answer is no"


class CallFailed(Exception):
    """A call to one endpoint failed; inside this package only.

    Attributes:
        code: name of the gRPC status code.
        text: what etcd or gRPC said.
    """

    def __init__(self, code: str, text: str) -> None:
        super().__init__(f"{code}: {text}")
        self.code = code
        self.text = text

    @property
    def kind(self) -> Kind:
        """The reaction to this failure."""
        text = self.text.lower()
        if self.code == "DEADLINE_EXCEEDED":
            return Kind.TIMED_OUT
        if any(part in text for part in _TOKEN_TEXTS):
            return Kind.TOKEN
        if self.code in _LOST_CODES or "too many requests" in text:
            return Kind.LOST
        if self.code == "UNKNOWN" and any(part in text for part in _LOST_TEXTS):
            return Kind.LOST
        return Kind.REFUSED

    @property
    def broke_connection(self) -> bool:
        """True if the connection failed; False if etcd answered, be it a refusal to serve."""
        return self.kind is Kind.LOST and not self.text.startswith(_ETCDS_WORDS)


def cause(before: CallFailed | None, failure: CallFailed, waited: float) -> CallFailed:
    """The failure to report: an attempt cut short by the deadline does not hide a real cause."""
    cut_short = failure.kind is Kind.TIMED_OUT and waited < _TELLING_ATTEMPT
    return before if before is not None and cut_short else failure


def translate(failure: CallFailed, *, revision: int = 0) -> GridError:
    """The public error for a failure.

    Args:
        revision: the revision asked for, in case it is compacted.
    """
    text = failure.text.removeprefix("etcdserver: ")
    lowered = text.lower()
    if "required revision has been compacted" in lowered:
        return EtcdCompacted(revision)
    if "lease not found" in lowered:
        return LeaseLost(text)
    if "database space exceeded" in lowered:
        return EtcdOutOfSpace(text)
    if any(part in lowered for part in _TOO_LARGE_TEXTS):
        return EtcdRequestTooLarge(text)
    if failure.code == "PERMISSION_DENIED":
        return EtcdPermissionDenied(text)
    if failure.code == "UNAUTHENTICATED" or any(part in lowered for part in _AUTH_TEXTS):
        return EtcdAuthFailed(text)
    if failure.kind in (Kind.LOST, Kind.TIMED_OUT):
        return EtcdUnavailable(text)
    return EtcdError(text)
