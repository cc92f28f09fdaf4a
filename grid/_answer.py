"""Where the outcome of a request goes.

An answer is given once: by the owner of the mailbox, by the mailbox when it
closes, by the request when its last reference goes, or by the caller, who no
longer waits. The first counts and the others are ignored here; who must hear
that it came too late asks `done` before. Subclasses carry the outcome: to a
future of this process, or into a session.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterable
from typing import Any

from grid.errors import GridError

__all__ = ["Answer", "FutureAnswer", "Reply", "Unanswerable", "all_done"]

Reply = tuple[str, bytes]  # the reply's type name and payload


class Answer:
    """An outcome that is to come.

    Attributes:
        at: the caller's deadline on the clock of `deadline.now`; infinite for none.
        done: True once the outcome is there, or nobody waits for it.
        cancelled: True if nobody waits for it.
        opens_stream: True if the caller asks for a stream.
    """

    __slots__ = ("_holder", "_watcher", "at", "cancelled", "done")

    opens_stream = False

    def __init__(self, at: float = math.inf) -> None:
        self.at = at
        self.done = False
        self.cancelled = False
        self._holder: set[Answer] | None = None
        self._watcher: Callable[[], object] | None = None

    def resolve(self, name: str, data: bytes) -> None:
        """Answer with a message."""
        if not self.done:
            self._finish()
            self._send(name, data)

    def reject(self, error: GridError) -> None:
        """Answer with an error."""
        if not self.done:
            self._finish()
            self._send_error(error)

    def cancel(self) -> None:
        """Nobody waits any more."""
        if not self.done:
            self.cancelled = True
            self._finish()

    def accept(self, stream: Any) -> bool:
        """Open the stream that was asked for; False if nobody waits for it any more."""
        raise NotImplementedError

    def hold(self, holder: set[Answer]) -> None:
        """Be a member of a set until done."""
        self._holder = holder
        holder.add(self)

    def watch(self, watcher: Callable[[], object]) -> None:
        """Call a function once, when done."""
        self._watcher = watcher

    def _finish(self) -> None:
        self.done = True
        if self._holder is not None:
            self._holder.discard(self)
        if self._watcher is not None:
            self._watcher()

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


class Unanswerable(Answer):
    """What a `tell` has for an answer: whatever is said goes nowhere."""

    __slots__ = ()

    def _send(self, name: str, data: bytes) -> None:
        pass

    def _send_error(self, error: GridError) -> None:
        pass


async def all_done(answers: Iterable[Answer]) -> None:
    """Wait until each of these has its outcome."""
    for answer in answers:
        if not answer.done:
            done = asyncio.Event()
            answer.watch(done.set)
            await done.wait()
