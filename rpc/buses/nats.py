"""The bus of a NATS server, for which the extra `nats` is needed.

Services on it speak the protocol of psrpc, so that Go programs join. By that protocol all
methods of a service share a subject and a queue group, so a process may win a message of a
queue that it does not serve: it hands such a message back to the group.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import Any

from google.protobuf.message import DecodeError
from nats.aio.client import Client as NatsClient
from nats.errors import Error as NatsError
from nats.errors import MaxPayloadError

from grid.errors import MessageTooLarge
from rpc.buses.bus import DEFAULT_SIZE, BusClosed, Capabilities, Channel, Inflow
from rpc.buses.errors import BrokerUnavailable, without_password
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


class NatsBus:
    """A bus of a NATS server; see `Bus`.

    Args:
        nats: its URL (`nats://127.0.0.1:4222`), or a connected client of nats-py, which is not
            closed with the bus.
    """

    capabilities = Capabilities()

    def __init__(self, nats: str | NatsClient = "nats://127.0.0.1:4222") -> None:
        self._owns = isinstance(nats, str)
        self._name = without_password(nats) if isinstance(nats, str) else repr(nats)
        self._url = nats if isinstance(nats, str) else ""  # with its password
        self._client: Any = None if isinstance(nats, str) else nats
        self._connected: Openings[str, None] = Openings("NATS bus")
        self._subjects: dict[tuple[str, bool], _Subject] = {}
        self._opened: Openings[tuple[str, bool], None] = Openings("NATS bus")
        self._closed = False

    def __repr__(self) -> str:
        return f"<NatsBus {self._name}>"

    async def publish(self, channel: Channel, data: bytes) -> None:
        """See `Bus.publish`. It returns when the message is in the client's buffer.

        Raises:
            BrokerUnavailable: the server is not there.
            MessageTooLarge: the message is over the `max_payload` of the server.
        """
        client = await self._connection()
        try:
            await client.publish(_subject(channel), data)
        except MaxPayloadError:
            raise MessageTooLarge(len(data), client.max_payload) from None
        except (NatsError, OSError) as error:
            self._check_open()
            raise BrokerUnavailable(self._name, repr(error)) from error

    async def subscribe(
        self, channel: Channel, *, queue: bool = False, size: int = DEFAULT_SIZE
    ) -> Inflow:
        """See `Bus.subscribe`.

        Raises:
            BrokerUnavailable: the server is not there.
        """
        client = await self._connection()
        key = (_subject(channel), queue)
        subject = self._subjects.get(key)
        if subject is None:
            subject = self._subjects[key] = _Subject(client, *key, left=self._left)
        flow = subject.flows.add(channel.route or channel.name, size)
        subject.only = "" if channel.route else channel.name
        try:
            await self._opened.get(key, subject.open)
        except BusClosed:
            raise  # the bus has closed its subscriptions, or does
        except (NatsError, OSError) as error:  # a TimeoutError is an OSError
            await flow.close()
            raise BrokerUnavailable(self._name, repr(error)) from error
        except BaseException:
            await flow.close()
            raise
        return flow

    async def close(self) -> None:
        """See `Bus.close`."""
        if self._closed:
            return
        self._closed = True
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

    async def _connection(self) -> Any:
        self._check_open()
        if self._client is None:
            await self._connected.get("connection", self._connect)
        return self._client

    async def _connect(self) -> None:
        client = _Client()
        try:
            async with asyncio.timeout(_CONNECTING):
                await client.connect(
                    self._url,
                    allow_reconnect=False,  # the first connection fails at once if it fails
                    max_reconnect_attempts=-1,
                    reconnect_time_wait=0.2,  # type: ignore[arg-type]  # seconds, typed as whole ones
                    connect_timeout=2,
                    error_cb=self._report,
                )
        except (NatsError, OSError) as error:
            raise BrokerUnavailable(self._name, repr(error)) from error
        finally:
            if not client.is_connected:
                await _close(client)
        client.options["allow_reconnect"] = True
        self._client = client

    async def _report(self, error: Exception) -> None:
        if self._client is None:  # the first connection is not tried again by itself
            raise error
        _log.warning("NATS bus: %r", error)

    async def _left(self, subject: _Subject) -> None:
        if self._subjects.get((subject.name, subject.queue)) is subject:
            del self._subjects[subject.name, subject.queue]
            await self._opened.drop((subject.name, subject.queue))


class _Subject:
    """The subscription of one subject, for all routes within it."""

    def __init__(self, client: Any, name: str, queue: bool, *, left: Any) -> None:
        self.name = name
        self.queue = queue
        self.only = ""  # the one channel of a subject without routes
        self.flows = Flows(self._emptied)
        self._client = client
        self._left = left
        self._subscription: Any = None

    async def open(self) -> None:
        """Subscribe; the server knows it when this returns."""
        if self._subscription is None:
            self._subscription = await self._client.subscribe(
                self.name, queue=_GROUP if self.queue else "", cb=self._take
            )
        await _flush(self._client)

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
        if self._subscription is not None:
            # What the server has sent already is handed back to the others.
            with contextlib.suppress(NatsError, OSError):
                async with asyncio.timeout(_LEAVING):
                    await self._subscription.drain()


class _Client(NatsClient):
    """A client whose `flush`, on which `drain` relies, covers the commands before it."""

    async def flush(self, timeout: int = 10) -> None:
        """Return when the server has handled all that was sent before."""
        await super().flush(timeout)
        await super().flush(timeout)


async def _flush(client: NatsClient) -> None:
    # A ping of nats-py overtakes commands that still are in the client's buffer. They are written
    # while the first answer is awaited, so a second ping follows them.
    await client.flush(timeout=_CONNECTING)
    if not isinstance(client, _Client):
        await client.flush(timeout=_CONNECTING)


async def _close(client: Any) -> None:
    with contextlib.suppress(NatsError, OSError):
        await client.close()


def _subject(channel: Channel) -> str:
    return channel.subject or f"BUS.{sanitized(channel.name)}"


def _route(data: bytes) -> str:
    try:
        return str(Envelope.FromString(data).channel)
    except DecodeError:
        return ""
