"""From a message to its answer: resolve the name, reach its peer, and resend if that is safe.

An attempt uses the client's view of the names, which costs nothing; after one
that failed the name is read from etcd, for it may have moved. A peer on this
event loop is asked without the network; it gets its own copy all the same,
because the message travels as bytes.

The common case, a known name on a peer with a session, runs straight through
`ask`: one future, no task, no timer. All else is in the functions below it.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any, TypeVar

from google.protobuf.message import Message

from grid.client.dead_peers import DeadPeers
from grid.client.local import LocalCalls, LocalLink, LocalStreamAnswer
from grid.client.lookups import read_registration
from grid.client.pending import Sent
from grid.client.retry import Retry, may_resend, resend
from grid.deadline import FOREVER, Deadline, now, request_overdue, within
from grid.errors import GridError, PeerUnreachable, UnknownMailbox, UnregisteredMailbox
from grid.mailbox.dispatcher import Dispatcher, local_dispatcher
from grid.registry.directory import Directory
from grid.registry.registration import Registration
from grid.transport.answer import Reply, Unanswerable
from grid.transport.link import Overdue
from grid.transport.stream_end import StreamEnd
from grid.transport.transport import Destination, Outgoing, Transport
from grid.transport.unix_paths import reachable_socket

__all__ = ["Router"]

T = TypeVar("T")

_BETWEEN_OWNERS = 3.0  # seconds in which another owner may take a name
_COMING = 0.25  # seconds in which the watch tells of a name that was just taken
_LOST_NAMES = 10_000  # that are remembered
_DESTINATIONS = 1000  # that are remembered; peers come and go


class Router:
    """Asks mailboxes by name, within a deadline and a policy of resending.

    Attributes:
        retry: the policy.
        activate: starts an actor for the full name of a mailbox that no peer holds; False if
            no peer does that for the name.
    """

    def __init__(
        self,
        mailboxes: Directory,
        peers: Directory,
        transport: Transport,
        retry: Retry,
        *,
        largest: int,
    ) -> None:
        self._mailboxes = mailboxes
        self._transport = transport
        self._ready = transport.ready
        self.retry = retry
        self._local = LocalCalls()
        self._asking: set[asyncio.Task[Any]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._largest = largest
        self._destinations: dict[str, tuple[tuple[int, str, bool], Destination]] = {}
        self._directories = (mailboxes, peers)
        self.activate: Callable[[str, Deadline], Awaitable[bool]] = _activate_none
        self.closed: bool = False
        self._dead_peers = DeadPeers(mailboxes, self.start)
        self._left: dict[str, float] = {}  # when names lost their owners, the first one first
        mailboxes.on_left = peers.on_left = self._has_left

    async def close(self) -> None:
        """End what goes on by itself or inside of the process, and let go of timers."""
        self.closed = True
        self._local.close()
        tasks = tuple(self._asking)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def ask(
        self,
        key: str,
        type_name: str,
        data: bytes,
        metadata: Mapping[str, str] | None,
        timeout: float,
        *,
        idempotent: bool = False,
        wait: bool = False,
    ) -> Reply:
        """The answer to a message; errors and arguments are those of `Client.request`."""
        owner = self._mailboxes.find(key)
        link = None if owner is None else self._ready.get(owner.address) or self._here(owner)
        if owner is None or link is None or not 0 < timeout < FOREVER:
            deadline = Deadline.after(timeout)
            outgoing = Outgoing(key, 0, type_name, data, metadata)
            return await self._ask_slowly(outgoing, deadline, idempotent=idempotent, wait=wait)
        at = now() + timeout
        try:
            future, number = link.request(
                key,
                owner.epoch,
                type_name,
                data,
                metadata,
                at,
                int(timeout * 1000) + 1,
                idempotent,
            )
            try:
                return await future
            except asyncio.CancelledError:
                self._transport.cancel(owner.address, link, number, future)
                raise
        except Overdue:
            raise request_overdue(key, owner.address, timeout) from None
        except GridError as error:
            if self._is_final(error, idempotent=idempotent, wait=wait):
                raise
            first = error.with_traceback(None)  # which would hold this frame
        outgoing = Outgoing(key, 0, type_name, data, metadata)
        left = Deadline(at, timeout)
        return await self.ask_again(outgoing, left, idempotent=idempotent, wait=wait, after=first)

    def send(
        self,
        outgoing: Outgoing,
        timeout: float,
        decode: Callable[[str, bytes], Message],
        *,
        idempotent: bool,
    ) -> Sent:
        """Send a message now and let its answer come; see `Client.send`."""
        key, _, type_name, data, metadata = outgoing
        fits = 0 < timeout < FOREVER
        at = now() + timeout if fits else Deadline.after(timeout).at
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
        sent = Sent(self, outgoing, at, timeout, idempotent, decode, self._loop)
        owner = self._mailboxes.find(key)
        link = None if owner is None else self._ready.get(owner.address) or self._here(owner)
        if owner is None or link is None or not fits:
            deadline = Deadline(at, timeout)
            sent.ask(self._ask_slowly(outgoing, deadline, idempotent=idempotent, wait=False))
            return sent
        sent.owner, sent.link = owner, link
        left = int(timeout * 1000) + 1
        sent.number = link.send(
            sent, key, owner.epoch, type_name, data, metadata, at, left, idempotent
        )
        return sent

    def recover(self, sent: Sent, error: GridError) -> Coroutine[Any, Any, Reply] | GridError:
        """Send a failed message again if that is safe; see `Sender`."""
        if isinstance(error, Overdue) and sent.owner is not None:
            return request_overdue(sent.outgoing.receiver, sent.owner.address, sent.timeout)
        if self._is_final(error, idempotent=sent.idempotent, wait=False):
            return error
        deadline = Deadline(sent.at, sent.timeout)
        return self.ask_again(
            sent.outgoing, deadline, idempotent=sent.idempotent, wait=False, after=error
        )

    def abandon(self, sent: Sent) -> None:
        """Cancel a sent message: its caller no longer waits; see `Sender`."""
        if sent.owner is not None and sent.link is not None:
            self._transport.cancel(sent.owner.address, sent.link, sent.number, sent)

    async def tell(self, outgoing: Outgoing, deadline: Deadline) -> None:
        """Send a message that has no answer."""

        async def once() -> None:
            owner = await self._owner(outgoing.receiver, deadline)
            addressed = outgoing._replace(epoch=owner.epoch)
            here = local_dispatcher(owner.address)
            if here is None:
                await self._transport.tell(self.destination(owner), addressed, deadline)
            else:
                here.accept(*_own(addressed), Unanswerable(deadline.at))
                await asyncio.sleep(0)

        await self._resending(once, outgoing.receiver, deadline)

    async def stream(self, outgoing: Outgoing, deadline: Deadline) -> StreamEnd:
        """Open a stream to a mailbox; returns when its owner has accepted it."""

        async def once() -> StreamEnd:
            owner = await self._owner(outgoing.receiver, deadline)
            addressed = outgoing._replace(epoch=owner.epoch)
            here = local_dispatcher(owner.address)
            if here is None:
                return await self._transport.stream(self.destination(owner), addressed, deadline)
            return await self._stream_here(here, addressed, deadline)

        return await self._resending(once, outgoing.receiver, deadline)

    async def ask_again(
        self,
        outgoing: Outgoing,
        deadline: Deadline,
        *,
        idempotent: bool,
        wait: bool,
        after: GridError,
    ) -> Reply:
        """Ask after a first attempt failed, if it did in a way that allows it."""

        async def once() -> Reply:
            await self._read(outgoing.receiver, deadline)
            return await self._ask_once(outgoing, deadline, idempotent)

        return await self._resend(
            once, outgoing.receiver, deadline, idempotent=idempotent, wait=wait, after=after
        )

    def start(self, asking: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """A task that ends with the client at the latest."""
        task = asyncio.create_task(asking, name="request")
        self._asking.add(task)
        task.add_done_callback(self._asking.discard)
        return task

    # -- the long way ----------------------------------------------------------------

    async def _ask_slowly(
        self, outgoing: Outgoing, deadline: Deadline, *, idempotent: bool, wait: bool
    ) -> Reply:
        try:
            return await self._ask_once(outgoing, deadline, idempotent)
        except GridError as error:
            if self._is_final(error, idempotent=idempotent, wait=wait):
                raise
            first = error.with_traceback(None)  # which would hold this frame
        return await self.ask_again(
            outgoing, deadline, idempotent=idempotent, wait=wait, after=first
        )

    async def _ask_once(self, outgoing: Outgoing, deadline: Deadline, idempotent: bool) -> Reply:
        owner = self._mailboxes.find(outgoing.receiver)
        if owner is None:
            owner = await self._read(outgoing.receiver, deadline)
        sent = outgoing._replace(epoch=owner.epoch)
        here = self._here(owner)
        if here is None:
            to = self.destination(owner)
            return await self._transport.ask(to, sent, deadline, again=idempotent)
        future, number = here.request(*sent, deadline.at)
        try:
            return await future
        except Overdue:
            raise request_overdue(outgoing.receiver, owner.address, deadline.timeout) from None
        except asyncio.CancelledError:
            here.cancel(number)
            raise

    def _here(self, owner: Registration) -> LocalLink | None:
        found = local_dispatcher(owner.address)
        return None if found is None else self._local.link(found)

    async def _stream_here(
        self, here: Dispatcher, outgoing: Outgoing, deadline: Deadline
    ) -> StreamEnd:
        end = StreamEnd()
        self._local.add_stream(end)
        answer = LocalStreamAnswer(here, end, self._largest, deadline.at)
        here.accept(*_own(outgoing), answer)
        try:
            name = outgoing.receiver.rpartition(".")[2]
            await within(deadline, f"a stream to {name!r}", end.opened)
        except BaseException:
            answer.cancel()
            end.close(None)  # the owner may have accepted it in the same moment
            raise
        return end

    async def _resending(self, once: Callable[[], Awaitable[T]], key: str, deadline: Deadline) -> T:
        try:
            return await once()
        except GridError as error:
            if self._is_final(error, idempotent=False, wait=False):
                raise
            first = error.with_traceback(None)  # which would hold this frame

        async def again() -> T:
            await self._read(key, deadline)
            return await once()

        return await self._resend(again, key, deadline, idempotent=False, wait=False, after=first)

    def _is_final(self, error: GridError, *, idempotent: bool, wait: bool) -> bool:
        # That of a peer which may have died is explained to the caller.
        if isinstance(error, PeerUnreachable):
            return False
        return not may_resend(error, self.retry, idempotent=idempotent, wait=wait)

    async def _resend(
        self,
        attempt: Callable[[], Awaitable[T]],
        key: str,
        deadline: Deadline,
        *,
        idempotent: bool,
        wait: bool,
        after: GridError,
    ) -> T:
        async def explain(error: GridError) -> GridError:
            return await self._dead_peers.explain(error, key, deadline)

        if not may_resend(after, self.retry, idempotent=idempotent, wait=wait):
            raise await explain(after) from after.__cause__
        return await resend(
            attempt,
            self.retry,
            deadline,
            idempotent=idempotent,
            wait=wait,
            after=after,
            explain=explain,
        )

    async def _owner(self, key: str, deadline: Deadline) -> Registration:
        return self._mailboxes.find(key) or await self._read(key, deadline)

    async def _read(self, key: str, deadline: Deadline) -> Registration:
        if all(one.loaded for one in self._directories) and self._mailboxes.find(key) is None:
            # The watch has told of all owners but the newest, and a start finds those, too: that
            # saves a look-up for each name that is activated.
            started = await self._activated(key, deadline)
            if started is not None:
                return started
        try:
            return await read_registration(self._mailboxes, key, deadline)
        except UnregisteredMailbox as error:
            started = await self._activated(key, deadline)
            if started is not None:
                return started
            error.between_owners = now() - self._left.get(key, -math.inf) < _BETWEEN_OWNERS
            raise

    async def _activated(self, key: str, deadline: Deadline) -> Registration | None:
        if not await self.activate(key, deadline):
            return None
        found = await self._mailboxes.coming(key, min(_COMING, deadline.remaining()))
        try:
            return found or await read_registration(self._mailboxes, key, deadline)
        except UnregisteredMailbox:
            # It has ended already, such as by a drain of its peer: the next attempt starts another.
            raise UnknownMailbox(key) from None

    def _has_left(self, owner: Registration) -> None:
        self._note_loss(owner.key)
        # Names come and go on a peer that is there; with its last name it has left.
        if not any(directory.has(owner.address) for directory in self._directories):
            # Its address may be a black hole, where a dial ends only with its time.
            self._transport.moved(owner.address)
            self._destinations.pop(owner.address, None)
            self._local.forget_stopped()
            self._transport.forget(owner.address)

    def _note_loss(self, key: str) -> None:
        at = now()
        self._left.pop(key, None)
        self._left[key] = at
        while self._left:
            first = next(iter(self._left))
            if at - self._left[first] < _BETWEEN_OWNERS and len(self._left) <= _LOST_NAMES:
                break
            del self._left[first]

    def destination(self, owner: Registration) -> Destination:
        """The ways to a peer, from what it says of itself."""
        offers = (owner.session, owner.socket, owner.tls)
        known = self._destinations.get(owner.address)
        if known is not None and known[0] == offers:
            return known[1]
        socket = reachable_socket(owner.socket) if owner.socket else ""
        found = Destination(owner.address, socket, owner.session > 0, owner.tls)
        if len(self._destinations) >= _DESTINATIONS:
            self._destinations.clear()
        self._destinations[owner.address] = (offers, found)
        return found


async def _activate_none(key: str, deadline: Deadline) -> bool:
    return False


def _own(outgoing: Outgoing) -> Outgoing:
    # The receiver's own metadata, as it is over a wire.
    return outgoing._replace(metadata=dict(outgoing.metadata)) if outgoing.metadata else outgoing
