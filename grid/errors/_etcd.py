"""etcd refuses, or cannot be had."""

from __future__ import annotations

from typing import Any

from grid.errors._base import GridError, Retryable

__all__ = [
    "EmbeddedEtcdFailed",
    "EtcdAuthFailed",
    "EtcdCompacted",
    "EtcdError",
    "EtcdOutOfSpace",
    "EtcdPermissionDenied",
    "EtcdRequestTooLarge",
    "EtcdUnavailable",
]


class EtcdError(GridError):
    """etcd refused, or cannot be had."""

    detail: str

    def __init__(self, detail: str) -> None:
        super().__init__(f"etcd: {detail}", detail=detail)


class EtcdUnavailable(EtcdError, Retryable):
    """No endpoint answered in time. Start etcd, or correct the endpoints."""


class EtcdAuthFailed(EtcdError):
    """etcd refused the user or the password, or asks for one."""


class EtcdPermissionDenied(EtcdError):
    """The etcd user may not read or write the key."""


class EtcdOutOfSpace(EtcdError, Retryable):
    """The quota of etcd is used up: compact and defragment it, then disarm the alarm."""


class EtcdRequestTooLarge(EtcdError):
    """etcd takes no request of that size; send less, or raise its `--max-request-bytes`."""


class EtcdCompacted(EtcdError):
    """The revision asked for is compacted away; read again."""

    revision: int

    def __init__(self, revision: int) -> None:
        super().__init__(f"revisions before {revision} are compacted")
        self.revision = revision

    def attributes(self) -> dict[str, Any]:
        return {"revision": self.revision}


class EmbeddedEtcdFailed(EtcdError):
    """The embedded etcd did not start; the text has the end of its log."""
