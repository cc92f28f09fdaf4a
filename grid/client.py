"""A client of a grid: requests to names, queries, starts and stops."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Self, TypeVar, overload

from google.protobuf.message import Message

from grid._directory import Directory
from grid._environment import default_etcd, default_namespace
from grid._retry import Retry
from grid._router import Router, read_registration, within
from grid.broadcast import BroadcastResult, Group, Outcome
from grid.codec import Codec, default_codec
from grid.deadline import FOREVER, Deadline
from grid.errors import (
    ClientClosed,
    DeadlineExceeded,
    GridError,
    IncompleteBroadcast,
    InvalidArgument,
    MessageTooLarge,
    NotDelivered,
    PeerUnreachable,
    UnexpectedReply,
    UnknownActor,
    UnregisteredMailbox,
    WrongEventLoop,
)
from grid.etcd import EtcdClient, EtcdConfig
from grid.names import Kind, check_actor_type, check_name, full_name, prefix
from grid.query import Entity, EntityWatch, entities
from grid.ring import Ring
from grid.stream import OpeningStream, Stream
from grid.transport.settings import SessionSettings
from grid.transport.transport import Parcel, Transport
from grid.wire_pb2 import Ack, ActorStart, ActorStop, Delivery

__all__ = ["Client"]

M = TypeVar("M", bound=Message)

_KEYS = 100_000  # full names that are kept
_METADATA_BYTES = 32 * 1024


class Client:
    """The way into a grid, from anywhere that reaches etcd and the peers.

    Use it as `async with Client("shop") as client:`, or close it. It connects
    when first used and belongs to the event loop that it is first used on.

    Args:
        namespace: the grid; by default `GRID_NAMESPACE`.
        etcd: endpoints as `host:port,host:port` or an `EtcdConfig`; by default
            `GRID_ETCD`, else `127.0.0.1:2379`.
        timeout: seconds a call may take if it does not say otherwise.
        retry: how often a request is sent again when that is safe.
        sessions_per_peer: how many sessions to have with one peer at most; a
            further one is made when all are busy. Order holds within a session.
        max_message_bytes: the largest message sent or accepted.
        compression: pack larger messages by `zstd`, `gzip`, or the best that
            both sides have (`auto`); by default never.
        checksum: send a checksum with each message.
        codec: the message types it knows; by default those of `grid.register`.
    """

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
        codec: Codec = default_codec,
    ) -> None:
        self.namespace = default_namespace(namespace)
        self.timeout = timeout
        self._mailbox_prefix = prefix(self.namespace, Kind.MAILBOX)
        self._owns_etcd = not isinstance(etcd, EtcdClient)
        self._etcd = etcd if isinstance(etcd, EtcdClient) else EtcdClient(default_etcd(etcd))
        self._limit = max_message_bytes
        self._codec = codec
        self._settings = SessionSettings(
            max_message_bytes=max_message_bytes, compression=compression, checksum=checksum
        )
        self._transport = Transport(settings=self._settings, sessions=sessions_per_peer)
        self._mailboxes = Directory(self._etcd, self.namespace, Kind.MAILBOX)
        self._peers = Directory(self._etcd, self.namespace, Kind.PEER)
        self._router = Router(self._mailboxes, self._transport, retry, largest=max_message_bytes)
        self._keys: dict[str, str] = {}
        self._closed = False
        self._loop: asyncio.AbstractEventLoop | None = None

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
        self._closed = True
        await self._mailboxes.close()
        await self._peers.close()
        self._router.close()
        await self._transport.close()
        if self._owns_etcd:
            await self._etcd.close()

    # -- requests ----------------------------------------------------------------

    @overload
    async def request(
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
    async def request(
        self,
        name: str,
        message: Message,
        *,
        timeout: float | None = None,
        metadata: Mapping[str, str] | None = None,
        idempotent: bool = False,
        wait: bool = False,
    ) -> Message: ...

    async def request(
        self,
        name: str,
        message: Message,
        *,
        reply: type[Message] | None = None,
        timeout: float | None = None,
        metadata: Mapping[str, str] | None = None,
        idempotent: bool = False,
        wait: bool = False,
    ) -> Message:
        """Send a message to a mailbox and return the answer.

        It is sent again only while nobody can have acted on it, unless
        `idempotent`. Cancelling it tells the receiver that nobody waits; what
        the receiver has begun is its own affair.

        Args:
            name: the mailbox's name.
            message: any protobuf message.
            reply: the type the answer must have.
            timeout: seconds for all of it; by default the client's.
            metadata: what the receiving actor shall know about the request.
            idempotent: acting on it twice does no harm, so also send it again
                when the outcome is unknown.
            wait: keep trying a full mailbox until the timeout.

        Raises:
            InvalidName, InvalidArgument, UnsupportedMessage, MessageTooLarge: before any I/O.
            UnregisteredMailbox: nobody holds the name.
            NotDelivered: it did not arrive, in all attempts; a resend is safe.
            OutcomeUnknown, DeadlineExceeded: it may have been acted upon.
            RequestFailed: the receiver answered with an error.
            UnexpectedReply: the answer is not of the type `reply`.
            EtcdUnavailable: the name cannot be resolved.
        """
        self._check_open()
        key = self._keys.get(name) or self._key(name)
        type_name, data = self._encode(message, metadata)
        answered, payload = await self._router.ask(
            key,
            type_name,
            data,
            metadata,
            self.timeout if timeout is None else timeout,
            idempotent=idempotent,
            wait=wait,
        )
        answer = self._codec.decode(answered, payload)
        if reply is not None and not isinstance(answer, reply):
            raise UnexpectedReply(reply.DESCRIPTOR.full_name, answer.DESCRIPTOR.full_name)
        return answer

    async def tell(
        self,
        name: str,
        message: Message,
        *,
        timeout: float | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        """Send a message that has no answer; returns when it is written to the session.

        Whether its mailbox takes it, or is full, nobody hears; what was not yet
        written when a session is lost goes to the next one.

        Raises:
            What `request` raises before it is written. After `OutcomeUnknown`
            the receiver may have it.
        """
        self._check_open()
        parcel = self._parcel(name, message, metadata)
        deadline = Deadline.after(self.timeout if timeout is None else timeout)
        await self._router.tell(parcel, deadline)

    def stream(
        self,
        name: str,
        first: Message,
        *,
        timeout: float | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> OpeningStream:
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
            parcel = self._parcel(name, first, metadata)
            deadline = Deadline.after(self.timeout if timeout is None else timeout)
            return Stream(await self._router.stream(parcel, deadline), self._codec)

        return OpeningStream(opening)

    async def broadcast(
        self,
        group: Group,
        message: Message,
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
        for name in group.members:
            check_name(name, Kind.MAILBOX)
        self._encode(message, metadata)
        result = BroadcastResult()
        asking = {
            asyncio.create_task(
                self.request(
                    name, message, timeout=timeout, metadata=metadata, idempotent=idempotent
                )
            ): name
            for name in group.members
        }
        try:
            await _collect(asking, result, first_only=group.first_only)
        finally:
            for task in asking:
                task.cancel()
            await asyncio.gather(*asking, return_exceptions=True)
        failed = not result.successes if group.first_only else bool(result.errors)
        if failed and group.members:
            raise IncompleteBroadcast(result)
        return result

    # -- actors ----------------------------------------------------------------

    async def start_actor(
        self,
        type: str,  # noqa: A002
        *,
        name: str | None = None,
        peer: str | None = None,
        data: bytes = b"",
        annotations: Iterable[str] = (),
        timeout: float | None = None,
    ) -> str:
        """Start an actor; it holds its name and runs when this returns.

        Args:
            type: the definition to start it by.
            name: its name; by default its type.
            peer: the peer to start it on; by default one is chosen by hashing
                the name over the live peers, and the next one if it cannot be
                reached, so equal names go to equal peers.
            data: opaque bytes for its factory.
            annotations: choose among the peers that carry all of these.
            timeout: seconds for all of it; by default the client's.

        Returns:
            The name of the peer it runs on.

        Raises:
            InvalidActorType, InvalidName: before any I/O.
            AlreadyRegistered: the name has an owner, which keeps it.
            UnknownActorType, FactoryFailed, NilActor: the peer has no such actor
                (of a Go peer a failed factory is a `RequestFailed`).
            UnregisteredMailbox: there is no such peer, or none at all.
            What `request` raises. After `OutcomeUnknown` or `DeadlineExceeded`
            the actor may run: look with `query`.
        """
        self._check_open()
        check_actor_type(type)
        name = type if name is None else name
        full_name(self.namespace, Kind.ACTOR, name)
        start = ActorStart(type=type, name=name, data=data)
        if peer is not None:
            await self.request(peer, start, reply=Ack, timeout=timeout)
            return peer
        deadline = Deadline.after(self.timeout if timeout is None else timeout)
        failure: GridError = UnregisteredMailbox("a peer" + _with(annotations))
        for candidate in await self._placement(name, tuple(annotations), deadline):
            try:
                await self.request(candidate, start, reply=Ack, timeout=deadline.remaining())
            except NotDelivered as error:
                failure = error
            else:
                return candidate
        raise failure

    async def stop_actor(
        self, name: str, *, grace: float | None = None, timeout: float | None = None
    ) -> None:
        """Stop an actor; its names are free when this returns.

        Args:
            name: the actor's name.
            grace: seconds it may go on to finish before it is cancelled; by
                default its peer's.
            timeout: seconds for all of it; by default the client's, and never
                less than `grace` needs.

        Raises:
            UnknownActor: no actor of that name runs.
            ActorStillRunning: it did not end, and keeps its names.
            What `request` raises. Stopping again is safe.
        """
        self._check_open()
        stop = ActorStop(name=name)
        if grace is not None:
            if not 0 <= grace <= FOREVER:
                raise InvalidArgument("grace", grace, "a number of seconds")
            stop.grace_ms = int(grace * 1000)
        key = full_name(self.namespace, Kind.ACTOR, name)
        stored = await self._etcd.get(key, timeout=timeout)
        found = None if stored is None else next(entities(Kind.ACTOR, [stored], 0), None)
        if found is None:
            raise UnknownActor(name)
        seconds = timeout if timeout is not None else max(self.timeout, (grace or 0.0) + 5.0)
        await self.request(found.peer, stop, reply=Ack, timeout=seconds, idempotent=True)

    # -- what there is -----------------------------------------------------------

    async def query(self, kind: Kind | str, *, timeout: float | None = None) -> list[Entity]:
        """All peers, actors or mailboxes there are now, in the order of their names.

        Raises:
            ValueError: `kind` is none of `peer`, `actor`, `mailbox`.
            EtcdUnavailable: etcd does not answer.
        """
        self._check_open()
        kind = Kind(kind)
        start = prefix(self.namespace, kind)
        snapshot = await self._etcd.get_prefix(start, timeout=timeout)
        return list(entities(kind, snapshot.items, len(start)))

    def watch(self, kind: Kind | str, *, patience: float = 30.0) -> EntityWatch:
        """What there is, and then what comes and goes; see `EntityWatch`.

        Args:
            kind: `peer`, `actor` or `mailbox`.
            patience: seconds that etcd may be away before the watch raises.
        """
        self._check_open()
        return EntityWatch(self._etcd, self.namespace, Kind(kind), patience=patience)

    async def check(self, peer: str, *, timeout: float | None = None) -> str:
        """What a peer says of its health: `SERVING` or `NOT_SERVING`.

        Raises:
            UnregisteredMailbox: there is no such peer.
            PeerUnreachable, DeadlineExceeded: it does not answer.
        """
        self._check_open()
        deadline = Deadline.after(self.timeout if timeout is None else timeout)
        key = full_name(self.namespace, Kind.PEER, peer)
        found = self._peers.find(key) or await read_registration(self._peers, key, deadline)
        try:
            return await self._transport.health(found.address, deadline)
        except PeerUnreachable:
            # It may be gone, or back at another address.
            found = await read_registration(self._peers, key, deadline)
            return await self._transport.health(found.address, deadline)

    async def wait_until_serving(self, peer: str, *, timeout: float | None = None) -> None:
        """Return once a peer is registered, reachable and SERVING.

        Raises:
            DeadlineExceeded: it was not within the timeout.
        """
        deadline = Deadline.after(self.timeout if timeout is None else timeout)
        pause = 0.02
        while not deadline.passed:
            try:
                if await self.check(peer, timeout=deadline.remaining()) == "SERVING":
                    return
            except NotDelivered:
                pass  # not there yet, or not reachable yet
            await asyncio.sleep(min(pause, deadline.remaining()))
            pause = min(2 * pause, 0.5)
        raise DeadlineExceeded(f"peer {peer!r} to serve", deadline.timeout)

    # -- inside --------------------------------------------------------------------

    def _check_open(self) -> None:
        if self._closed:
            raise ClientClosed
        # gRPC's channels and the views' tasks live on one loop. A blocking client makes
        # its watches outside of any.
        loop = asyncio._get_running_loop()
        if loop is not self._loop and loop is not None:
            if self._loop is not None:
                raise WrongEventLoop
            self._loop = loop

    def _key(self, name: str) -> str:
        check_name(name, Kind.MAILBOX)
        if len(self._keys) >= _KEYS:
            self._keys.clear()
        key = self._keys[name] = self._mailbox_prefix + name
        return key

    def _parcel(self, name: str, message: Message, metadata: Mapping[str, str] | None) -> Parcel:
        key = self._keys.get(name) or self._key(name)
        type_name, data = self._encode(message, metadata)
        return Parcel(key, 0, type_name, data, metadata)

    def _encode(self, message: Message, metadata: Mapping[str, str] | None) -> tuple[str, bytes]:
        if metadata:
            size = _size_of(metadata)
            if size > _METADATA_BYTES:
                raise MessageTooLarge(size, _METADATA_BYTES)
        return self._codec.encode(message, limit=self._limit)

    async def _placement(
        self, name: str, annotations: tuple[str, ...], deadline: Deadline
    ) -> list[str]:
        peers = await within(deadline, "the list of peers", self._peers.all())
        wanted = set(annotations)
        ring = Ring(peer.peer for peer in peers if wanted <= set(peer.annotations))
        return list(ring.owners(name))


async def _collect(
    asking: dict[asyncio.Task[Message], str], result: BroadcastResult, *, first_only: bool
) -> None:
    waiting = set(asking)
    while waiting and not (first_only and result.successes):
        done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            error = task.exception()
            if error is None:
                result.add({asking[task]: Outcome(value=task.result())})
            elif isinstance(error, GridError):
                result.add({asking[task]: Outcome(error=error)})
            else:
                raise error


def _size_of(metadata: Mapping[str, str]) -> int:
    try:
        return Delivery(metadata=metadata).ByteSize()
    except (TypeError, ValueError):
        raise InvalidArgument("metadata", metadata, "strings by strings") from None


def _with(annotations: Iterable[str]) -> str:
    listed = ", ".join(annotations)
    return f" with {listed}" if listed else ""
