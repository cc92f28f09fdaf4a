"""Errors of pools and workers.

    PoolError
    ├── UnknownKind      no peer offers the kind (caller, or peers that are not up)
    ├── NoWorker         no worker was free in time
    ├── ClientLimit      the client asks for more workers than the pool grants to one
    ├── PoolFailed       workers of the kind fail at their start; the text has their last words
    ├── WorkerLost       the worker ended; jobs that it had may have run
    └── JobFailed        the job raised in the worker

They derive from `grid.GridError`, so code that handles errors of the grid handles these, too.
"""

from __future__ import annotations

from grid.errors import GridError

__all__ = [
    "ClientLimit",
    "JobFailed",
    "NoWorker",
    "PoolError",
    "PoolFailed",
    "UnknownKind",
    "WorkerLost",
]


class PoolError(GridError):
    """The root of the errors of pools."""


class UnknownKind(PoolError):
    """No peer offers workers of this kind, and none did a moment ago.

    Your error, or the peers that define it are not up. Nothing ran.
    """

    retryable = True

    def __init__(self, kind: str, namespace: str = "") -> None:
        where = f" in namespace {namespace!r}" if namespace else ""
        super().__init__(
            f"no peer offers workers of kind {kind!r}{where}: start one that defines them"
        )
        self.kind = kind
        self.namespace = namespace


class NoWorker(PoolError, TimeoutError):
    """No worker became free within the timeout. Nothing ran; ask again, or raise `max`."""

    retryable = True

    def __init__(self, kind: str, timeout: float, why: str = "") -> None:
        super().__init__(
            f"no worker of kind {kind!r} was free within {timeout:g} s"
            + (f": {why}" if why else "")
        )
        self.kind = kind
        self.timeout = timeout
        self.why = why


class ClientLimit(PoolError):
    """The client would have more workers than the pool grants to one client.

    Release one first, or raise `per_client` of the kind. Nothing ran.
    """

    retryable = True

    def __init__(self, kind: str, limit: int) -> None:
        super().__init__(f"a client has at most {limit} workers of kind {kind!r} at a time")
        self.kind = kind
        self.limit = limit


class PoolFailed(PoolError):
    """Workers of the kind fail at their start on every peer; nothing ran.

    The text has the last words of one of them. The pool goes on to try.
    """

    retryable = True

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(f"workers of kind {kind!r} do not start: {reason}")
        self.kind = kind
        self.reason = reason


class WorkerLost(PoolError):
    """The worker ended before it answered; the job may have run, in part or whole.

    Attributes:
        worker: its name.
        reason: why it ended, if that is known.
        attempts: how often the job was begun.
    """

    def __init__(self, worker: str, reason: str = "", attempts: int = 1) -> None:
        tries = "" if attempts == 1 else f" (attempt {attempts}, the last)"
        super().__init__(f"worker {worker!r} was lost{tries}" + (f": {reason}" if reason else ""))
        self.worker = worker
        self.reason = reason
        self.attempts = attempts


class JobFailed(PoolError):
    """The job raised an error in its worker. It ran; a resend runs it again.

    Attributes:
        type: the name of the error's class there, such as `ValueError`.
        text: what it says.
        traceback: where it was raised, as Python prints it.
    """

    def __init__(self, type: str, text: str, traceback: str = "") -> None:  # noqa: A002
        super().__init__(f"{type}: {text}" if text else type)
        self.type = type
        self.text = text
        if traceback:
            self.add_note("in the worker:\n" + traceback.rstrip())
        self.traceback = traceback
