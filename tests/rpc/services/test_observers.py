"""Events of calls at their client and at their server, and traces over each bus."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from grid.testing import wait_until
from rpc.services import (
    CallContext,
    CallEvent,
    CallTimedOut,
    EventKind,
    SelectionOptions,
    ServiceError,
    Tracing,
)
from tests.rpc.services.greeting_pb2 import Hello
from tests.rpc.services.kit import SOON, Hall


class Seen:
    """The events of one side."""

    def __init__(self) -> None:
        self.events: list[CallEvent] = []

    def __call__(self, event: CallEvent) -> None:
        self.events.append(event)
        raise RuntimeError("an observer that fails changes nothing")

    def kinds(self, member: str | None = None) -> list[str]:
        """The kinds of the events, of one server if it is named."""
        return [str(one.kind) for one in self.events if member in (None, one.member)]

    async def until(self, kind: EventKind, count: int = 1) -> None:
        """Wait for events of a kind."""
        await wait_until(
            lambda: self.kinds().count(str(kind)) >= count, f"the event {kind}", timeout=SOON
        )


async def test_both_sides_see_the_outcome_of_a_call(the_hall: Hall) -> None:
    at_server, at_client = Seen(), Seen()
    await the_hall.serve("a", observers=[at_server])
    client = await the_hall.client(observers=[at_client], client_id="me")
    assert (await client.greet(Hello(text="hi"))).text == "HI"
    await at_server.until(EventKind.ENDED)
    bids = [] if the_hall.knows_members else ["bid", "granted"]
    assert at_server.kinds() == [*bids, "received", "ended"]
    assert at_client.kinds()[0] == "sent"
    assert at_client.kinds()[-1] == "ended"
    last = at_server.events[-1]
    assert (last.side, last.service, last.method, last.topic, last.client, last.member) == (
        "server",
        "tests.greeting.Greeter",
        "Greet",
        (),
        "me",
        "a",
    )
    assert last.seconds >= 0
    assert last.error is None
    with pytest.raises(ServiceError):
        await client.greet(Hello(text="fail:aborted"))
    await at_server.until(EventKind.ENDED, 2)
    for seen in (at_server, at_client):
        assert "as asked" in str(seen.events[-1].error)


async def test_an_expired_call_and_one_whose_caller_left(the_hall: Hall) -> None:
    at_server, at_client = Seen(), Seen()
    await the_hall.serve("a", observers=[at_server])
    client = await the_hall.client(observers=[at_client])
    await client.greet(Hello(text="hi"))  # the way there is open from now on
    with pytest.raises(CallTimedOut):
        await client.greet(Hello(text="wait:"), timeout=2.0)
    await at_server.until(EventKind.EXPIRED)
    assert at_client.kinds()[-1] == "expired"
    if the_hall.knows_members:
        leaving = asyncio.create_task(client.greet(Hello(text="wait:"), timeout=60))
        await at_server.until(EventKind.RECEIVED, 3)
        leaving.cancel()
        await at_server.until(EventKind.CANCELED)
        await asyncio.gather(leaving, return_exceptions=True)
        assert at_client.kinds()[-1] == "canceled"


async def test_bids_are_granted_lost_or_abandoned(the_hall: Hall) -> None:
    at_server, at_client = Seen(), Seen()
    for name, affinity in (("a", 0.5), ("b", 0.75), ("c", -1.0)):
        await the_hall.serve(name, affinity, observers=[at_server])
    client = await the_hall.patient_client(observers=[at_client])
    assert (await client.pick(Hello(text="hi"))).server == "b"
    await at_server.until(EventKind.LOST)
    await at_server.until(EventKind.ENDED)
    assert [one for one in at_server.kinds("b") if one != "bid"] == ["granted", "received", "ended"]
    assert at_server.kinds("a") == ["bid", "lost"]
    assert "granted" not in at_server.kinds("c")
    assert at_client.kinds("b")[:2] == ["bid", "granted"]
    assert at_client.kinds("a")[:2] == ["bid", "lost"]
    assert {event.score for event in at_client.events if event.member == "b"} >= {0.75}


async def test_a_bid_without_an_outcome_is_abandoned(the_hall: Hall) -> None:
    at_server, at_client = Seen(), Seen()
    await the_hall.serve("a", observers=[at_server])
    client = await the_hall.client(observers=[at_client])
    with pytest.raises(ServiceError):
        await client.pick(
            Hello(), timeout=3.0, selection=SelectionOptions(minimum=5, affinity_timeout=1.5)
        )
    assert "abandoned" in at_client.kinds("a")
    ends = EventKind.LOST if the_hall.knows_members else EventKind.ABANDONED
    await at_server.until(ends)


async def test_calls_to_all_and_streams_are_observed(the_hall: Hall) -> None:
    at_server, at_client = Seen(), Seen()
    for name in ("a", "b"):
        await the_hall.serve(name, observers=[at_server])
    client = await the_hall.client(observers=[at_client])
    await client.all(Hello(text="hi"), timeout=the_hall.multi_timeout)
    assert sorted(one.member for one in at_client.events if one.kind is EventKind.ENDED) == [
        "a",
        "b",
    ]
    await at_server.until(EventKind.ENDED, 2)
    at_client.events.clear()
    async with client.talk(timeout=SOON) as stream:
        await stream.send(Hello(text="fail:aborted"))
        with pytest.raises(ServiceError):
            await anext(stream)
    await at_server.until(EventKind.ENDED, 3)
    assert "as asked" in str(at_server.events[-1].error)
    assert at_client.kinds()[-1] == "ended"
    assert "as asked" in str(at_client.events[-1].error)


async def test_a_trace_goes_with_a_call_to_its_handler(
    the_hall: Hall, monkeypatch: pytest.MonkeyPatch
) -> None:
    export = pytest.importorskip("opentelemetry.sdk.trace.export.in_memory_span_exporter")
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor

    for name in ("active", "_inject"):  # of the process: other tests count frames
        monkeypatch.setattr(f"grid.trace_context.{name}", None)
    spans: Any = export.InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    tracing = Tracing(provider)
    parents: list[str] = []

    async def note(request: Any, context: CallContext, proceed: Any) -> Any:
        parents.append(context.metadata.get("traceparent", ""))
        return await proceed(request)

    around = [tracing.server, note]
    await the_hall.serve("a", interceptors=around, stream_interceptors=around)
    client = await the_hall.client(
        interceptors=[tracing.client],
        multi_interceptors=[tracing.all],
        stream_interceptors=[tracing.client],
    )
    tracer = provider.get_tracer("test")
    with tracer.start_as_current_span("mine") as mine:
        await client.greet(Hello(text="hi"))
        await client.all(Hello(text="hi"), timeout=the_hall.multi_timeout)
        async with client.talk(timeout=SOON) as stream:
            await stream.send(Hello(text="hi"))
            await anext(stream)
    await wait_until(lambda: len(spans.get_finished_spans()) >= 7, "the spans", timeout=SOON)
    finished = spans.get_finished_spans()
    assert {span.context.trace_id for span in finished} == {mine.get_span_context().trace_id}
    by_id = {span.context.span_id: span for span in finished}
    for span in finished:
        if span.name != "mine":
            parent = by_id[span.parent.span_id]
            wanted = span.name if span.kind.name == "SERVER" else "mine"
            assert parent.name == wanted
    assert len(parents) == 3
    assert all(parents)
