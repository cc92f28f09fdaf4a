"""The trace of a request goes on with what its actor sends, and with nothing else."""

import asyncio
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from types import ModuleType
from typing import Any

import pytest

import grid
from grid import trace_context
from grid.wire_pb2 import EchoMsg
from tests.grid.echo_kit import EchoGrid

PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
OTHER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"
TRACE = {"traceparent": PARENT, "tracestate": "shop=7,else=8"}


@pytest.fixture(autouse=True)
def nothing_traced_yet() -> Iterator[None]:
    """A process in which nothing was traced so far, and OpenTelemetry was not imported."""
    imported = _take_opentelemetry_away()
    trace_context.active, trace_context._inject = False, None
    yield
    trace_context.active, trace_context._inject = False, None
    _take_opentelemetry_away()
    sys.modules.update(imported)


@pytest.fixture
def opentelemetry_trace() -> Any:
    """`opentelemetry.trace`, imported for this test only: clients look whether it is there."""
    return import_module("opentelemetry.trace")


def _take_opentelemetry_away() -> dict[str, ModuleType]:
    names = [name for name in sys.modules if name.partition(".")[0] == "opentelemetry"]
    return {name: sys.modules.pop(name) for name in names}


async def relay(peer: EchoGrid, way: str) -> grid.Client:
    """Start a `relay` that sends each message on to `echo`, through a client of its own.

    Returns:
        A client for the test to ask `relay` with.
    """
    await peer.start(way)
    mailbox = await peer.server.open_mailbox("relay")
    own = peer.client()

    async def serve() -> None:
        async for request in mailbox:
            request.respond(await own.request("echo", request.message))

    peer.serving.append(asyncio.create_task(serve()))
    return peer.client()


def metadata_seen(peer: EchoGrid) -> list[dict[str, str]]:
    seen = [metadata for _, metadata in peer.seen]
    peer.seen.clear()
    return seen


async def test_a_trace_goes_on_and_ends_with_the_next_request(peer: EchoGrid, way: str) -> None:
    client = await relay(peer, way)
    await client.request("relay", EchoMsg())
    assert not trace_context.active
    await client.request("relay", EchoMsg(), metadata={**TRACE, "user": "bob"})
    await client.request("relay", EchoMsg())
    await client.request("relay", EchoMsg(), metadata={"traceparent": OTHER})
    await client.request("relay", EchoMsg(), metadata={"user": "bob"})
    assert metadata_seen(peer) == [{}, TRACE, {}, {"traceparent": OTHER}, {}]


async def test_the_callers_own_task_has_none(peer: EchoGrid, way: str) -> None:
    client = await relay(peer, way)
    await client.request("echo", EchoMsg(), metadata=TRACE)
    await client.request("echo", EchoMsg())
    assert metadata_seen(peer) == [TRACE, {}]


async def test_one_of_its_own_goes_first(peer: EchoGrid, way: str) -> None:
    await peer.start(way)
    client, own = peer.client(), peer.client()
    async with peer.server.open_mailbox("m") as mailbox:
        sent = client.send("m", EchoMsg(), metadata=TRACE)
        request = await anext(mailbox)
        await own.request("echo", EchoMsg(), metadata={"traceparent": OTHER, "user": "bob"})
        await own.request("echo", EchoMsg(), metadata={"user": "bob"})
        await own.send("echo", EchoMsg())
        await own.broadcast(grid.Group("echo"), EchoMsg())
        request.ack()
        await sent
        del request
        trace_context.hand_out({})
    own_one, *others = metadata_seen(peer)
    assert own_one == {"traceparent": OTHER, "user": "bob"}
    assert others == [{**TRACE, "user": "bob"}, TRACE, TRACE]


async def test_tells_and_streams_carry_it_on(peer: EchoGrid, stream_way: str) -> None:
    await peer.start(stream_way)
    mailbox = await peer.server.open_mailbox("m")
    own = peer.client()

    async def serve() -> None:
        async for request in mailbox:
            async with request.accept() as stream:
                async for item in stream:
                    await own.tell("echo", item)
                    async with own.stream("echo", item) as onward:
                        await onward.send(item)
                        await onward.receive()
                    await stream.send(item)

    peer.serving.append(asyncio.create_task(serve()))
    client = peer.client()
    async with client.stream("m", EchoMsg(), metadata=TRACE) as stream:
        await stream.send(EchoMsg())
        await stream.receive()
    assert metadata_seen(peer) == [TRACE, TRACE]


async def test_tasks_that_handle_requests_side_by_side_have_each_its_own(
    peer: EchoGrid, way: str
) -> None:
    await peer.start(way)
    mailbox = await peer.server.open_mailbox("m")
    own = peer.client()
    all_there = asyncio.Barrier(3)

    async def handle(request: grid.Request[Any]) -> None:
        await all_there.wait()
        request.respond(await own.request("echo", request.message))

    async def serve() -> None:
        async for request in mailbox:
            peer.serving.append(asyncio.create_task(handle(request)))

    peer.serving.append(asyncio.create_task(serve()))
    client = peer.client()
    given: list[dict[str, str]] = [{"traceparent": PARENT}, {"traceparent": OTHER}, {}]
    await asyncio.gather(
        *(client.send("m", EchoMsg(msg=str(i)), metadata=one) for i, one in enumerate(given))
    )
    assert dict(peer.seen) == {str(i): one for i, one in enumerate(given)}


