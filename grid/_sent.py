"""A request that was sent and not awaited yet: a future, and no task unless it must go again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from google.protobuf.message import Message

from grid._answer import Reply
from grid.errors import GridError

__all__ = ["Sent"]


class Sent(asyncio.Future[Message]):
    """The answer to come; resolved once, with a message or an error.

    The session resolves it as it does any future of its own: here the reply is
    decoded, and a failure that allows it makes the request go again, in a task.

    Args:
        decode: makes the message of a reply; what it raises is the outcome.
        again: the request sent anew after this error, or None if that is not allowed.
        start: makes a task of the request sent anew.
        cancelled: called when nobody waits any more.
    """

    def __init__(
        self,
        *,
        decode: Callable[[str, bytes], Message],
        again: Callable[[GridError], Coroutine[Any, Any, Reply] | GridError],
        start: Callable[[Coroutine[Any, Any, Reply]], asyncio.Task[Reply]],
        cancelled: Callable[[Sent], None],
    ) -> None:
        super().__init__(loop=asyncio.get_running_loop())
        self._decode = decode
        self._again = again
        self._start = start
        self._told_cancelled = cancelled
        self._asking: asyncio.Task[Reply] | None = None

    def ask(self, asking: Coroutine[Any, Any, Reply]) -> None:
        """Let a task bring the reply."""
        self._asking = self._start(asking)
        self._asking.add_done_callback(self._asked)

    def set_result(self, reply: Any) -> None:
        """Take the reply: its type name and payload."""
        try:
            message = self._decode(*reply)
        except GridError as error:
            super().set_exception(error)
        else:
            super().set_result(message)

    def set_exception(self, error: Any) -> None:
        """Take a failure, or try again."""
        again = self._again(error)
        if isinstance(again, GridError):
            super().set_exception(again)
        else:
            self.ask(again)

    def cancel(self, msg: Any = None) -> bool:
        """Nobody waits any more; the receiver is told."""
        if self.done():
            return False
        if self._asking is not None:
            self._asking.cancel()
        self._told_cancelled(self)
        return super().cancel(msg)

    def _asked(self, task: asyncio.Task[Reply]) -> None:
        if self.done():
            if not task.cancelled():
                task.exception()  # nobody else will look
            return
        if task.cancelled():
            super().cancel()
        elif (error := task.exception()) is not None:
            super().set_exception(error)
        else:
            self.set_result(task.result())
