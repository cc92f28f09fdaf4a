"""Errors of pools and workers.

    PoolError
    ├── UnknownKind      no peer offers the kind (caller, or peers that are not up)
    ├── NoWorker         no worker was free in time
    ├── ClientLimit      the client would keep more workers than the pool grants to one
    ├── NoPlace          no peer has what workers of the kind need; the text has each one's reason
    ├── PoolFailed       workers of the kind fail at their start; the text has their last words
    ├── NoClient         a worker sends a payload while it serves no client
    ├── WorkerLost       the worker ended; jobs that it had may have run
    └── JobFailed        the job raised in the worker

They derive from `grid.GridError`, so code that handles errors of the grid handles these, too.
"""

from __future__ import annotations

from copy import copy

from grid.errors import GridError, Retryable

__all__ = [
    "ClientLimit",
    "JobFailed",
    "NoClient",
    "NoPlace",
    "NoWorker",
    "PoolError",
    "PoolFailed",
    "UnknownKind",
    "WorkerLost",
    "after_jobs",
    "to_future",
]


class PoolError(GridError):
    """The root of the errors of pools."""


class UnknownKind(PoolError, Retryable):
    """No peer offers workers of this kind, and none did a moment ago.

    Your error, or the peers that define it are not up. Nothing ran.
    """

    def __init__(self, kind: str, namespace: str = "") -> None:
        where = f" in namespace {namespace!r}" if namespace else ""
        super().__init__(
            f"no peer offers workers of kind {kind!r}{where}: start one that defines them"
        )
        self.kind = kind
        self.namespace = namespace


class NoWorker(PoolError, Retryable, TimeoutError):
    """No worker became free within the timeout. Nothing ran; ask again, or raise `max`."""

    def __init__(self, kind: str, timeout: float, why: str = "") -> None:
        super().__init__(
            f"no worker of kind {kind!r} was free within {round(timeout, 3):g} s"
            + (f": {why}" if why else "")
        )
        self.kind = kind
        self.timeout = timeout
        self.why = why


class ClientLimit(PoolError, Retryable):
    """The client would keep more workers for itself than the pool grants to one client.

    Release one first, have `run` or `map` share them, or raise `per_client` of the kind. Nothing
    ran.
    """

    def __init__(self, kind: str, limit: int) -> None:
        super().__init__(
            f"a client has at most {limit} workers of kind {kind!r} at a time, and this one keeps "
            "them: release one, use `map`, or raise per_client= of the kind"
        )
        self.kind = kind
        self.limit = limit


class NoClient(PoolError):
    """The worker serves no client to which it could send a payload. Send it in a job."""

    def __init__(self, worker: str, payload: str) -> None:
        super().__init__(f"worker {worker!r} has no client to send the payload {payload!r} to")
        self.worker = worker
        self.payload = payload


class NoPlace(PoolError, Retryable):
    """No peer that offers the kind can run one of its workers; nothing ran.

    The text has the peers with their reasons. Start a peer that has what `cpus`, `room` and
    `annotations` of the kind ask for, or ask for less.
    """

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(f"workers of kind {kind!r} have no place: {reason}")
        self.kind = kind
        self.reason = reason


class PoolFailed(PoolError, Retryable):
    """Workers of the kind fail at their start on every peer; nothing ran.

    The text has the last words of one of them. The pool goes on to try.
    """

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(f"workers of kind {kind!r} do not start: {reason}")
        self.kind = kind
        self.reason = reason


class WorkerLost(PoolError):
    """The worker ended before it answered; the job may have run, in part or whole.

    Attributes:
        worker: its name.
        reason: why it ended, as its agent knows it; else how the connection ended.
        attempts: how often the job was begun.
    """

    def __init__(self, worker: str, reason: str = "", attempts: int = 1) -> None:
        tries = "" if attempts == 1 else f" (attempt {attempts}, the last)"
        super().__init__(f"worker {worker!r} was lost{tries}" + (f": {reason}" if reason else ""))
        self.worker = worker
        self.reason = reason
        self.attempts = attempts

    def after(self, attempts: int) -> WorkerLost:
        """This error of a job that was begun several times."""
        return WorkerLost(self.worker, self.reason, attempts)


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


def after_jobs(error: GridError) -> GridError:
    """The error of a run some of whose jobs may have run: it is not safe to retry."""
    found = copy(error)
    found.retryable = False
    found.add_note("jobs of this run may have run")
    return found


def to_future(error: object) -> BaseException:
    """An error of a user's code as one that a future, or an iteration, can raise.

    Not every error is one: the end of an iterator would mean something else there, and what a
    machine is given as its error may be anything.
    """
    if not isinstance(error, BaseException):
        return RuntimeError(error if isinstance(error, str) else f"{type(error).__name__} object")
    if not isinstance(error, StopIteration | StopAsyncIteration):
        return error
    found = RuntimeError(f"{type(error).__name__} was raised")
    found.__cause__ = error
    return found