@pytest.mark.parametrize(
    "parent",
    [
        "",
        "nonsense",
        PARENT.upper(),
        PARENT + "-more",
        PARENT[:-1],
        "ff" + PARENT[2:],
        f"00-{'0' * 32}-00f067aa0ba902b7-01",
        f"00-4bf92f3577b34da6a3ce929d0e0e4736-{'0' * 16}-01",
        "01" + PARENT[2:] + "x",
        "01" + PARENT[2:] + "-" + "x" * 300,
        PARENT + "\n",
    ],
)
async def test_a_malformed_one_arrives_and_goes_no_further(peer: EchoGrid, parent: str) -> None:
    client = await relay(peer, "session")
    given = {**TRACE, "traceparent": parent}
    await client.request("relay", EchoMsg(), metadata=given)
    await client.request("echo", EchoMsg(), metadata=given)
    assert metadata_seen(peer) == [{}, given]


async def test_one_of_a_later_version_goes_on_whole(peer: EchoGrid) -> None:
    client = await relay(peer, "session")
    later = {"traceparent": "01" + PARENT[2:] + "-more-of-it"}
    await client.request("relay", EchoMsg(), metadata=later)
    assert metadata_seen(peer) == [later]


@pytest.mark.parametrize(
    ("state", "passed_on"),
    [
        ("", None),
        ("shop=\n", None),
        ("shop=ü", None),
        ("x" * 513, None),
        ("a=" + "x" * 400 + ",b=" + "x" * 200, "a=" + "x" * 400),
        ("a=" + "x" * 509 + ",b=1", "a=" + "x" * 509),
        ("x" * 512, "x" * 512),
    ],
)
async def test_a_state_goes_on_as_far_as_the_standard_asks(
    peer: EchoGrid, state: str, passed_on: str | None
) -> None:
    client = await relay(peer, "session")
    await client.request("relay", EchoMsg(), metadata={**TRACE, "tracestate": state})
    expected = {"traceparent": PARENT} | ({} if passed_on is None else {"tracestate": passed_on})
    assert metadata_seen(peer) == [expected]


async def test_a_servers_interceptor_has_the_trace_and_may_change_it(
    peer: EchoGrid, way: str
) -> None:
    async def ask_first(call: grid.IncomingCall, proceed: grid.Proceed[grid.IncomingCall]) -> Any:
        if call.name == "relay":
            await own.request("echo", EchoMsg(msg="first"))
            call.metadata["traceparent"] = OTHER
        return await proceed(call)

    own = peer.client()
    peer.make_server = _with(peer.make_server, interceptors=[ask_first])
    client = await relay(peer, way)
    await client.request("relay", EchoMsg(), metadata={"traceparent": PARENT})
    await client.request("relay", EchoMsg(), metadata={"traceparent": PARENT})
    parents = [metadata["traceparent"] for metadata in metadata_seen(peer)]
    assert parents == [PARENT, OTHER, PARENT, OTHER]


def _with(make: Callable[..., grid.Server], **options: Any) -> Callable[..., grid.Server]:
    def made(**more: Any) -> grid.Server:
        return make(**options, **more)

    return made


async def test_what_an_actor_does_by_itself_is_not_part_of_its_start(peer: EchoGrid) -> None:
    await peer.start()
    ended = asyncio.Event()

    @peer.server.actor("a")
    async def act(ctx: grid.ActorContext) -> None:
        await ctx.client.request("echo", EchoMsg())
        ended.set()

    client = peer.client()
    start = grid.ActorStart(type="a", name="a")
    await client.request(peer.server.name, start, metadata=TRACE)
    await asyncio.wait_for(ended.wait(), 5)
    assert metadata_seen(peer) == [{}]


async def test_blocking_actors_carry_it_on(peer: EchoGrid, way: str) -> None:
    await peer.start(way)

    @peer.server.actor("b", mailbox=4)
    def act(ctx: grid.sync.BlockingContext) -> None:
        for request in ctx.mailbox:
            request.respond(ctx.request("echo", request.message))

    client = peer.client()
    await client.start_actor("b")
    await client.request("b", EchoMsg(), metadata=TRACE)
    await client.request("b", EchoMsg())
    assert metadata_seen(peer) == [TRACE, {}]


async def test_a_current_span_goes_before_the_request_that_is_handled(
    peer: EchoGrid, opentelemetry_trace: Any
) -> None:
    client = await relay(peer, "session")
    trace = opentelemetry_trace
    context = trace.SpanContext(
        trace_id=0x0AF7651916CD43DD8448EB211C80319C,
        span_id=0xB7AD6B7169203331,
        is_remote=False,
        trace_state=trace.TraceState([("a", "1")]),
    )
    current = trace.use_span(trace.NonRecordingSpan(context))
    span = {"traceparent": OTHER, "tracestate": "a=1"}
    await client.request("echo", EchoMsg())
    trace_context.hand_out(TRACE)
    await client.request("echo", EchoMsg())
    with current:
        await client.request("echo", EchoMsg(), metadata={"user": "bob"})
        await client.request("echo", EchoMsg(), metadata=TRACE)
        await client.send("relay", EchoMsg())
    assert metadata_seen(peer) == [{}, TRACE, {"user": "bob", **span}, TRACE, span]


async def test_a_span_of_an_interceptor_is_sent(peer: EchoGrid, opentelemetry_trace: Any) -> None:
    trace = opentelemetry_trace
    context = trace.SpanContext(0x0AF7651916CD43DD8448EB211C80319C, 0xB7AD6B7169203331, False)

    async def traced(call: grid.OutgoingCall, proceed: grid.Proceed[grid.OutgoingCall]) -> Any:
        with trace.use_span(trace.NonRecordingSpan(context)):
            return await proceed(call)

    await peer.start()
    await peer.client(traced).request("echo", EchoMsg())
    assert metadata_seen(peer) == [{"traceparent": OTHER}]
