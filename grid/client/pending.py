"""A request that was sent and not awaited yet: a future, and no task unless it must go again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

from google.protobuf.message import Message

from grid.errors import GridError, OutcomeUnknown
from grid.registry.registration import Registration
from grid.transport.answer import Reply
from grid.transport.transport import Cancellable, Outgoing

__all__ = ["CLIENT_CLOSED", "Sender", "Sent"]

CLIENT_CLOSED = "the client was closed"


class Sender(Protocol):
    """The client that sent a request, and sends it again."""

    closed: bool

    def recover(self, sent: Sent, error: GridError) -> Coroutine[Any, Any, Reply] | GridError:
        """The request sent again after this error, or the error to end with."""
        ...

    def abandon(self, sent: Sent) -> None:
        """Tell the receiver that the caller no longer waits."""
        ...

    def start(self, asking: Coroutine[Any, Any, Reply]) -> asyncio.Task[Reply]:
        """Make a task of it."""
        ...


class Sent(asyncio.Future[Message]):
    """The answer to come; resolved once, with a message or an error.

    The session resolves it as it does any future of its own: here the reply is
    decoded, and a failure that allows it makes the request go again, in a task.

    Args:
        sender: the client that sent it.
        outgoing: what was sent.
        at: its deadline on the clock of `deadline.now`.
        timeout: the seconds that made it.
        idempotent: acting on it twice does no harm.
        decode: makes the message of a reply; what it raises is the outcome.
        loop: where it is awaited.

    Attributes:
        owner: the registration of the name; None if it is not known yet.
        link: the session it is on.
        number: its number there.
    """

    __slots__ = (
        "_asking",
        "_decode",
        "_sender",
        "at",
        "idempotent",
        "link",
        "number",
        "outgoing",
        "owner",
        "timeout",
    )

    def __init__(
        self,
        sender: Sender,
        outgoing: Outgoing,
        at: float,
        timeout: float,
        idempotent: bool,
        decode: Callable[[str, bytes], Message],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        super().__init__(loop=loop)
        self._sender = sender
        self._decode = decode
        self._asking: asyncio.Task[Reply] | None = None
        self.outgoing: Outgoing = outgoing
        self.at: float = at
        self.timeout: float = timeout
        self.idempotent: bool = idempotent
        self.owner: Registration | None = None
        self.link: Cancellable | None = None
        self.number: int = 0

    def ask(self, asking: Coroutine[Any, Any, Reply]) -> None:
        """Let a task bring the reply."""
        self._asking = self._sender.start(asking)
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
        again = self._sender.recover(self, error)
        if isinstance(again, GridError):
            super().set_exception(again)
        else:
            self.ask(again)

    def cancel(self, msg: Any = None) -> bool:
        """Stop waiting, and tell the receiver."""
        if self.done():
            return False
        if self._asking is not None:
            self._asking.cancel()
        self._sender.abandon(self)
        return super().cancel(msg)

    def _asked(self, task: asyncio.Task[Reply]) -> None:
        if self.done():
            if not task.cancelled():
                task.exception()  # retrieved here, or asyncio would log it
            return
        if task.cancelled() and self._sender.closed:
            # Waiting for it is not cancelled: the client has ended it, as it ends all others.
            super().set_exception(OutcomeUnknown(CLIENT_CLOSED))
        elif task.cancelled():
            super().cancel()
        elif (error := task.exception()) is not None:
            super().set_exception(error)
        else:
            self.set_result(task.result())
