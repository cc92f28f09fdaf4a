"""The bus of a NATS server, for which the extra `nats` is needed.

Services on it speak the protocol of psrpc, so that Go programs join. By that protocol all
methods of a service share a subject and a queue group, so a process may win a message of a
queue that it does not serve: it hands such a message back to the group.

The client of nats-py connects again by itself where a connection breaks, and closes itself for
good after most errors that the server tells (`-ERR 'Slow Consumer'`). The bus then makes another
client, and opens all subscriptions on it. It does so, too, where the server refuses a client that
connects again. Messages that were published meanwhile are lost.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import Any

from google.protobuf.message import DecodeError
from nats.aio.client import Client as NatsClient
from nats.errors import ConnectionClosedError, MaxPayloadError
from nats.errors import Error as NatsError

from grid.errors import MessageTooLarge
from rpc.buses.bus import DEFAULT_SIZE, BusClosed, Capabilities, Channel, Inflow
from rpc.buses.errors import BrokerClientClosed, BrokerUnavailable, without_password
from rpc.buses.flows import Flows
from rpc.buses.members import sanitized
from rpc.buses.openings import Openings
from rpc.psrpc_pb2 import Envelope

__all__ = ["NatsBus"]

_log = logging.getLogger("rpc.services")

_GROUP = "bus"
_HOPS = "Grid-Hops"
_MOST_HOPS = 50  # times that a message is handed back
_CONNECTING = 5  # seconds
_LEAVING = 5  # seconds for the server to take a subscription back
_FIRST_REST = 0.1  # seconds between tries to connect again
_LONGEST_REST = 2.0  # a connection that lasts longer is one that works
_LOOK = 0.5  # seconds between looks at a client of the user


class NatsBus:
    """A bus of a NATS server; see `Bus`.

    Args:
        nats: its URL (`nats://127.0.0.1:4222`), or a connected client of nats-py, which is not
            closed with the bus. A bus with a URL comes back when its client is closed by an error
            of the server; one with a client of the user is at its end then (`BrokerClientClosed`).
    """

    capabilities = Capabilities()

    def __init__(self, nats: str | NatsClient = "nats://127.0.0.1:4222") -> None:
        self._owns = isinstance(nats, str)
        self._name = without_password(nats) if isinstance(nats, str) else repr(nats)
        self._url = nats if isinstance(nats, str) else ""  # with its password
        self._client: Any = None if isinstance(nats, str) else nats
        self._connected: Openings[str, Any] = Openings("NATS bus")
        self._since = 0.0  # when the client was connected
        self._rest = 0.0  # before the next try to connect again
        self._reason = ""  # of the last loss or failed try, while it rests
        # Connects again, or looks at the client of the user.
        self._guard: asyncio.Task[None] | None = None
        self._subjects: dict[tuple[str, bool], _Subject] = {}
        self._opened: Openings[tuple[str, bool], None] = Openings("NATS bus")
        self._closed = False

    def __repr__(self) -> str:
        return f"<NatsBus {self._name}>"

    async def publish(self, channel: Channel, data: bytes) -> None:
        """See `Bus.publish`. It returns when the message is in the client's buffer.

        Raises:
            BrokerUnavailable: the server is not there.
            BrokerClientClosed: the client that the bus was given is closed.
            MessageTooLarge: the message is over the `max_payload` of the server.
        """
        client = await self._connection()
        try:
            await client.publish(_subject(channel), data)
        except MaxPayloadError:
            raise MessageTooLarge(len(data), client.max_payload) from None
        except (NatsError, OSError) as error:
            self._check_open()
            raise self._unavailable(error) from error

    async def subscribe(
        self, channel: Channel, *, queue: bool = False, size: int = DEFAULT_SIZE
    ) -> Inflow:
        """See `Bus.subscribe`.

        Raises:
            BrokerUnavailable: the server is not there.
            BrokerClientClosed: the client that the bus was given is closed.
        """
        client = await self._connection()
        if not self._owns and self._guard is None:
            self._guard = asyncio.create_task(self._watch(), name="NATS bus: watch")
        key = (_subject(channel), queue)
        subject = self._subjects.get(key)
        if subject is None:
            subject = self._subjects[key] = _Subject(*key, left=self._left)
        flow = subject.flows.add(channel.route or channel.name, size)
        subject.only = "" if channel.route else channel.name
        try:
            await self._opened.get(key, lambda: subject.open(client))
        except BusClosed:
            raise  # the bus has closed its subscriptions, or does
        except (NatsError, OSError) as error:  # a TimeoutError is an OSError
            await flow.close()
            raise self._unavailable(error) from error
        except BaseException:
            await flow.close()
            raise
        return flow

    async def close(self) -> None:
        """See `Bus.close`."""
        if self._closed:
            return
        self._closed = True
        if self._guard is not None:
            self._guard.cancel()
            await asyncio.wait([self._guard])
        await self._connected.close()
        await self._opened.close()
        for subject in tuple(self._subjects.values()):
            await subject.flows.close()
        if self._owns and self._client is not None:
            await _close(self._client)

    # -- inside ----------------------------------------------------------------

    def _check_open(self) -> None:
        if self._closed:
            raise BusClosed("NATS bus")

    def _unavailable(self, error: Exception) -> BrokerUnavailable | BrokerClientClosed:
        if not self._owns and self._client.is_closed:
            return BrokerClientClosed(self._name, _end_of(self._client))
        return BrokerUnavailable(self._name, repr(error))

    async def _connection(self) -> Any:
        self._check_open()
        if self._client is None:
            if self._reason:
                raise BrokerUnavailable(self._name, f"the connection was lost: {self._reason}")
            return await self._connected.get("connection", self._connect)
        if not self._owns and self._client.is_closed:
            raise BrokerClientClosed(self._name, _end_of(self._client))
        return self._client

    async def _connect(self) -> Any:
        client = _Client(self._lost)
        try:
            async with asyncio.timeout(_CONNECTING):
                await client.connect(
                    self._url,
                    allow_reconnect=False,  # a connection fails at once if it fails
                    max_reconnect_attempts=-1,
                    reconnect_time_wait=0.2,  # type: ignore[arg-type]  # seconds, typed as whole ones
                    connect_timeout=2,
                    error_cb=client.report,
                )
            client.trying = False
            # Before any call goes out, so that its answer finds its subscription.
            await self._open_all(client)
            if client.gone.done():
                raise ConnectionClosedError
            client.options["allow_reconnect"] = True
            self._client = client
            self._since = asyncio.get_running_loop().time()
        except (NatsError, OSError) as error:
            raise BrokerUnavailable(self._name, repr(client.last_error or error)) from error
        finally:
            if self._client is not client:
                await _close(client)
        return client

    async def _open_all(self, client: _Client) -> None:
        subjects = tuple(self._subjects.values())
        for subject in subjects:
            await subject.subscribe(client)
        if subjects:
            await _flush(client)
        for subject in subjects:
            if self._subjects.get((subject.name, subject.queue)) is not subject:
                await subject.leave()  # its last reader left meanwhile

    def _lost(self, client: _Client) -> None:
        """Take note that a client closes itself, and connect again."""
        if self._closed or client is not self._client:
            return
        self._client = None
        self._connected.forget("connection")
        if asyncio.get_running_loop().time() - self._since > _LONGEST_REST:
            self._rest = 0.0
        reason = _end_of(client)
        self._reason = reason if self._rest else ""
        _log.warning("NATS bus: the connection was lost: %s; connecting again", reason)
        if self._guard is None or self._guard.done():
            self._guard = asyncio.create_task(self._return(), name="NATS bus: return")

    async def _return(self) -> None:
        while self._client is None:
            if self._reason:  # calls fail meanwhile: tries of theirs would come without a rest
                await asyncio.sleep(self._rest)
            self._rest = min(max(2 * self._rest, _FIRST_REST), _LONGEST_REST)
            self._reason = ""
            try:
                await self._connected.get("connection", self._connect)
            except Exception as error:  # noqa: BLE001 - without this task all subscriptions would stop
                self._reason = error.reason if isinstance(error, BrokerUnavailable) else repr(error)
                _log.warning("NATS bus: %s; trying again", self._reason)

    async def _watch(self) -> None:
        while not self._client.is_closed:  # noqa: ASYNC110 - the callback for it is the user's
            await asyncio.sleep(_LOOK)
        error = BrokerClientClosed(self._name, _end_of(self._client))
        _log.error("NATS bus: %s", error)
        for subject in tuple(self._subjects.values()):
            subject.flows.fail(error)

    async def _left(self, subject: _Subject) -> None:
        if self._subjects.get((subject.name, subject.queue)) is subject:
            del self._subjects[subject.name, subject.queue]
            await self._opened.drop((subject.name, subject.queue))


class _Subject:
    """The subscription of one subject, for all routes within it."""

    def __init__(self, name: str, queue: bool, *, left: Any) -> None:
        self.name = name
        self.queue = queue
        self.only = ""  # the one channel of a subject without routes
        self.flows = Flows(self._emptied)
        self._left = left
        self._client: Any = None  # of the subscription
        self._subscription: Any = None

    async def open(self, client: Any) -> None:
        """Subscribe; the server knows it when this returns."""
        await self.subscribe(client)
        await _flush(client)

    async def subscribe(self, client: Any) -> None:
        """Subscribe, unless it is done; the server learns it with what is sent next."""
        if self._client is not client:
            self._subscription = await client.subscribe(
                self.name, queue=_GROUP if self.queue else "", cb=self._take
            )
            self._client = client

    async def leave(self) -> None:
        """End the subscription. What the server has sent already is handed back to the others."""
        if self._subscription is not None:
            with contextlib.suppress(NatsError, OSError):
                async with asyncio.timeout(_LEAVING):
                    await self._subscription.drain()

    async def _take(self, message: Any) -> None:
        route = self.only or _route(message.data)
        if not self.queue:
            self.flows.put_all(route, message.data)
        elif not self.flows.put_one(route, message.data) and route not in self.flows:
            await self._hand_back(message)

    async def _hand_back(self, message: Any) -> None:
        hops = int((message.headers or {}).get(_HOPS, "0"))
        if hops >= _MOST_HOPS:
            _log.warning("%s: nobody serves %s", self.name, _route(message.data))
            return
        if hops:
            await asyncio.sleep(min(0.001 * hops, 0.02))
        with contextlib.suppress(NatsError, OSError):
            await self._client.publish(self.name, message.data, headers={_HOPS: str(hops + 1)})

    async def _emptied(self, _: str) -> None:
        if any(True for _ in self.flows):
            return
        await self._left(self)
        await self.leave()


class _Client(NatsClient):
    """A client that tells when it closes itself, and connects only once.

    Its `flush`, on which `drain` relies, covers the commands before it.

    Args:
        lost: called when it begins to close.

    Attributes:
        gone: done when it begins to close.
        trying: True until it has its first connection.
    """

    def __init__(self, lost: Callable[[_Client], None]) -> None:
        super().__init__()
        self.gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.trying = True
        self._tell_lost = lost
        self._closing: asyncio.Task[None] | None = None

    async def report(self, error: Exception) -> None:
        """Log an error; one of the first connection ends the try."""
        if self.trying:
            raise error
        _log.warning("NATS bus: %r", error)
        if self.is_connecting and str(error).startswith("nats: '"):
            # The server refuses the client that connects again, for its password as a rule. It
            # would try again five times a second, keep each socket, and take messages meanwhile.
            self._closing = asyncio.create_task(self.close(), name="NATS bus: refused")
            raise asyncio.CancelledError  # ends the task of nats-py, which has awaited this

    async def flush(self, timeout: int = 10) -> None:
        """Return when the server has handled all that was sent before."""
        flushing = asyncio.ensure_future(self._flush_twice(timeout))
        try:
            # A client that closes itself lets its flushes wait for answers that do not come.
            await asyncio.wait([flushing, self.gone], return_when=asyncio.FIRST_COMPLETED)
            if not flushing.done():
                raise ConnectionClosedError
            flushing.result()
        finally:
            flushing.cancel()

    async def _flush_twice(self, timeout: int) -> None:
        await super().flush(timeout)
        await super().flush(timeout)

    async def _close(self, *args: Any, **named: Any) -> None:
        # `closed_cb` comes last, and not at all where what is left cannot be written any more.
        if not self.gone.done():
            self.gone.set_result(None)
            self._tell_lost(self)
        try:
            await super()._close(*args, **named)
        except OSError:
            # What is pending cannot be written. The rest of the end, of which the tasks of the
            # subscriptions and the socket are parts, comes behind that.
            self._pending, self._pending_data_size = [], 0
            self._status = NatsClient.DISCONNECTED
            await super()._close(*args, **named)


async def _flush(client: NatsClient) -> None:
    # A ping of nats-py overtakes commands that still are in the client's buffer. They are written
    # while the first answer is awaited, so a second ping follows them.
    await client.flush(timeout=_CONNECTING)
    if not isinstance(client, _Client):
        await client.flush(timeout=_CONNECTING)


async def _close(client: Any) -> None:
    with contextlib.suppress(NatsError, OSError):
        await client.close()


def _end_of(client: NatsClient) -> str:
    return "it was closed" if client.last_error is None else repr(client.last_error)


def _subject(channel: Channel) -> str:
    return channel.subject or f"BUS.{sanitized(channel.name)}"


def _route(data: bytes) -> str:
    try:
        return str(Envelope.FromString(data).channel)
    except DecodeError:
        return ""
