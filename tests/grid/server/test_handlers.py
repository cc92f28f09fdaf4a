"""Actors made of handlers: a handler for each type of message, on real servers and clients."""

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Iterator
from functools import partial

import pytest
from google.protobuf.message import Message
from google.protobuf.wrappers_pb2 import Int64Value, StringValue

import grid
from grid.errors import (
    AlreadyRegistered,
    InvalidArgument,
    InvalidName,
    RequestDropped,
    RequestFailed,
    StreamClosed,
    UnregisteredMailbox,
)
from grid.testing import wait_until
from grid.wire_pb2 import Ack, EchoMsg


class Counter:
    """Counts, answers, streams and fails."""

    def __init__(self, data: bytes) -> None:
        self.count = int(data or b"0")
        self.log: list[str] = []

    async def on_start(self, ctx: grid.ActorContext) -> None:
        self.log.append(f"start {ctx.name}")

    async def on_stop(self) -> None:
        ended.append("stop")

    @grid.handler
    async def add(self, by: Int64Value) -> Int64Value:
        self.count += by.value
        return Int64Value(value=self.count)

    @grid.handler
    async def echo(self, message: EchoMsg, request: grid.Request[EchoMsg]) -> EchoMsg:
        return EchoMsg(msg=message.msg + request.metadata.get("more", ""))

    @grid.handler
    async def note(self, text: StringValue, ctx: grid.ActorContext) -> None:
        self.log.append(f"{text.value} at {ctx.name}")

    @grid.handler
    async def up_to(self, limit: Int64Value) -> AsyncIterator[Int64Value]:
        for number in range(limit.value):
            yield Int64Value(value=number)

    @grid.handler
    async def chat(self, first: EchoMsg, stream: grid.Stream) -> None:
        await stream.send(first)
        async for item in stream:
            await stream.send(item)


ended: list[str] = []


@pytest.fixture(autouse=True)
def _ended() -> Iterator[None]:
    ended.clear()
    yield
    ended.clear()


@pytest.fixture
async def counter(grid_server: grid.Server, grid_client: grid.Client) -> Counter:
    grid_server.actor("counter")(Counter)
    await grid_client.start_actor("counter", name="c", data=b"40")
    return grid_client.actor(Counter, "c")


async def test_a_handler_answers_the_messages_of_its_annotation(counter: Counter) -> None:
    assert (await counter.add(Int64Value(value=2))).value == 42
    assert (await counter.add(Int64Value(value=1))).value == 43
    assert (await counter.echo(EchoMsg(msg="a"), metadata={"more": "b"})).msg == "ab"
    await counter.note(StringValue(value="x"))


async def test_a_reference_is_a_request_by_name(counter: Counter, grid_client: grid.Client) -> None:
    reply = await grid_client.request("c", Int64Value(value=1), reply=Int64Value)
    assert reply.value == 41
    assert isinstance(await grid_client.request("c", StringValue(value="y")), Ack)


async def test_streams_of_both_kinds(counter: Counter) -> None:
    assert [one.value async for one in counter.up_to(Int64Value(value=3))] == [0, 1, 2]
    async with counter.chat(EchoMsg(msg="hi")) as stream:
        assert await stream.receive() == EchoMsg(msg="hi")
        await stream.send(EchoMsg(msg="there"))
        assert await stream.receive() == EchoMsg(msg="there")
        # A stream keeps nothing else waiting.
        assert (await counter.add(Int64Value(value=2))).value == 42


async def test_hooks_around_the_life_of_an_actor(
    counter: Counter, grid_client: grid.Client
) -> None:
    await counter.add(Int64Value())
    assert ended == []
    await grid_client.stop_actor("c")
    assert ended == ["stop"]


async def test_an_error_fails_its_request_only(
    grid_server: grid.Server, grid_client: grid.Client, caplog: pytest.LogCaptureFixture
) -> None:
    @grid_server.actor("fails")
    class Fails:
        @grid.handler
        async def by(self, message: EchoMsg) -> EchoMsg:
            match message.msg:
                case "error":
                    raise KeyError("no such order")
                case "answer":
                    raise RequestFailed("no such order", "NOT_FOUND")
                case "exit":
                    raise SystemExit(3)
                case "cancelled":
                    raise asyncio.CancelledError
                case "nothing":
                    return None  # type: ignore[return-value]
                case "wrong":
                    return Ack()  # type: ignore[return-value]
            return message

    await grid_client.start_actor("fails", name="f")
    fails = grid_client.actor(Fails, "f")
    texts = {}
    for how in ("error", "answer", "exit", "cancelled", "nothing", "wrong"):
        with pytest.raises(RequestFailed) as failed:
            await fails.by(EchoMsg(msg=how))
        texts[how] = failed.value
        assert await fails.by(EchoMsg(msg="well")) == EchoMsg(msg="well")
    assert "no such order" in str(texts["error"])
    assert texts["answer"].code == "NOT_FOUND"
    assert "by returned NoneType, not EchoMsg" in str(texts["nothing"])
    assert "by returned Ack, not EchoMsg" in str(texts["wrong"])
    (first,) = [one for one in caplog.records if one.levelno >= logging.ERROR][:1]
    assert "handler by failed" in first.getMessage()
    assert first.exc_info is not None
    assert first.exc_info[0] is KeyError


