"""Streams of the psrpc protocol whose other side keeps to no rule."""

from __future__ import annotations

import asyncio

from grid.deadline import Deadline
from grid.testing import wait_until
from rpc.psrpc_pb2 import Stream, StreamMessage, StreamOpen
from rpc.services import CallContext
from rpc.services.error_log import ErrorLog
from rpc.services.handlers import served_methods
from rpc.services.psrpc.pipe import PsrpcPipe
from rpc.services.psrpc.stream_serving import ServedStreams
from tests.rpc.services.greeting_grid import GREETER
from tests.rpc.services.greeting_pb2 import Hello
from tests.rpc.services.kit import Greeter

SOON = 20.0


class Sent:
    """The frames that one end has sent."""

    def __init__(self) -> None:
        self.frames: list[Stream] = []

    async def __call__(self, frame: Stream) -> None:
        """Take a frame."""
        self.frames.append(frame)

    def of(self, kind: str) -> list[Stream]:
        """The frames of a kind."""
        return [frame for frame in self.frames if frame.WhichOneof("body") == kind]


def message(text: bytes, number: int = 0) -> Stream:
    body = StreamMessage(raw_message=text)
    return Stream(stream_id="s", request_id=f"r{number}", message=body)


async def test_messages_that_nobody_waits_for_do_not_pile_up() -> None:
    sent = Sent()
    pipe = PsrpcPipe("s", sent, SOON, lambda: None)
    for number in range(5000):  # without an acknowledgement of those before
        pipe.take(message(b"%d" % number, number))
    taken = []
    while pipe._items:
        taken.append(await pipe.receive())
    assert taken == [b"%d" % number for number in range(len(taken))]
    assert 100 < len(taken) < 2500
    await wait_until(
        lambda: len(sent.of("ack")) == len(taken), "what was taken is acknowledged", timeout=SOON
    )
    await pipe.close(None)


async def test_a_stream_that_is_opened_twice_is_served_once() -> None:
    served = served_methods(GREETER, Greeter("a"))["Talk"]
    streams, sent = ServedStreams(served, ErrorLog().answer), Sent()
    method = GREETER.by_name["Talk"]
    context = CallContext(GREETER, method, (), "client", "a", {}, Deadline.after(SOON))
    opening = Stream(stream_id="s", request_id="r", open=StreamOpen(node_id="client"))
    serving = asyncio.create_task(streams.serve(opening, context, sent, SOON))
    await wait_until(lambda: len(sent.of("ack")) == 1, "the stream to be open", timeout=SOON)
    async with asyncio.timeout(SOON):
        assert await streams.serve(opening, context, sent, SOON) is None
    streams.take(message(Hello(text="hi").SerializeToString()))
    await wait_until(lambda: len(sent.of("message")) == 1, "an answer", timeout=SOON)
    await streams.close()
    serving.cancel()
    await asyncio.gather(serving, return_exceptions=True)


async def test_a_close_that_is_cancelled_is_told_all_the_same() -> None:
    sent, room = Sent(), asyncio.Event()

    async def publish(frame: Stream) -> None:
        await room.wait()
        await sent(frame)

    pipe = PsrpcPipe("s", publish, SOON, lambda: None)
    closing = asyncio.ensure_future(pipe.close(None))
    await asyncio.sleep(0)
    closing.cancel()
    await asyncio.wait([closing])
    room.set()
    await wait_until(lambda: sent.of("close"), "the other side to be told")
