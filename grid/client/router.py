"""From a message to its answer: who has the name, how to get there, and again if safe.

An attempt uses the client's view of the names, which costs nothing; after one
that failed the name is read from etcd, for it may have moved. A peer on this
event loop is asked without the network; it gets its own copy all the same,
because the message travels as bytes.

The common case, a known name on a peer with a session, runs straight through
`ask`: one future, no task, no timer. All else is in the functions below it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any, TypeVar

from google.protobuf.message import Message

from grid.client.local import LocalCalls, LocalLink, LocalStreamAnswer
from grid.client.pending import Sent
from grid.client.retry import Retry, may_resend, resend
from grid.deadline import FOREVER, Deadline, now
from grid.errors import DeadlineExceeded, GridError, UnregisteredMailbox
from grid.mailbox.dispatcher import Dispatcher, local_dispatcher
from grid.registry.directory import Directory
from grid.registry.registration import Registration
from grid.transport.answer import Reply, Unanswerable
from grid.transport.link import Overdue
from grid.transport.stream_end import StreamEnd
from grid.transport.transport import Destination, Parcel, Transport
from grid.transport.unix_paths import reachable_socket

__all__ = ["Router", "read_registration", "within"]

T = TypeVar("T")


class Router:
    """Asks mailboxes by name, within a deadline and a policy of resending."""

    def __init__(
        self, mailboxes: Directory, transport: Transport, retry: Retry, *, largest: int
    ) -> None:
        self._mailboxes = mailboxes
        self._transport = transport
        self._ready = transport.ready
        self._retry = retry
        self._local = LocalCalls()
        self._asking: set[asyncio.Task[Any]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._largest = largest
        self._destinations: dict[tuple[str, int, str], Destination] = {}

    async def close(self) -> None:
        """End what goes on by itself, and let go of timers."""
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
        route = self._mailboxes.find(key)
        link = None if route is None else self._ready.get(route.address) or self._here(route)
        if route is None or link is None or not 0 < timeout < FOREVER:
            deadline = Deadline.after(timeout)
            parcel = Parcel(key, 0, type_name, data, metadata)
            return await self._ask_slowly(parcel, deadline, idempotent=idempotent, wait=wait)
        at = now() + timeout
        try:
            future, number = link.request(
                key,
                route.epoch,
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
                self._transport.cancel(route.address, link, number, future)
                raise
        except Overdue:
            raise _overdue(key, route, timeout) from None
        except GridError as error:
            if not may_resend(error, self._retry, idempotent=idempotent, wait=wait):
                raise
            first = error.with_traceback(None)  # which would hold this frame
        parcel = Parcel(key, 0, type_name, data, metadata)
        deadline = Deadline(at, timeout)
        return await self.ask_again(parcel, deadline, idempotent=idempotent, wait=wait, after=first)

    def send(
        self,
        parcel: Parcel,
        timeout: float,
        decode: Callable[[str, bytes], Message],
        *,
        idempotent: bool,
    ) -> Sent:
        """Send a message now and let its answer come; see `Client.send`."""
        key, _, type_name, data, metadata = parcel
        fits = 0 < timeout < FOREVER
        at = now() + timeout if fits else Deadline.after(timeout).at
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
        sent = Sent(self, parcel, at, timeout, idempotent, decode, self._loop)
        route = self._mailboxes.find(key)
        link = None if route is None else self._ready.get(route.address) or self._here(route)
        if route is None or link is None or not fits:
            deadline = Deadline(at, timeout)
            sent.ask(self._ask_slowly(parcel, deadline, idempotent=idempotent, wait=False))
            return sent
        sent.route, sent.link = route, link
        left = int(timeout * 1000) + 1
        sent.number = link.send(
            sent, key, route.epoch, type_name, data, metadata, at, left, idempotent
        )
        return sent

    def recover(self, sent: Sent, error: GridError) -> Coroutine[Any, Any, Reply] | GridError:
        """What becomes of a message that was sent and failed; see `Sender`."""
        if isinstance(error, Overdue) and sent.route is not None:
            return _overdue(sent.parcel.receiver, sent.route, sent.timeout)
        if not may_resend(error, self._retry, idempotent=sent.idempotent, wait=False):
            return error
        deadline = Deadline(sent.at, sent.timeout)
        return self.ask_again(
            sent.parcel, deadline, idempotent=sent.idempotent, wait=False, after=error
        )

    def abandon(self, sent: Sent) -> None:
        """Nobody waits for what was sent; see `Sender`."""
        if sent.route is not None and sent.link is not None:
            self._transport.cancel(sent.route.address, sent.link, sent.number, sent)

    async def tell(self, parcel: Parcel, deadline: Deadline) -> None:
        """Send a message that has no answer."""

        async def once() -> None:
            route = await self._route(parcel.receiver, deadline)
            here = local_dispatcher(route.address)
            if here is None:
                to = self._destination(route)
                await self._transport.tell(to, parcel._replace(epoch=route.epoch), deadline)
            else:
                here.accept(parcel.receiver, route.epoch, *parcel[2:], Unanswerable(deadline.at))
                await asyncio.sleep(0)

        await self._resending(once, parcel.receiver, deadline)

    async def stream(self, parcel: Parcel, deadline: Deadline) -> StreamEnd:
        """Open a stream to a mailbox; returns when its owner has accepted it."""

        async def once() -> StreamEnd:
            route = await self._route(parcel.receiver, deadline)
            parcel_ = parcel._replace(epoch=route.epoch)
            here = local_dispatcher(route.address)
            if here is None:
                return await self._transport.stream(self._destination(route), parcel_, deadline)
            return await self._stream_here(here, parcel_, deadline)

        return await self._resending(once, parcel.receiver, deadline)

    async def ask_again(
        self,
        parcel: Parcel,
        deadline: Deadline,
        *,
        idempotent: bool,
        wait: bool,
        after: GridError,
    ) -> Reply:
        """Ask after a first attempt failed in a way that allows it."""

        async def once() -> Reply:
            await self._read(parcel.receiver, deadline)
            return await self._ask_once(parcel, deadline, idempotent)

        return await resend(
            once, self._retry, deadline, idempotent=idempotent, wait=wait, after=after
        )

    def start(self, asking: Coroutine[Any, Any, Reply]) -> asyncio.Task[Reply]:
        """A task that ends with the client at the latest."""
        task = asyncio.create_task(asking, name="request")
        self._asking.add(task)
        task.add_done_callback(self._asking.discard)
        return task

    # -- the long way ----------------------------------------------------------------

    async def _ask_slowly(
        self, parcel: Parcel, deadline: Deadline, *, idempotent: bool, wait: bool
    ) -> Reply:
        try:
            return await self._ask_once(parcel, deadline, idempotent)
        except GridError as error:
            if not may_resend(error, self._retry, idempotent=idempotent, wait=wait):
                raise
            first = error.with_traceback(None)  # which would hold this frame
        return await self.ask_again(parcel, deadline, idempotent=idempotent, wait=wait, after=first)

    async def _ask_once(self, parcel: Parcel, deadline: Deadline, idempotent: bool) -> Reply:
        route = self._mailboxes.find(parcel.receiver)
        if route is None:
            route = await self._read(parcel.receiver, deadline)
        sent = parcel._replace(epoch=route.epoch)
        here = self._here(route)
        if here is None:
            to = self._destination(route)
            return await self._transport.ask(to, sent, deadline, again=idempotent)
        future, number = here.request(*sent, deadline.at)
        try:
            return await future
        except Overdue:
            raise _overdue(parcel.receiver, route, deadline.timeout) from None
        except asyncio.CancelledError:
            here.cancel(number)
            raise

    def _here(self, route: Registration) -> LocalLink | None:
        found = local_dispatcher(route.address)
        return None if found is None else self._local.link(found)

    async def _stream_here(self, here: Dispatcher, parcel: Parcel, deadline: Deadline) -> StreamEnd:
        end = StreamEnd()
        answer = LocalStreamAnswer(end, self._largest, deadline.at)
        here.accept(*parcel, answer)
        try:
            name = parcel.receiver.rpartition(".")[2]
            await within(deadline, f"a stream to {name!r}", end.opened)
        except BaseException:
            answer.cancel()
            raise
        return end

    async def _resending(self, once: Callable[[], Awaitable[T]], key: str, deadline: Deadline) -> T:
        try:
            return await once()
        except GridError as error:
            if not may_resend(error, self._retry, idempotent=False, wait=False):
                raise
            first = error.with_traceback(None)  # which would hold this frame

        async def anew() -> T:
            await self._read(key, deadline)
            return await once()

        return await resend(anew, self._retry, deadline, idempotent=False, wait=False, after=first)

    async def _route(self, key: str, deadline: Deadline) -> Registration:
        return self._mailboxes.find(key) or await self._read(key, deadline)

    async def _read(self, key: str, deadline: Deadline) -> Registration:
        return await read_registration(self._mailboxes, key, deadline)

    def _destination(self, route: Registration) -> Destination:
        name = (route.address, route.session, route.socket)
        found = self._destinations.get(name)
        if found is None:
            socket = reachable_socket(route.socket) if route.socket else ""
            found = Destination(route.address, socket, route.session > 0)
            self._destinations[name] = found
        return found


def _overdue(key: str, route: Registration, timeout: float) -> DeadlineExceeded:
    name = key.rpartition(".")[2]
    return DeadlineExceeded(f"request to {name!r} at {route.address}", timeout)


async def read_registration(directory: Directory, key: str, deadline: Deadline) -> Registration:
    """What etcd has for a key now.

    Raises:
        UnregisteredMailbox: nobody holds it.
        EtcdError, DeadlineExceeded: it cannot be read, or not in time.
    """
    name = key.rpartition(".")[2]
    found = await within(deadline, name, directory.read(key))
    if found is None:
        raise UnregisteredMailbox(name)
    return found


async def within(deadline: Deadline, what: str, doing: Awaitable[T]) -> T:
    """The result of `doing`, or `DeadlineExceeded` for `what` when time is over."""
    try:
        async with asyncio.timeout(deadline.remaining()):
            return await doing
    except TimeoutError as error:
        if isinstance(error, GridError):
            raise
        raise DeadlineExceeded(what, deadline.timeout) from None
