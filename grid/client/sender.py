"""Messages to names: requests, tells, streams, broadcasts. The larger half of a client."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from functools import partial
from threading import get_ident
from types import TracebackType
from typing import Any, Self, TypeVar, overload

from google.protobuf.message import Message

from grid import trace_context
from grid.aio import Opening
from grid.client.arguments import check_group, check_metadata, check_options
from grid.client.broadcast import BroadcastResult, Group, collect
from grid.client.interception import decode_as, outgoing_interception
from grid.client.retry import Retry
from grid.client.router import Router
from grid.codec import Codec, default_codec
from grid.deadline import Deadline, check_timeout
from grid.environment import default_etcd, default_namespace, default_tls
from grid.errors import ClientClosed, IncompleteBroadcast, InvalidName, WrongEventLoop
from grid.etcd import EtcdClient, EtcdConfig
from grid.forks import check_grpc
from grid.interceptors import Filter, Interceptor, OutgoingCall
from grid.plain import AnyMessage, check_reply, of_type
from grid.registry.directory import Directory
from grid.registry.names import Kind, check_name, prefix
from grid.stream import Stream
from grid.tls import TLS
from grid.transport.breaker import BreakerPolicy
from grid.transport.breaker_transport import make_transport
from grid.transport.settings import SessionSettings
from grid.transport.transport import Outgoing

__all__ = ["Messaging"]

M = TypeVar("M", bound=AnyMessage)

_KEYS = 100_000  # full names that are kept


class Messaging:
    """Sends messages to mailboxes by name; see `Client`."""

    def __init__(
        self,
        namespace: str | None = None,
        *,
        etcd: str | EtcdConfig | EtcdClient | None = None,
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
        check_grpc()
        self.namespace: str = default_namespace(namespace)
        check_options(timeout, retry, sessions_per_peer, breaker, codec)
        self.timeout = timeout
        self._mailbox_prefix = prefix(self.namespace, Kind.MAILBOX)
        self._owns_etcd = not isinstance(etcd, EtcdClient)
        self._etcd = etcd if isinstance(etcd, EtcdClient) else EtcdClient(default_etcd(etcd))
        self._limit = max_message_bytes
        self._codec = codec
        self._settings = SessionSettings(
            max_message_bytes=max_message_bytes, compression=compression, checksum=checksum
        )
        self._tls = default_tls(tls)
        self._transport = make_transport(
            breaker, settings=self._settings, sessions=sessions_per_peer, tls=self._tls
        )
        self._mailboxes = Directory(self._etcd, self.namespace, Kind.MAILBOX)
        self._peers = Directory(self._etcd, self.namespace, Kind.PEER)
        self._router = Router(
            self._mailboxes, self._peers, self._transport, retry, largest=max_message_bytes
        )
        self._keys: dict[str, str] = {}
        self._interception = outgoing_interception(
            filters, interceptors, self._router, codec, self._outgoing_if_open
        )
        self._router.activate = self._activate
        trace_context.look_for_opentelemetry()
        self._closed = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = 0

    def __repr__(self) -> str:
        return f"<Client {self.namespace} {'closed' if self._closed else self._transport!r}>"

    async def __aenter__(self) -> Self:
        self._check_open()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """End everything under way and let go of all connections. Idempotent."""
        if self._loop is not None and not self._loop.is_closed():
            self._check_loop()  # or it would be half closed
        self._closed = True
        await self._mailboxes.close()
        await self._peers.close()
        await self._router.close()
        await self._transport.close()
        if self._interception is not None:
            await self._interception.close()
        if self._owns_etcd:
            await self._etcd.close()

    # -- requests ----------------------------------------------------------------

    @overload
    async def request(
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
    async def request(
        self,
        name: str,
        message: AnyMessage,
        *,
        timeout: float | None = None,
        metadata: Mapping[str, str] | None = None,
        idempotent: bool = False,
        wait: bool = False,
    ) -> Message: ...

    async def request(
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
        """Send a message to a mailbox and return the answer.

        It is sent again only while no receiver can have acted on it, unless
        `idempotent`. Cancelling it tells the receiver that its caller has left;
        the receiver decides whether to finish what it has begun.

        Args:
            name: the mailbox's name.
            message: any protobuf message, or a registered dataclass or model.
            reply: the type the answer must have.
            timeout: seconds for all of it; by default the client's.
            metadata: what the receiving actor shall know about the request.
            idempotent: acting on it twice does no harm, so also send it again
                when the outcome is unknown.
            wait: keep trying a full mailbox until the timeout, and a peer that its
                breaker lets alone, if that ends before the timeout.

        Raises:
            InvalidName, InvalidArgument, UnsupportedMessage, MessageTooLarge: before any I/O.
            UnregisteredMailbox: no peer holds the name.
            NotDelivered: it did not arrive, in all attempts; a resend is safe.
            OutcomeUnknown, DeadlineExceeded: it may have been acted upon.
            RequestFailed: the receiver answered with an error.
            UnexpectedReply: the answer is not of the type `reply`.
            EtcdUnavailable: the name cannot be resolved.
        """
        self._check_open()
        if reply is not None:
            check_reply(reply)
        if self._interception is not None:
            seconds = self.timeout if timeout is None else check_timeout(timeout)
            return await self._interception.request(
                name, message, seconds, metadata, reply=reply, idempotent=idempotent, wait=wait
            )
        try:
            key = self._keys.get(name) or self._key(name)
        except TypeError:  # it is not hashable
            raise InvalidName(name, Kind.MAILBOX) from None
        type_name, data = self._encode(message, metadata)
        if metadata:
            metadata = dict(metadata)  # it may wait here, and the caller may use its own again
        answered, payload = await self._router.ask(
            key,
            type_name,
            data,
            trace_context.onward(metadata) if trace_context.active else metadata,
            self.timeout if timeout is None else check_timeout(timeout),
            idempotent=idempotent,
            wait=wait,
        )
        answer = self._codec.decode(answered, payload)
        return answer if reply is None else of_type(reply, answer)

    def send(
        self,
        name: str,
        message: AnyMessage,
        *,
        reply: type[AnyMessage] | None = None,
        timeout: float | None = None,
        metadata: Mapping[str, str] | None = None,
        idempotent: bool = False,
    ) -> asyncio.Future[Message]:
        """Send a message now; the answer is awaited later, or by another task.

        Many can be sent without a task for each. The future resolves once: with
        the reply, an error, or the deadline. Cancelling it tells the receiver
        that its caller has left. Arguments, errors and resending are those of
        `request`; what is wrong with the arguments is raised here. Where there
        are interceptors or filters, each is a task, and raises nothing here.
        """
        self._check_open()
        if reply is not None:
            check_reply(reply)
        seconds = self.timeout if timeout is None else check_timeout(timeout)
        if self._interception is not None:
            return self._interception.send(
                name, message, seconds, metadata, reply=reply, idempotent=idempotent
            )
        outgoing = self._outgoing(name, message, metadata)
        decode = self._codec.decode if reply is None else partial(decode_as, self._codec, reply)
        return self._router.send(outgoing, seconds, decode, idempotent=idempotent)

    async def tell(
        self,
        name: str,
        message: AnyMessage,
        *,
        timeout: float | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        """Send a message that has no answer; returns when it is written to the session.

        No error tells that its mailbox is full or gone; what was not yet
        written when a session is lost goes to the next one. A Go peer, which has
        no sessions, answers all the same, and is waited for.

        Raises:
            What `request` raises before it is written. After `OutcomeUnknown`
            the receiver may have it.
        """
        self._check_open()
        seconds = self.timeout if timeout is None else check_timeout(timeout)
        if self._interception is not None:
            await self._interception.tell(name, message, seconds, metadata)
            return
        outgoing = self._outgoing(name, message, metadata)
        await self._router.tell(outgoing, Deadline.after(seconds))

    def stream(
        self,
        name: str,
        first: AnyMessage,
        *,
        timeout: float | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> Opening[Stream]:
        """Open a stream to a mailbox: `async with client.stream("feed", Subscribe()) as stream:`.

        Its owner gets `first` as a request, and accepts or refuses. It can be
        awaited instead; then close it yourself.

        Args:
            name: the mailbox's name.
            first: what the owner shall know to accept it.
            timeout: seconds until it must be accepted; by default the client's.
                The stream itself has no end but its own.
            metadata: what the receiving actor shall know about it.

        Raises (once entered or awaited):
            StreamsUnsupported: a Go peer has the mailbox.
            What `request` raises.
        """

        async def opening() -> Stream:
            self._check_open()
            seconds = self.timeout if timeout is None else check_timeout(timeout)
            if self._interception is not None:
                return await self._interception.stream(name, first, seconds, metadata)
            outgoing = self._outgoing(name, first, metadata)
            end = await self._router.stream(outgoing, Deadline.after(seconds))
            return Stream(end, self._codec)

        return Opening(opening)

    async def broadcast(
        self,
        group: Group,
        message: AnyMessage,
        *,
        timeout: float | None = None,
        metadata: Mapping[str, str] | None = None,
        idempotent: bool = False,
    ) -> BroadcastResult:
        """Send a message to all members of a group at once.

        Returns:
            What each answered: all of them, or, for `group.fastest()`, those
            that had answered when the first success came.

        Raises:
            IncompleteBroadcast: a member failed (fastest: all failed); its
                `result` has what each answered.
            InvalidName, UnsupportedMessage, MessageTooLarge: before any I/O.
        """
        self._check_open()
        check_group(group)
        if self._interception is None:  # or they may make it another message
            self._encode(message, metadata)
        result = BroadcastResult()
        asking = {
            self.send(
                name, message, timeout=timeout, metadata=metadata, idempotent=idempotent
            ): name
            for name in group.members
        }
        await collect(asking, result, first_only=group.first_only)
        failed = not result.successes if group.first_only else bool(result.errors)
        if failed and group.members:
            raise IncompleteBroadcast(result)
        return result

    # -- inside --------------------------------------------------------------------

    async def _activate(self, key: str, deadline: Deadline) -> bool:
        return False  # messages alone start no actors: see `ActorCalls`

    def _check_open(self) -> None:
        if self._closed:
            raise ClientClosed
        # gRPC's channels and the views' tasks live on one loop. Asking for the running
        # loop costs a system call, so a request looks only at what changes with it.
        loop = self._loop
        if loop is None or not loop.is_running() or get_ident() != self._thread:
            self._check_loop()

    def _check_loop(self) -> None:
        loop = asyncio._get_running_loop()
        # A message sent from a thread without a loop would wait until the client's loop happens
        # to wake, and two threads would change the client's tables at once.
        if loop is None or (self._loop is not None and loop is not self._loop):
            raise WrongEventLoop
        self._loop = loop
        self._thread = get_ident()

    def _key(self, name: str) -> str:
        check_name(name, Kind.MAILBOX)
        if len(self._keys) >= _KEYS:
            self._keys.clear()
        key = self._keys[name] = self._mailbox_prefix + name
        return key

    def _outgoing(
        self, name: str, message: AnyMessage, metadata: Mapping[str, str] | None
    ) -> Outgoing:
        try:
            key = self._keys.get(name) or self._key(name)
        except TypeError:  # it is not hashable
            raise InvalidName(name, Kind.MAILBOX) from None
        type_name, data = self._encode(message, metadata)
        if metadata:
            metadata = dict(metadata)  # it may wait here, and the caller may use its own again
        if trace_context.active:
            metadata = trace_context.onward(metadata)
        return Outgoing(key, 0, type_name, data, metadata)

    def _outgoing_if_open(self, call: OutgoingCall) -> Outgoing:
        self._check_open()
        return self._outgoing(call.name, call.message, call.metadata)

    def _encode(self, message: AnyMessage, metadata: Mapping[str, str] | None) -> tuple[str, bytes]:
        if metadata:
            check_metadata(metadata)
        return self._codec.encode(message, limit=self._limit)