async def test_messages_without_a_handler_are_told_what_there_is(
    counter: Counter, grid_client: grid.Client
) -> None:
    with pytest.raises(RequestFailed, match=r"no handler for requests of grid.*Ack.*StringValue"):
        await grid_client.request("c", Ack())
    with pytest.raises(RequestFailed, match="in requests, not in a stream") as failed:
        await grid_client.stream("c", StringValue())
    assert failed.value.code == "UNIMPLEMENTED"
    with pytest.raises(RequestFailed, match="no handler for streams of"):
        await grid_client.stream("c", Ack())
    assert (await counter.add(Int64Value(value=2))).value == 42


async def test_requests_wait_for_each_other_unless_concurrency_is_asked_for(
    grid_server: grid.Server, grid_client: grid.Client
) -> None:
    running: list[str] = []
    most: list[int] = []
    go_on = asyncio.Event()

    class Slow:
        @grid.handler
        async def work(self, message: EchoMsg) -> None:
            running.append(message.msg)
            most.append(len(running))
            await go_on.wait()
            running.remove(message.msg)

    grid_server.actor("one")(Slow)
    grid_server.actor("three", concurrency=3)(Slow)
    for kind, expected in (("one", 1), ("three", 3)):
        most.clear()
        go_on.clear()
        await grid_client.start_actor(kind)
        slow = grid_client.actor(Slow, kind)
        async with asyncio.TaskGroup() as group:
            for number in range(5):
                group.create_task(_awaited(slow.work(EchoMsg(msg=f"{number}"))))
            await wait_until(partial(_all_run, running, expected), "handlers run")
            await asyncio.sleep(0)
            go_on.set()
        assert max(most) == expected
        assert len(most) == 5


def _all_run(running: list[str], expected: int) -> bool:
    return len(running) == expected


async def _awaited(call: object) -> None:
    await call  # type: ignore[misc]


async def test_plain_functions_run_in_threads(
    grid_server: grid.Server, grid_client: grid.Client
) -> None:
    @grid_server.actor("blocking", concurrency=2)
    class Blocking:
        @grid.handler
        def where(self, message: EchoMsg) -> EchoMsg:
            both.wait(5)
            return EchoMsg(msg=threading.current_thread().name)

    both = threading.Barrier(2)
    await grid_client.start_actor("blocking", name="b")
    ref = grid_client.actor(Blocking, "b")
    first, second = await asyncio.gather(ref.where(EchoMsg()), ref.where(EchoMsg()))
    assert first.msg != second.msg
    assert first.msg.startswith("actor b")


async def test_functions_as_handlers(grid_server: grid.Server, grid_client: grid.Client) -> None:
    greeter = grid_server.handlers("greeter")

    @greeter
    async def greet(message: EchoMsg, ctx: grid.ActorContext) -> EchoMsg:
        return EchoMsg(msg=f"{message.msg} from {ctx.name}")

    @greeter
    async def others(message: Message) -> None:
        seen.append(message)

    seen: list[Message] = []
    await grid_client.start_actor("greeter", name="g")
    assert await grid_client.request("g", EchoMsg(msg="hi")) == EchoMsg(msg="hi from g")
    assert await grid_client.request("g", Int64Value(value=3)) == Ack()
    assert seen == [Int64Value(value=3)]


async def test_a_stop_ends_streams_and_lets_requests_finish(
    grid_server: grid.Server, grid_client: grid.Client
) -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()

    @grid_server.actor("both")
    class Both:
        @grid.handler
        async def slow(self, message: EchoMsg) -> EchoMsg:
            begun.set()
            await go_on.wait()
            return message

        @grid.handler
        async def for_ever(self, message: EchoMsg) -> AsyncIterator[EchoMsg]:
            yield message
            await asyncio.Event().wait()

    await grid_client.start_actor("both", name="b")
    ref = grid_client.actor(Both, "b")
    items = ref.for_ever(EchoMsg(msg="1"))
    assert await anext(items) == EchoMsg(msg="1")
    request = asyncio.ensure_future(ref.slow(EchoMsg(msg="2")))
    await begun.wait()
    stopping = asyncio.create_task(grid_client.stop_actor("b", grace=5))
    go_on.set()
    assert await request == EchoMsg(msg="2")
    with pytest.raises(StreamClosed, match="the actor has ended"):
        await anext(items)
    await stopping


