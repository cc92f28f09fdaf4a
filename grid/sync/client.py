"""The same client, blocking: for scripts, notebooks and web frameworks.

All blocking clients of a process share one event loop in one daemon thread;
they may be used from any thread, from many at once. The client of a blocking
actor is the peer's own, on the peer's loop.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
import warnings
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Literal, Self, TypeVar, overload

from google.protobuf.message import Message

from grid import client as _client
from grid.aio import Portal
from grid.client.broadcast import BroadcastResult, Group
from grid.client.placement import Place
from grid.client.reports import ActorReport
from grid.client.retry import Retry
from grid.codec import Codec, default_codec
from grid.errors import ClientClosed
from grid.etcd import EtcdConfig
from grid.forks import check_grpc, in_children
from grid.interceptors import Filter, Interceptor, OutgoingCall
from grid.mailbox.dispatcher import peer_of_this_loop
from grid.plain import AnyMessage, copy_of
from grid.registry.entities import Entity, EntityEvent
from grid.registry.names import Kind
from grid.stream import Stream
from grid.sync.actor_ref import BlockingActorRef
from grid.sync.stream import BlockingStream
from grid.transport.breaker import BreakerPolicy
from grid.transport.statistics import ClientStatistics

__all__ = ["Client"]

A = TypeVar("A")
M = TypeVar("M", bound=AnyMessage)
T = TypeVar("T")


class _SharedLoop:
    """An event loop in a daemon thread, started when first needed."""

    def __init__(self) -> None:
        # Reentrant: a collection inside may run a `__del__` that makes a client.
        self._lock = threading.RLock()
        self._loop: asyncio.AbstractEventLoop | None = None

    def portal(self) -> Portal:
        """A new way into the loop."""
        check_grpc()
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                threading.Thread(
                    target=self._loop.run_forever, name="grid.sync", daemon=True
                ).start()
            return Portal(self._loop)

    def forget(self) -> None:
        """Make another loop when the next client is made: a forked child has no thread of it."""
        self.__init__()  # type: ignore[misc]


_shared = _SharedLoop()
in_children(_shared.forget)


class Client:
    """A blocking client; arguments and errors are those of `grid.Client`.

    Use it as `with Client("shop") as client:`, from as many threads as you like.
    Interrupting a call (Ctrl-C) cancels it. Filters and interceptors are async
    functions all the same: they run on the loop that blocking clients share, so
    they must not block.
    """

    def __init__(
        self,
        namespace: str | None = None,
        *,
        etcd: str | EtcdConfig | None = None,
        timeout: float = 10.0,
        retry: Retry = Retry(),  # noqa: B008 - frozen
        sessions_per_peer: int = 1,
        max_message_bytes: int = 100 * 1024 * 1024,
        compression: str | None = None,
        checksum: bool = False,
        breaker: BreakerPolicy | None = None,
        filters: Iterable[Filter[OutgoingCall]] = (),
        interceptors: Iterable[Interceptor[OutgoingCall]] = (),
        codec: Codec = default_codec,
    ) -> None:
        self._portal = _shared.portal()
        self._closed = False
        self._owns_client = True

        async def make() -> _client.Client:
            return _client.Client(
                namespace,
                etcd=etcd,
                timeout=timeout,
                retry=retry,
                sessions_per_peer=sessions_per_peer,
                max_message_bytes=max_message_bytes,
                compression=compression,
                checksum=checksum,
                breaker=breaker,
                filters=filters,
                interceptors=interceptors,
                codec=codec,
            )

        self._client = self._portal.call(make())

    @classmethod
    def _view(cls, client: _client.Client, portal: Portal) -> Self:
        """A blocking client over an existing one, which `close` leaves open."""
        view = cls.__new__(cls)
        view._portal, view._client, view._closed = portal, client, False
        view._owns_client = False
        return view

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
        """End everything under way and let go of all connections. Idempotent.

        The client of a blocking actor is its peer's and stays open.
        """
        if self._owns_client and not self._closed:
            self._closed = True
            self._portal.clean_up(self._client.close())

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

    def request(
        self,
        name: str,
        message: AnyMessage,
        *,
        reply: type[Any] | None = None,
        timeout: float | None = None,
        metadata: Mapping[str, str] | None = None,
        idempotent: bool = False,
        wait: bool = False,
    ) -> Any:
        """As `grid.Client.request`."""
        asking: Any = self._client.request(
            name,
            message,
            reply=reply,  # type: ignore[arg-type] # one of the two overloads
            timeout=timeout,
            metadata=metadata,
            idempotent=idempotent,
            wait=wait,
        )
        answer: Message = self._call(asking)
        return answer

    def send(
        self,
        name: str,
        message: AnyMessage,
        *,
        reply: type[AnyMessage] | None = None,
        timeout: float | None = None,
        metadata: Mapping[str, str] | None = None,
        idempotent: bool = False,
    ) -> concurrent.futures.Future[Message]:
        """Send a message and go on: `future.result()` waits for the answer.

        Cancelling the future tells the receiver that its caller has left. It resolves
        once; arguments, errors and resending are those of `grid.Client.request`,
        and all errors but `ClientClosed` are the future's.
        """
        self._check_open()
        # It is encoded on another thread, and the caller may use its own again.
        message = copy_of(message)
        metadata = dict(metadata) if metadata else metadata

        async def sent() -> Message:
            return await self._client.send(
                name,
                message,
                reply=reply,
                timeout=timeout,
                metadata=metadata,
                idempotent=idempotent,
            )

        return self._portal.submit(sent())

    def tell(
        self,
        name: str,
        message: AnyMessage,
        *,
        timeout: float | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        """As `grid.Client.tell`."""
        self._call(self._client.tell(name, message, timeout=timeout, metadata=metadata))

    def stream(
        self,
        name: str,
        first: AnyMessage,
        *,
        timeout: float | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> BlockingStream:
        """Open a stream, as `grid.Client.stream`: `with client.stream("feed", first) as stream:`.

        It is open when this returns; use it with `with`, or close it.
        """

        async def opened() -> Stream:
            return await self._client.stream(name, first, timeout=timeout, metadata=metadata)

        return BlockingStream(self._call(opened()), self._portal)

    def broadcast(
        self,
        group: Group,
        message: AnyMessage,
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

    def actor(self, cls: type[A], name: str) -> BlockingActorRef:
        """A reference to an actor, as `grid.Client.actor`, whose calls block."""
        return BlockingActorRef(self, cls, name)

    def start_actor(
        self,
        type: str,  # noqa: A002
        *,
        name: str | None = None,
        peer: str | None = None,
        data: bytes = b"",
        annotations: Iterable[str] = (),
        if_exists: Literal["fail", "return"] = "fail",
        place: Place = "name",
        key: str | None = None,
        timeout: float | None = None,
    ) -> str:
        """As `grid.Client.start_actor`."""
        return self._call(
            self._client.start_actor(
                type,
                name=name,
                peer=peer,
                data=data,
                annotations=annotations,
                if_exists=if_exists,
                place=place,
                key=key,
                timeout=timeout,
            )
        )

    def stop_actor(
        self, name: str, *, grace: float | None = None, timeout: float | None = None
    ) -> None:
        """As `grid.Client.stop_actor`."""
        self._call(self._client.stop_actor(name, grace=grace, timeout=timeout))

    def actor_reports(self, peer: str, *, timeout: float | None = None) -> list[ActorReport]:
        """As `grid.Client.actor_reports`."""
        return self._call(self._client.actor_reports(peer, timeout=timeout))

    def drain_peer(self, peer: str, *, timeout: float | None = None) -> None:
        """As `grid.Client.drain_peer`."""
        self._call(self._client.drain_peer(peer, timeout=timeout))

    def query(self, kind: Kind | str, *, timeout: float | None = None) -> list[Entity]:
        """As `grid.Client.query`."""
        return self._call(self._client.query(kind, timeout=timeout))

    @contextmanager
    def watch(self, kind: Kind | str, *, patience: float = 30.0) -> Iterator[Iterator[EntityEvent]]:
        """As `grid.Client.watch`: `with client.watch("peer") as events: for event in events:`."""
        self._check_open()
        watch = self._client.watch(kind, patience=patience)
        self._portal.call(watch.__aenter__())

        def events() -> Iterator[EntityEvent]:
            while True:
                try:
                    yield self._portal.call(watch.__anext__())
                except StopAsyncIteration:
                    return

        try:
            yield events()
        finally:
            self._portal.clean_up(watch.__aexit__(None, None, None))

    def check(self, peer: str, *, timeout: float | None = None) -> str:
        """As `grid.Client.check`."""
        return self._call(self._client.check(peer, timeout=timeout))

    def wait_until_serving(self, peer: str, *, timeout: float | None = None) -> None:
        """As `grid.Client.wait_until_serving`."""
        self._call(self._client.wait_until_serving(peer, timeout=timeout))

    def run(self, work: Callable[[_client.Client], Coroutine[Any, Any, T]]) -> T:
        """Run async code with the async client behind this one, on its loop, and wait for it.

        Args:
            work: called with the client; its coroutine must not block the loop, which all
                blocking clients of the process share. Interrupted (Ctrl-C), it is cancelled.

        Raises:
            ClientClosed: this client was closed.
        """
        return self._call(work(self._client))

    def statistics(self) -> ClientStatistics:
        """As `grid.Client.statistics`."""

        async def told() -> ClientStatistics:
            return self._client.statistics()

        return self._portal.call(told())

    def _check_open(self) -> None:
        if self._closed:
            raise ClientClosed

    def _call(self, coroutine: Coroutine[Any, Any, T]) -> T:
        if self._closed:
            coroutine.close()
            raise ClientClosed
        # Asking for the loop first costs nothing in a thread without one, the usual case.
        if asyncio._get_running_loop() is not None and (peer := peer_of_this_loop()):
            warnings.warn(
                f"this blocking call holds up the event loop of peer {peer!r}, which answers "
                "nothing meanwhile and may lose its lease: await a grid.Client, or use "
                "asyncio.to_thread",
                RuntimeWarning,
                stacklevel=3,
            )
        return self._portal.call(coroutine)
