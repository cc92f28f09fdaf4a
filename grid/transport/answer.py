"""The destination of the outcome of a request.

An answer is given once: by the owner of the mailbox, by the mailbox when it
closes, by the request when its last reference goes, or by the caller, which
no longer waits. The first counts and the others are ignored here; a side that
must know that it came too late reads `done` before. Subclasses carry the outcome: to a
future of this process, or into a session.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable, Iterable
from typing import Any, Protocol

from grid.aio import USER_ERRORS
from grid.errors import GridError, RequestFailed
from grid.errors.classification import from_actor
from grid.transport._warnings import warnings

__all__ = [
    "Abandonable",
    "Answer",
    "FutureAnswer",
    "GoAnswer",
    "Overdue",
    "Reply",
    "Unanswerable",
    "all_done",
    "until_done",
]

_log = logging.getLogger("grid.transport")

GO_BYTES = 4 * 1024 * 1024  # of an envelope
_ENVELOPE = 16  # bytes that it adds to its type name and its data

Reply = tuple[str, bytes]  # the reply's type name and payload


class Overdue(GridError):
    """No answer within the time of the exchange; the caller makes a `DeadlineExceeded` of it."""


class Abandonable(Protocol):
    """Work for a caller, which may leave."""

    def abandoned(self) -> None:
        """Take note that the caller waits no more."""


class Answer:
    """An outcome that is to come.

    Attributes:
        at: the caller's deadline on the clock of `deadline.now`; infinite for none.
        done: True once the outcome is there, or the caller has left.
        cancelled: True if the caller has left.
        opens_stream: True if the caller asks for a stream.
        owner: told if the caller leaves before the outcome is there. It costs nothing where it
            is there first, unlike `watch`.
    """

    __slots__ = ("_holder", "_watchers", "at", "cancelled", "done", "owner")

    opens_stream = False

    def __init__(self, at: float = math.inf) -> None:
        self.at: float = at
        self.done: bool = False
        self.cancelled: bool = False
        self._holder: set[Answer] | None = None  # left when done
        self._watchers: list[Callable[[], object]] | None = None
        self.owner: Abandonable | None = None

    def resolve(self, name: str, data: bytes) -> None:
        """Answer with a message."""
        if not self.done:
            self.done = True  # `_finish`, inlined: each reply comes through here
            if self._holder is not None:
                self._holder.discard(self)
            if self._watchers is not None:
                self._tell_watchers()
            try:
                self._send(name, data)
            except BaseException as error:
                # Or the caller would wait for its deadline: nothing else will answer it.
                self._send_error(RequestFailed(f"the reply cannot be sent: {error!r}", "INTERNAL"))
                raise

    def reject(self, error: GridError) -> None:
        """Answer with an error of the grid, which the caller gets as it is."""
        if not self.done:
            self._finish()
            self._send_error(error)

    def fail(self, error: GridError) -> None:
        """Answer with an error of the actor: the caller gets a `RequestFailed`."""
        self.reject(from_actor(error))

    def cancel(self) -> None:
        """Note that the caller waits no more."""
        if not self.done:
            self.cancelled = True
            self._finish()
            if self.owner is not None:
                self._tell_owner(self.owner)

    def accept(self, stream: Any) -> bool:
        """Open the stream that was asked for; False if the caller has left."""
        raise NotImplementedError

    def watch(self, watcher: Callable[[], object]) -> None:
        """Call a function once, when done; at once if it is. There may be several."""
        if self.done:
            watcher()
        elif self._watchers is None:
            self._watchers = [watcher]
        else:
            self._watchers.append(watcher)

    def unwatch(self, watcher: Callable[[], object]) -> None:
        """Do not call the function any more."""
        if self._watchers is not None and watcher in self._watchers:
            self._watchers.remove(watcher)

    def _finish(self) -> None:
        self.done = True
        if self._holder is not None:
            self._holder.discard(self)
        if self._watchers is not None:
            self._tell_watchers()

    def _tell_owner(self, owner: Abandonable) -> None:
        try:
            owner.abandoned()
        except USER_ERRORS as error:  # its session is that of other callers, too
            _log.error("the owner of a request that was abandoned failed", exc_info=error)

    def _tell_watchers(self) -> None:
        watchers, self._watchers = self._watchers or (), None
        for watcher in watchers:
            watcher()

    def _send(self, name: str, data: bytes) -> None:
        raise NotImplementedError

    def _send_error(self, error: GridError) -> None:
        raise NotImplementedError


class FutureAnswer(Answer):
    """The outcome becomes that of a future."""

    __slots__ = ("_future",)

    def __init__(self, future: asyncio.Future[Reply], at: float = math.inf) -> None:
        super().__init__(at)
        self._future = future

    def _send(self, name: str, data: bytes) -> None:
        if not self._future.done():
            self._future.set_result((name, data))

    def _send_error(self, error: GridError) -> None:
        if not self._future.done():
            self._future.set_exception(error)


class GoAnswer(FutureAnswer):
    """The answer to a client of gRPC for Go, which takes no more than 4 MiB.

    The Go library sends a request again whose answer it could not take, and whose error it
    gets, too; so the log of the peer says why a request is acted upon several times.
    """

    __slots__ = ()

    def _send(self, name: str, data: bytes) -> None:
        size = len(data) + len(name)
        if size + _ENVELOPE <= GO_BYTES:
            super()._send(name, data)
            return
        warnings.warn(
            "an answer of %d bytes was not sent: Go clients take %d, and send the request again",
            size,
            GO_BYTES,
        )
        text = f"grid: message too large: received message larger than max ({size} vs. {GO_BYTES})"
        self._send_error(RequestFailed(text, "RESOURCE_EXHAUSTED"))


class Unanswerable(Answer):
    """The answer to a `tell`, which is not sent."""

    __slots__ = ()

    def _send(self, name: str, data: bytes) -> None:
        pass

    def _send_error(self, error: GridError) -> None:
        pass


async def all_done(answers: Iterable[Answer]) -> None:
    """Wait until each of these has its outcome."""
    for answer in answers:
        await until_done(answer)


async def until_done(answer: Answer) -> bool:
    """Wait until it has its outcome; True if the caller has left."""
    done = asyncio.Event()
    watcher = done.set
    answer.watch(watcher)
    try:
        await done.wait()
    finally:
        answer.unwatch(watcher)
    return answer.cancelled