async def test_a_stream_that_looks_at_stopping_ends_by_itself(
    grid_server: grid.Server, grid_client: grid.Client
) -> None:
    @grid_server.actor("polite")
    class Polite:
        @grid.handler
        async def until_stop(
            self, message: EchoMsg, ctx: grid.ActorContext
        ) -> AsyncIterator[EchoMsg]:
            yield message
            await ctx.stopping.wait()
            yield EchoMsg(msg="bye")

    await grid_client.start_actor("polite", name="p")
    items = grid_client.actor(Polite, "p").until_stop(EchoMsg(msg="hi"))
    assert await anext(items) == EchoMsg(msg="hi")
    await grid_client.stop_actor("p", grace=5)
    assert [one.msg async for one in items] == ["bye"]


async def test_a_cancelled_actor_calls_on_stop_and_drops_its_request(
    grid_server: grid.Server, grid_client: grid.Client
) -> None:
    begun = asyncio.Event()

    @grid_server.actor("stuck", concurrency=2)
    class Stuck:
        async def on_stop(self) -> None:
            ended.append("stop")

        @grid.handler
        async def wait(self, message: EchoMsg) -> None:
            begun.set()
            await asyncio.Event().wait()

    await grid_client.start_actor("stuck", name="s")
    request = asyncio.ensure_future(grid_client.actor(Stuck, "s").wait(EchoMsg()))
    await begun.wait()
    await grid_client.stop_actor("s", grace=0.05)
    assert ended == ["stop"]
    with pytest.raises(RequestDropped):
        await request


async def test_a_caller_that_leaves_its_stream_is_no_error_of_the_actor(
    counter: Counter, caplog: pytest.LogCaptureFixture
) -> None:
    async for one in counter.up_to(Int64Value(value=1 << 40)):
        if one.value == 10:
            break
    assert (await counter.add(Int64Value(value=2))).value == 42
    assert [one for one in caplog.records if one.levelno >= logging.WARNING] == []


async def test_a_derived_class_overrides_and_adds_handlers(
    grid_server: grid.Server, grid_client: grid.Client
) -> None:
    class Twice(Counter):
        @grid.handler
        async def add(self, by: Int64Value) -> Int64Value:
            self.count += 2 * by.value
            return Int64Value(value=self.count)

    grid_server.actor("twice")(Twice)
    await grid_client.start_actor("twice", name="t")
    twice = grid_client.actor(Twice, "t")
    assert (await twice.add(Int64Value(value=2))).value == 4
    assert (await twice.echo(EchoMsg(msg="a"))).msg == "a"


async def test_one_handler_for_several_messages(
    grid_server: grid.Server, grid_client: grid.Client
) -> None:
    @grid_server.actor("either")
    class Either:
        @grid.handler
        async def name(self, message: "EchoMsg | StringValue") -> StringValue | None:
            if isinstance(message, EchoMsg):
                return None
            return StringValue(value=type(message).__name__)

    await grid_client.start_actor("either", name="e")
    either = grid_client.actor(Either, "e")
    assert await either.name(StringValue()) == StringValue(value="StringValue")
    assert await either.name(EchoMsg()) is None


def test_a_handler_called_directly_is_the_method_itself() -> None:
    counter = Counter(b"1")
    assert asyncio.run(_value(counter)) == 3


async def _value(counter: Counter) -> int:
    return (await counter.add(Int64Value(value=2))).value


async def test_references_refuse_what_they_cannot_ask(grid_client: grid.Client) -> None:
    with pytest.raises(InvalidArgument, match=r"a class with a @grid\.handler"):
        grid_client.actor(dict, "x")
    with pytest.raises(InvalidName):
        grid_client.actor(Counter, "a b")
    missing = grid_client.actor(Counter, "missing")
    with pytest.raises(UnregisteredMailbox):
        await missing.add(Int64Value())
    with pytest.raises(AttributeError, match="no handler 'ad'; it has: add, echo"):
        missing.ad(Int64Value())  # type: ignore[attr-defined]


async def test_a_factory_may_make_an_object_with_handlers(
    grid_server: grid.Server, grid_client: grid.Client
) -> None:
    grid_server.define("made", lambda data: Counter(data), mailbox=4)
    await grid_client.start_actor("made", data=b"1")
    made = grid_client.actor(Counter, "made")
    assert (await made.add(Int64Value(value=1))).value == 2
    with pytest.raises(AlreadyRegistered):
        await grid_client.start_actor("made")
