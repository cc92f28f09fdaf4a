"""Actors that block: each in a thread of its own, with a context whose calls block."""

from __future__ import annotations

import asyncio
import concurrent.futures
import inspect
import threading
from collections.abc import Callable, Coroutine, Iterator, Mapping
from types import TracebackType
from typing import Any, Self, TypeVar, overload

from google.protobuf.message import Message

from grid import trace_context
from grid.actor import ActorContext, StopSignal
from grid.aio import Portal
from grid.deadline import Deadline, check_timeout
from grid.mailbox.mailbox import Mailbox
from grid.mailbox.request import Request
from grid.plain import AnyMessage
from grid.registry.reminders import Reminder
from grid.sync.client import Client
from grid.sync.stream import BlockingStream

__all__ = [
    "BlockingContext",
    "BlockingExposure",
    "BlockingMailbox",
    "BlockingRequest",
    "BlockingStopSignal",
    "run_blocking",
]

M = TypeVar("M", bound=AnyMessage)
T = TypeVar("T")


class BlockingRequest:
    """A request in a blocking actor; see `grid.Request`."""

    def __init__(self, request: Request[Message], portal: Portal) -> None:
        self.message: Message = request.message
        self.metadata: Mapping[str, str] = request.metadata
        self.deadline: Deadline | None = request.deadline
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
        self.name: str = mailbox.name
        self.key: str = mailbox.key
        self.size: int = mailbox.size
        self.epoch: int = mailbox.epoch
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


class BlockingExposure:
    """An object that a blocking actor exposes, and what serves it.

    Attributes:
        served: what `await ctx.expose(...)` returns, for machines an `rpc.Server`. It belongs to
            the event loop of the peer: call its async methods with `run`.
    """

    def __init__(self, served: Any, portal: Portal) -> None:
        self.served = served
        self._portal = portal

    def run(self, work: Callable[[Any], Coroutine[Any, Any, T]]) -> T:
        """Run async code with `served` on the loop of the peer, and wait for its result.

        Args:
            work: called with `served`; its coroutine must not block the loop.
        """

        async def done() -> T:
            return await work(self.served)

        return self._portal.call(done())

    def close(self) -> None:
        """End the exposure before the actor ends. Idempotent."""
        self._portal.clean_up(self.served.__aexit__(None, None, None))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


class BlockingStopSignal:
    """Set when a blocking actor shall end. True in a condition once it is set."""

    def __init__(self, signal: StopSignal, portal: Portal) -> None:
        self._signal = signal
        self._portal = portal

    def __bool__(self) -> bool:
        return self._signal.is_set()

    def __repr__(self) -> str:
        return f"<blocking {self._signal!r}>"

    @property
    def reason(self) -> str:
        """The reason why it shall end; empty before."""
        return self._signal.reason

    def is_set(self) -> bool:
        """True once the actor shall end."""
        return self._signal.is_set()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the actor shall end, at most `timeout` seconds; True if it shall."""
        if timeout is not None:
            check_timeout(timeout)

        async def stopping() -> bool:
            try:
                async with asyncio.timeout(timeout):
                    await self._signal.wait()
            except TimeoutError:
                return False
            return True

        return self._portal.call(stopping())


class BlockingContext:
    """Context of a blocking actor: `grid.ActorContext`, with calls that block.

    When the actor is cancelled, calls that wait raise `concurrent.futures.CancelledError`,
    and so does every later one.
    """

    def __init__(self, context: ActorContext, portal: Portal) -> None:
        self.name: str = context.name
        self.id: str = context.id
        self.type: str = context.type
        self.namespace: str = context.namespace
        self.peer: str = context.peer
        self.epoch: int = context.epoch
        self.data: bytes = context.data
        self._context = context
        self._portal = portal
        self._client = Client._view(context.client, portal)

    @property
    def stopping(self) -> BlockingStopSignal:
        """Set when the actor shall end; look at it or wait for it."""
        return BlockingStopSignal(self._context.stopping, self._portal)

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

    def expose(self, subject: object, **options: Any) -> BlockingExposure:
        """As `grid.ActorContext.expose`: it is exposed when this returns, until the actor ends.

        With `with`, until the block is left.
        """

        async def exposed() -> Any:
            return await self._context.expose(subject, **options)

        return BlockingExposure(self._portal.call(exposed()), self._portal)

    def provided(self, kind: type[T]) -> T:
        """As `grid.ActorContext.provided`."""
        return self._context.provided(kind)

    def remind(
        self,
        name: str,
        message: AnyMessage,
        *,
        after: float | None = None,
        every: float | None = None,
    ) -> Reminder:
        """As `grid.ActorContext.remind`."""
        return self._portal.call(self._context.remind(name, message, after=after, every=every))

    def forget(self, name: str) -> bool:
        """As `grid.ActorContext.forget`."""
        return self._portal.call(self._context.forget(name))

    def reminders(self) -> list[Reminder]:
        """As `grid.ActorContext.reminders`."""
        return self._portal.call(self._context.reminders())

    def wait_stopping(self, timeout: float | None = None) -> bool:
        """As `stopping.wait`."""
        return self.stopping.wait(timeout)

    @property
    def client(self) -> Client:
        """The peer's client, with calls that block; they end when the actor is cancelled."""
        return self._client

    @overload
    def request(
        self,
        name: str,
        message: AnyMessage,
        *,
        reply: type[M],
        timeout: float | None = None,
        metadata: Mapping[str, str] | None = None,
        idempotent: bool = False,
        wait: bool = False,
    ) -> M: ...

    @overload
    def request(
        self,
        name: str,
        message: AnyMessage,
        *,
        timeout: float | None = None,
        metadata: Mapping[str, str] | None = None,
        idempotent: bool = False,
        wait: bool = False,
    ) -> Message: ...

    def request(self, name: str, message: AnyMessage, **options: Any) -> Any:
        """As `client.request`."""
        return self._client.request(name, message, **options)


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
