"""A large message at once: bytes per second, against raw TCP that carries as many."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any, cast

from google.protobuf.wrappers_pb2 import BytesValue

import grid
from bench.calls import load
from bench.model import Progress, Row, Size, median
from bench.processes import Child, quietest
from bench.running import closed_loop
from bench.talk import Orders, drive_on_order, say, until_closed
from grid import ActorContext, Client, Server
from grid.wire_pb2 import Ack

__all__ = ["measure", "ours", "peer", "raw", "raw_server"]

_MIB = 1024 * 1024
_LENGTH = 8
_REQUIRED = 0.4
_PATIENCE = 60.0
_WARM = 0.01


async def measure(etcd: str, size: Size, progress: Progress) -> list[Row]:
    """The row of this part."""
    speeds: list[tuple[float, float]] = []
    given: dict[str, Any] = {"namespace": "payload", "etcd": etcd, "bytes": size.mib * _MIB}
    async with (
        Child("payload.peer", **given),
        Child("payload.raw_server") as raw_server,
        Child("payload.ours", **given) as ours,
        Child("payload.raw", **given, port=raw_server.told["port"]) as raw,
    ):
        for driver in (ours, raw):
            await load(driver, 1, _WARM)
        for number in range(size.rounds):
            progress(f"transport: payload, round {number + 1} of {size.rounds}")
            speeds.append(await quietest(partial(_pair, ours, raw, size, number % 2 == 1)))
    return [_row(size.mib, speeds)]


async def _pair(ours: Child, raw: Child, size: Size, raw_first: bool) -> tuple[float, float]:
    order = [raw, ours] if raw_first else [ours, raw]

    speeds = [size.mib / (await load(driver, 1, size.seconds)).p50 for driver in order]
    if raw_first:
        speeds.reverse()
    return speeds[0], speeds[1]


def _row(mib: int, speeds: list[tuple[float, float]]) -> Row:
    ours, raw = zip(*speeds, strict=True)
    return Row(
        subject="transport",
        case=f"{mib} MiB",
        figure="one message, to its Ack",
        unit="MiB/s",
        ours=median(ours),
        yardstick=median(raw),
        against="raw TCP, answered by one byte",
        least_ratio=_REQUIRED,
        ratios=tuple(one / other for one, other in speeds),
    )


async def peer(given: dict[str, Any], orders: Orders) -> None:
    """A role: a peer that acknowledges whatever comes."""
    grid.register(BytesValue)
    server = Server(given["namespace"], etcd=given["etcd"], max_message_bytes=given["bytes"] + _MIB)
    server.define("take", lambda _: _take, mailbox=16)
    async with server:
        await server.client.start_actor("take", peer=server.name)
        say(name=server.name)
        await until_closed(orders)


async def _take(ctx: ActorContext) -> None:
    async for request in ctx.mailbox:
        request.ack()


async def ours(given: dict[str, Any], orders: Orders) -> None:
    """A role: requests with one large field."""
    grid.register(BytesValue)
    message = BytesValue(value=bytes(given["bytes"]))
    async with Client(
        given["namespace"], etcd=given["etcd"], max_message_bytes=given["bytes"] + _MIB
    ) as client:
        call = partial(client.request, "take", message, reply=Ack, timeout=_PATIENCE)
        await drive_on_order(partial(closed_loop, call), orders)


class _Taker(asyncio.BufferedProtocol):
    """Receives a length and that number of bytes into one place, and answers with one byte."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Expect a length."""
        self._rest: memoryview
        self._is_length: bool
        self._transport = cast("asyncio.Transport", transport)
        self._expect(_LENGTH, is_length=True)

    def get_buffer(self, _: int) -> memoryview:
        """The memory for the next bytes."""
        return self._rest

    def buffer_updated(self, count: int) -> None:
        """Count the received bytes."""
        self._rest = self._rest[count:]
        if self._rest:
            return
        if self._is_length:
            self._expect(int.from_bytes(self._buffer, "big"), is_length=False)
        else:
            self._transport.write(b"\x01")
            self._expect(_LENGTH, is_length=True)

    def _expect(self, count: int, *, is_length: bool) -> None:
        self._buffer = bytearray(count)
        self._rest = memoryview(self._buffer)
        self._is_length = is_length


class _Giver(asyncio.Protocol):
    """Sends, and waits for the one byte."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember where to write."""
        self._transport = cast("asyncio.Transport", transport)

    def give(self, data: bytes) -> asyncio.Future[None]:
        """Done when the receiver has all of it."""
        self._answered = asyncio.get_running_loop().create_future()
        self._transport.write(len(data).to_bytes(_LENGTH, "big"))
        self._transport.write(data)
        return self._answered

    def data_received(self, _: bytes) -> None:
        """The receiver has it."""
        self._answered.set_result(None)


async def raw_server(_: dict[str, Any], orders: Orders) -> None:
    """A role: the yardstick's receiver."""
    server = await asyncio.get_running_loop().create_server(_Taker, "127.0.0.1", 0)
    say(port=server.sockets[0].getsockname()[1])
    await until_closed(orders)
    server.close()


async def raw(given: dict[str, Any], orders: Orders) -> None:
    """A role: the yardstick's sender."""
    transport, giver = await asyncio.get_running_loop().create_connection(
        _Giver, "127.0.0.1", given["port"]
    )
    call = partial(giver.give, bytes(given["bytes"]))
    await drive_on_order(partial(closed_loop, call), orders)
    transport.close()
