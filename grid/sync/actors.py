"""Actors that block: each in a thread of its own, with a context whose calls block."""

from __future__ import annotations

import asyncio
import concurrent.futures
import inspect
import threading
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any, Self, TypeVar

from google.protobuf.message import Message

from grid import trace_context
from grid.actor import ActorContext, StopSignal
from grid.aio import Portal
from grid.deadline import Deadline, check_timeout
from grid.mailbox.mailbox import Mailbox
from grid.mailbox.request import Request
from grid.plain import AnyMessage
from grid.sync.client import Client
from grid.sync.stream import BlockingStream

__all__ = ["BlockingContext", "BlockingMailbox", "BlockingRequest", "run_blocking"]

T = TypeVar("T")


class BlockingRequest:
    """A request in a blocking actor; see `grid.Request`."""

    def __init__(self, request: Request[Message], portal: Portal) -> None:
        self.message = request.message
        self.metadata = request.metadata
        self.deadline = request.deadline
        self._request = request
        self._portal = portal

    def respond(self, message: AnyMessage) -> None:
        """As `grid.Request.respond`."""
        self._portal.call(_do(self._request.respond, message))

    def ack(self) -> None:
        """As `grid.Request.ack`."""
        self._portal.call(_do(self._request.ack))

    def fail(self, error: str | BaseException, *, code: str = "UNKNOWN") -> None:
        """As `grid.Request.fail`."""
        self._portal.call(_do(lambda: self._request.fail(error, code=code)))

    @property
    def done(self) -> bool:
        """True once it is answered, or the caller no longer waits."""
        return self._request.done

    @property
    def cancelled(self) -> bool:
        """True once the caller no longer waits: it left, or its time is over."""
        return self._request.cancelled

    @property
    def opens_stream(self) -> bool:
        """True if the caller asks for a stream: answer with `accept` or `fail`."""
        return self._request.opens_stream

    def accept(self) -> BlockingStream:
        """As `grid.Request.accept`; use it with `with`."""
        return BlockingStream(self._portal.call(_do(self._request.accept)), self._portal)


class BlockingMailbox:
    """A mailbox in a blocking actor: `for request in mailbox:`."""

    def __init__(self, mailbox: Mailbox, portal: Portal) -> None:
        self.name = mailbox.name
        self.key = mailbox.key
        self.size = mailbox.size
        self.epoch = mailbox.epoch
        self._mailbox = mailbox
        self._portal = portal

    def __iter__(self) -> Iterator[BlockingRequest]:
        while (request := self.receive()) is not None:
            yield request

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def receive(self) -> BlockingRequest | None:
        """The next request, or None when the mailbox is closed or drained."""
        request = self._portal.call(self._mailbox.receive())
        if request is None:
            return None
        trace_context.hand_out(request.metadata)  # so far it is the trace of the loop's task
        return BlockingRequest(request, self._portal)

    def close(self) -> None:
        """As `grid.Mailbox.close`."""
        self._portal.clean_up(self._mailbox.close())


class BlockingContext:
    """Context of a blocking actor: `grid.ActorContext`, with calls that block.

    When the actor is cancelled, calls that wait raise `concurrent.futures.CancelledError`,
    and so does every later one.
    """

    def __init__(self, context: ActorContext, portal: Portal) -> None:
        self.name = context.name
        self.id = context.id
        self.type = context.type
        self.namespace = context.namespace
        self.peer = context.peer
        self.epoch = context.epoch
        self.data = context.data
        self._context = context
        self._portal = portal
        self._client = Client._view(context.client, portal)

    @property
    def stopping(self) -> StopSignal:
        """True in a condition once the actor shall end; see `wait_stopping`."""
        return self._context.stopping

    @property
    def deadline(self) -> Deadline | None:
        """By when the actor must have ended; None until it is asked to."""
        return self._context.deadline

    @property
    def mailbox(self) -> BlockingMailbox:
        """The mailbox of the actor's own name, if its definition has one."""
        return BlockingMailbox(self._context.mailbox, self._portal)

    def open_mailbox(self, name: str | None = None, *, size: int = 64) -> BlockingMailbox:
        """As `grid.ActorContext.open_mailbox`; use it with `with`."""

        async def opened() -> Mailbox:
            return await self._context.open_mailbox(name, size=size)

        return BlockingMailbox(self._portal.call(opened()), self._portal)

    def provided(self, kind: type[T]) -> T:
        """As `grid.ActorContext.provided`."""
        return self._context.provided(kind)

    def wait_stopping(self, timeout: float | None = None) -> bool:
        """Wait until the actor shall end, at most `timeout` seconds; True if it shall."""
        if timeout is not None:
            check_timeout(timeout)

        async def stopping() -> bool:
            try:
                await asyncio.wait_for(self._context.stopping.wait(), timeout)
            except TimeoutError:
                return False
            return True

        return self._portal.call(stopping())

    @property
    def client(self) -> Client:
        """The peer's client, with calls that block; they end when the actor is cancelled."""
        return self._client

    def request(self, name: str, message: Message, **options: Any) -> Message:
        """As `client.request`."""
        answer: Message = self._client.request(name, message, **options)
        return answer


async def run_blocking(act: Callable[[BlockingContext], object], context: ActorContext) -> None:
    """Run a blocking actor in a thread of its own until it returns.

    A thread cannot be made to end: when this is cancelled, the actor's calls
    raise, and this still waits for the thread, because the actor holds its
    name for as long as it runs.
    """
    loop = asyncio.get_running_loop()
    portal = Portal(loop)
    ended: asyncio.Future[BaseException | None] = loop.create_future()

    def body() -> None:
        error: BaseException | None = None
        try:
            if inspect.isawaitable(act(BlockingContext(context, portal))):
                error = TypeError(f"actor {context.id}: an async act must be an `async def`")
        except BaseException as raised:  # noqa: BLE001 - handed to the task that runs the actor
            error = raised
        if not loop.is_closed():
            loop.call_soon_threadsafe(ended.set_result, error)

    # A daemon, so that an actor which never returns does not keep the process.
    threading.Thread(target=body, name=f"actor {context.name}", daemon=True).start()
    cancelled = False
    while not ended.done():
        try:
            await asyncio.shield(ended)
        except asyncio.CancelledError:
            cancelled = True
            portal.cancel()
    error = ended.result()
    if cancelled and (error is None or isinstance(error, concurrent.futures.CancelledError)):
        raise asyncio.CancelledError
    if isinstance(error, concurrent.futures.CancelledError | StopIteration):
        # Raised in a task, these would mean something else.
        raise RuntimeError(f"the actor raised {error!r}") from error
    if error is not None:
        raise error


async def _do(function: Callable[..., T], *arguments: Any) -> T:
    return function(*arguments)
