"""The same client, blocking: for scripts, notebooks and web frameworks.

All blocking clients of a process share one event loop in one daemon thread;
they may be used from any thread, from many at once. The client of a blocking
actor is the peer's own, on the peer's loop.
"""

from __future__ import annotations

import concurrent.futures
import math
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self, TypeVar, overload

from google.protobuf.message import Message

from grid import client as _client
from grid.aio import Portal
from grid.client.broadcast import BroadcastResult, Group
from grid.client.retry import Retry
from grid.client.subscription import Subscription
from grid.codec import Codec, default_codec
from grid.etcd import EtcdConfig
from grid.handlers import ItemsCall
from grid.interceptors import Filter, Interceptor, OutgoingCall
from grid.plain import AnyMessage, copy_of
from grid.registry.entities import Entity, EntityEvent
from grid.registry.names import Kind
from grid.stream import Stream
from grid.sync.actor_calls import ActorCalls
from grid.sync.actor_ref import BlockingActorRef
from grid.sync.shared_loop import shared_loop
from grid.sync.stream import BlockingStream, BlockingSubscription
from grid.sync.watching import blocking_events
from grid.tls import TLS
from grid.transport.breaker import BreakerPolicy
from grid.transport.statistics import ClientStatistics

__all__ = ["Client"]

A = TypeVar("A")
F = TypeVar("F", bound=AnyMessage)
M = TypeVar("M", bound=AnyMessage)
T = TypeVar("T")


class Client(ActorCalls):
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
        tls: TLS | None = None,
        breaker: BreakerPolicy | None = None,
        filters: Iterable[Filter[OutgoingCall]] = (),
        interceptors: Iterable[Interceptor[OutgoingCall]] = (),
        codec: Codec = default_codec,
    ) -> None:
        self._portal = shared_loop.portal()
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
                tls=tls,
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

    @overload
    def subscribe(
        self,
        source: ItemsCall[F, M],
        first: F,
        *,
        resume: Callable[[M], F] | None = None,
        patience: float = math.inf,
        timeout: float | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> BlockingSubscription[M]: ...

    @overload
    def subscribe(
        self,
        source: str,
        first: AnyMessage,
        *,
        item: type[M],
        resume: Callable[[M], AnyMessage] | None = None,
        patience: float = math.inf,
        timeout: float | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> BlockingSubscription[M]: ...

    @overload
    def subscribe(
        self,
        source: str,
        first: AnyMessage,
        *,
        resume: Callable[[Message], AnyMessage] | None = None,
        patience: float = math.inf,
        timeout: float | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> BlockingSubscription[Message]: ...

    def subscribe(
        self,
        source: Any,
        first: AnyMessage,
        *,
        item: type[M] | None = None,
        resume: Callable[[M], Any] | None = None,
        patience: float = math.inf,
        timeout: float | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> BlockingSubscription[M]:
        """As `grid.Client.subscribe`; use it with `with`, or close it."""

        async def subscribed() -> Subscription[M]:
            options: dict[str, Any] = {} if item is None else {"item": item}
            return self._client.subscribe(
                source,
                first,
                resume=resume,
                patience=patience,
                timeout=timeout,
                metadata=metadata,
                **options,
            )

        return BlockingSubscription(self._call(subscribed()), self._portal)

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

    def query(self, kind: Kind | str, *, timeout: float | None = None) -> list[Entity]:
        """As `grid.Client.query`."""
        return self._call(self._client.query(kind, timeout=timeout))

    @contextmanager
    def watch(self, kind: Kind | str, *, patience: float = 30.0) -> Iterator[Iterator[EntityEvent]]:
        """As `grid.Client.watch`: `with client.watch("peer") as events: for event in events:`."""
        self._check_open()
        with blocking_events(self._client.watch(kind, patience=patience), self._portal) as events:
            yield events

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
