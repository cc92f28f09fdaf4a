"""The same client, blocking: for scripts, notebooks and web frameworks.

All blocking clients of a process share one event loop in one daemon thread;
they may be used from any thread, from many at once.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import inspect
import threading
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self, TypeVar, overload

from google.protobuf.message import Message

from grid import client as _client
from grid._retry import Retry
from grid.actor import ActorContext, StopSignal
from grid.broadcast import BroadcastResult, Group
from grid.codec import Codec, default_codec
from grid.deadline import Deadline
from grid.errors import ClientClosed
from grid.etcd import EtcdConfig
from grid.mailbox import Mailbox, Request
from grid.names import Kind
from grid.query import Entity, EntityEvent

__all__ = ["BlockingContext", "BlockingMailbox", "BlockingRequest", "Client"]

M = TypeVar("M", bound=Message)
T = TypeVar("T")


class _Loop:
    """An event loop in a daemon thread, started when first needed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None

    def get(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                threading.Thread(
                    target=self._loop.run_forever, name="grid.sync", daemon=True
                ).start()
            return self._loop


_shared = _Loop()


class Client:
    """A blocking client; arguments and errors are those of `grid.Client`.

    Use it as `with Client("shop") as client:`, from as many threads as you like.
    Interrupting a call (Ctrl-C) cancels it.
    """

    def __init__(
        self,
        namespace: str | None = None,
        *,
        etcd: str | EtcdConfig | None = None,
        timeout: float = 10.0,
        retry: Retry = Retry(),  # noqa: B008 - frozen
        connections_per_peer: int = 1,
        max_message_bytes: int = 4 * 1024 * 1024,
        codec: Codec = default_codec,
    ) -> None:
        self._loop = _shared.get()
        self._closed = False

        async def make() -> _client.Client:
            return _client.Client(
                namespace,
                etcd=etcd,
                timeout=timeout,
                retry=retry,
                connections_per_peer=connections_per_peer,
                max_message_bytes=max_message_bytes,
                codec=codec,
            )

        self._client = _wait(self._loop, make())

    def __repr__(self) -> str:
        return f"<sync {self._client!r}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End everything under way and let go of all connections. Idempotent."""
        if not self._closed:
            self._closed = True
            _wait(self._loop, self._client.close())

    @overload
    def request(
        self,
        name: str,
        message: Message,
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
        message: Message,
        *,
        timeout: float | None = None,
        metadata: Mapping[str, str] | None = None,
        idempotent: bool = False,
        wait: bool = False,
    ) -> Message: ...

    def request(self, name: str, message: Message, **options: Any) -> Message:
        """As `grid.Client.request`."""
        answer: Message = self._call(self._client.request(name, message, **options))
        return answer

    def broadcast(
        self,
        group: Group,
        message: Message,
        *,
        timeout: float | None = None,
        metadata: Mapping[str, str] | None = None,
        idempotent: bool = False,
    ) -> BroadcastResult:
        """As `grid.Client.broadcast`."""
        return self._call(
            self._client.broadcast(
                group, message, timeout=timeout, metadata=metadata, idempotent=idempotent
            )
        )

    def start_actor(
        self,
        type: str,  # noqa: A002
        *,
        name: str | None = None,
        peer: str | None = None,
        data: bytes = b"",
        annotations: Iterable[str] = (),
        timeout: float | None = None,
    ) -> str:
        """As `grid.Client.start_actor`."""
        return self._call(
            self._client.start_actor(
                type, name=name, peer=peer, data=data, annotations=annotations, timeout=timeout
            )
        )

    def stop_actor(
        self, name: str, *, grace: float | None = None, timeout: float | None = None
    ) -> None:
        """As `grid.Client.stop_actor`."""
        self._call(self._client.stop_actor(name, grace=grace, timeout=timeout))

    def query(self, kind: Kind | str, *, timeout: float | None = None) -> list[Entity]:
        """As `grid.Client.query`."""
        return self._call(self._client.query(kind, timeout=timeout))

    @contextmanager
    def watch(self, kind: Kind | str, *, patience: float = 30.0) -> Iterator[Iterator[EntityEvent]]:
        """As `grid.Client.watch`: `with client.watch("peer") as events: for event in events:`."""
        self._check_open()
        watch = self._client.watch(kind, patience=patience)
        _wait(self._loop, watch.__aenter__())

        def events() -> Iterator[EntityEvent]:
            while True:
                try:
                    yield _wait(self._loop, watch.__anext__())
                except StopAsyncIteration:
                    return

        try:
            yield events()
        finally:
            _wait(self._loop, watch.__aexit__(None, None, None))

    def check(self, peer: str, *, timeout: float | None = None) -> str:
        """As `grid.Client.check`."""
        return self._call(self._client.check(peer, timeout=timeout))

    def wait_until_serving(self, peer: str, *, timeout: float | None = None) -> None:
        """As `grid.Client.wait_until_serving`."""
        self._call(self._client.wait_until_serving(peer, timeout=timeout))

    def _check_open(self) -> None:
        if self._closed:
            raise ClientClosed

    def _call(self, coroutine: Coroutine[Any, Any, T]) -> T:
        if self._closed:
            coroutine.close()
            raise ClientClosed
        return _wait(self._loop, coroutine)


# -- actors that block -----------------------------------------------------------


class BlockingRequest:
    """A request in a blocking actor; see `grid.Request`."""

    def __init__(self, request: Request[Message], call: _Call) -> None:
        self.message = request.message
        self.metadata = request.metadata
        self.deadline = request.deadline
        self._request = request
        self._call = call

    def respond(self, message: Message) -> None:
        """As `grid.Request.respond`."""
        self._call(_do(self._request.respond, message))

    def ack(self) -> None:
        """As `grid.Request.ack`."""
        self._call(_do(self._request.ack))

    def fail(self, error: str | BaseException, *, code: str = "UNKNOWN") -> None:
        """As `grid.Request.fail`."""
        self._call(_do(lambda: self._request.fail(error, code=code)))


class BlockingMailbox:
    """A mailbox in a blocking actor: `for request in mailbox:`."""

    def __init__(self, mailbox: Mailbox, call: _Call) -> None:
        self.name = mailbox.name
        self.key = mailbox.key
        self.size = mailbox.size
        self.epoch = mailbox.epoch
        self._mailbox = mailbox
        self._call = call

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
        request = self._call(self._mailbox.receive())
        return None if request is None else BlockingRequest(request, self._call)

    def close(self) -> None:
        """As `grid.Mailbox.close`."""
        self._call(self._mailbox.close())


class BlockingContext:
    """What a blocking actor is given: `grid.ActorContext`, with calls that block.

    When the actor is cancelled, calls that wait raise `concurrent.futures.CancelledError`,
    and so does every later one.
    """

    def __init__(self, context: ActorContext, call: _Call) -> None:
        self.name = context.name
        self.id = context.id
        self.type = context.type
        self.namespace = context.namespace
        self.peer = context.peer
        self.epoch = context.epoch
        self.data = context.data
        self._context = context
        self._call = call

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
        return BlockingMailbox(self._context.mailbox, self._call)

    def open_mailbox(self, name: str | None = None, *, size: int = 64) -> BlockingMailbox:
        """As `grid.ActorContext.open_mailbox`; use it with `with`."""

        async def opened() -> Mailbox:
            return await self._context.open_mailbox(name, size=size)

        return BlockingMailbox(self._call(opened()), self._call)

    def wait_stopping(self, timeout: float | None = None) -> bool:
        """Wait until the actor shall end, at most `timeout` seconds; True if it shall."""

        async def stopping() -> bool:
            try:
                await asyncio.wait_for(self._context.stopping.wait(), timeout)
            except TimeoutError:
                return False
            return True

        return self._call(stopping())

    def request(self, name: str, message: Message, **options: Any) -> Message:
        """As `grid.Client.request`, by the peer's client."""
        answer: Message = self._call(self._context.client.request(name, message, **options))
        return answer


class _Call:
    """Runs coroutines on the peer's loop for a thread, until it is cancelled."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._lock = threading.Lock()
        self._waiting: set[concurrent.futures.Future[Any]] = set()
        self._cancelled = False

    def __call__(self, coroutine: Coroutine[Any, Any, T]) -> T:
        with self._lock:
            if self._cancelled:
                coroutine.close()
                raise concurrent.futures.CancelledError
            future = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
            self._waiting.add(future)
        try:
            return future.result()
        finally:
            with self._lock:
                self._waiting.discard(future)

    def cancel(self) -> None:
        """Cancel what waits, and everything later."""
        with self._lock:
            self._cancelled = True
            waiting = list(self._waiting)
        for future in waiting:
            future.cancel()


async def run_blocking(act: Callable[[BlockingContext], object], context: ActorContext) -> None:
    """Run a blocking actor in a thread of its own until it returns.

    A thread cannot be made to end: when this is cancelled, the actor's calls
    raise, and this still waits for the thread, because the actor holds its
    name for as long as it runs.
    """
    loop = asyncio.get_running_loop()
    call = _Call(loop)
    ended: asyncio.Future[None] = loop.create_future()

    def body() -> None:
        error: BaseException | None = None
        try:
            if inspect.isawaitable(act(BlockingContext(context, call))):
                error = TypeError(f"actor {context.id}: an async act must be an `async def`")
        except BaseException as raised:  # noqa: BLE001 - handed to the task that runs the actor
            error = raised
        if not loop.is_closed():
            loop.call_soon_threadsafe(_end, ended, error)

    # A daemon, so that an actor which never returns does not keep the process.
    threading.Thread(target=body, name=f"actor {context.name}", daemon=True).start()
    cancelled = False
    while not ended.done():
        try:
            await asyncio.shield(ended)
        except asyncio.CancelledError:
            cancelled = True
            call.cancel()
        except concurrent.futures.CancelledError:
            break
    if cancelled:
        raise asyncio.CancelledError


def _end(ended: asyncio.Future[None], error: BaseException | None) -> None:
    if error is None:
        ended.set_result(None)
    elif isinstance(error, concurrent.futures.CancelledError | StopIteration):
        ended.set_exception(RuntimeError("the actor's call was cancelled"))
    else:
        ended.set_exception(error)


async def _do(function: Callable[..., T], *arguments: Any) -> T:
    return function(*arguments)


def _wait(loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, T]) -> T:
    if threading.current_thread().name == "grid.sync":
        coroutine.close()
        raise RuntimeError("a blocking call on the loop of the blocking clients would never end")
    future = asyncio.run_coroutine_threadsafe(coroutine, loop)
    try:
        return future.result()
    except BaseException:
        future.cancel()
        raise
