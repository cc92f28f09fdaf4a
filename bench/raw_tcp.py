"""Raw asyncio TCP with the batching of a session: the limit of requests in Python.

A frame is a length of four bytes and a `Batch{repeated uint64 id; repeated
grid.Delivery d}`, protobuf's own encoding. The type of `Batch` is described
here, at runtime, so that the yardstick adds nothing to the grid's own protos.

The client keeps a table of futures by id and drains its out-queue into one batch
when the previous write is done: at the loop's next turn, unless the transport
says that it has enough. A batch holds at most half of what is under way, but
not less than 32, so that the two sides overlap. The server echoes inline: it
builds a new EchoMsg and a new Delivery for each one.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator
from functools import partial
from itertools import count
from typing import Any, cast

from google.protobuf import message_factory
from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto

from bench.drivers import MESSAGE
from bench.running import closed_loop
from bench.talk import Orders, drive_on_order, say, until_closed
from grid import EchoMsg
from grid.wire_pb2 import DESCRIPTOR as WIRE

__all__ = ["Batch", "Caller", "Echoer", "Frames", "drive", "frame", "serve"]

_LENGTH = 4
_LEAST_CAP = 32
_TYPE = EchoMsg.DESCRIPTOR.full_name
_RECEIVER = "bench.mailbox.echo"


def _batch() -> Any:
    """The class of `Batch`."""
    file = FileDescriptorProto(
        name="bench/batch.proto", package="bench", syntax="proto3", dependency=[WIRE.name]
    )
    message = file.message_type.add(name="Batch")
    repeated = FieldDescriptorProto.LABEL_REPEATED
    uint64, of_type = FieldDescriptorProto.TYPE_UINT64, FieldDescriptorProto.TYPE_MESSAGE
    message.field.add(name="id", number=1, type=uint64, label=repeated)
    message.field.add(name="d", number=2, type=of_type, type_name=".grid.Delivery", label=repeated)
    pool = WIRE.pool  # which has grid/wire.proto
    pool.AddSerializedFile(file.SerializeToString())
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("bench.Batch"))


Batch: Any = _batch()


def frame(batch: Any) -> bytes:
    """A batch as it is sent."""
    data: bytes = batch.SerializeToString()
    return len(data).to_bytes(_LENGTH, "big") + data


class Frames:
    """Cuts what arrives into the batches that were sent."""

    def __init__(self) -> None:
        self._rest = bytearray()

    def feed(self, data: bytes) -> Iterator[Any]:
        """The batches that are complete now."""
        rest = self._rest
        rest += data
        start = 0
        while len(rest) >= start + _LENGTH:
            end = start + _LENGTH + int.from_bytes(rest[start : start + _LENGTH], "big")
            if len(rest) < end:
                break
            yield Batch.FromString(rest[start + _LENGTH : end])
            start = end
        del rest[:start]


class Echoer(asyncio.Protocol):
    """The server's side of one connection."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember where to answer."""
        self._transport = cast("asyncio.Transport", transport)
        self._frames = Frames()

    def data_received(self, data: bytes) -> None:
        """Answer each batch with one of its own."""
        for batch in self._frames.feed(data):
            answer = Batch()
            answer.id.extend(batch.id)
            add = answer.d.add
            for delivery in batch.d:
                echo = EchoMsg(msg=EchoMsg.FromString(delivery.data).msg)
                add(data=echo.SerializeToString(), typeName=delivery.typeName)
            self._transport.write(frame(answer))


class Caller(asyncio.Protocol):
    """The client's side."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._waiting: dict[int, asyncio.Future[EchoMsg]] = {}
        self._out: deque[tuple[int, EchoMsg]] = deque()
        self._ids = count(1)
        self._frames = Frames()
        self._paused = self._scheduled = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember where to write."""
        self._transport = cast("asyncio.Transport", transport)

    def call(self, message: EchoMsg) -> asyncio.Future[EchoMsg]:
        """The answer to a message, when it comes."""
        number = next(self._ids)
        answer = self._waiting[number] = self._loop.create_future()
        self._out.append((number, message))
        if not self._scheduled:
            self._schedule()
        return answer

    def pause_writing(self) -> None:
        """The transport has enough."""
        self._paused = True

    def resume_writing(self) -> None:
        """The transport wants more."""
        self._paused = False
        self._schedule()

    def data_received(self, data: bytes) -> None:
        """Give each answer to its future."""
        taken = self._waiting.pop
        for batch in self._frames.feed(data):
            for number, delivery in zip(batch.id, batch.d, strict=True):
                answer = taken(number)
                if not answer.done():
                    answer.set_result(EchoMsg.FromString(delivery.data))

    def _schedule(self) -> None:
        if self._out and not self._paused:
            self._scheduled = True
            self._loop.call_soon(self._drain)

    def _drain(self) -> None:
        self._scheduled = False
        out = self._out
        batch = Batch()
        identify, add = batch.id.append, batch.d.add
        for _ in range(min(len(out), max(_LEAST_CAP, len(self._waiting) // 2))):
            number, message = out.popleft()
            identify(number)
            add(data=message.SerializeToString(), typeName=_TYPE, receiver=_RECEIVER)
        self._transport.write(frame(batch))
        self._schedule()


async def serve(_: dict[str, Any], orders: Orders) -> None:
    """A role: the server."""
    server = await asyncio.get_running_loop().create_server(Echoer, "127.0.0.1", 0)
    say(port=server.sockets[0].getsockname()[1])
    await until_closed(orders)
    server.close()


async def drive(given: dict[str, Any], orders: Orders) -> None:
    """A role: callers of a server."""
    transport, caller = await asyncio.get_running_loop().create_connection(
        Caller, "127.0.0.1", given["port"]
    )
    await drive_on_order(partial(closed_loop, partial(caller.call, MESSAGE)), orders)
    transport.close()
