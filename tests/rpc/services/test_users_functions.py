"""Errors of the functions that choose servers: scorers and `choose`, also time-outs of theirs."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from grid.errors import InvalidArgument
from rpc.services import (
    Bid,
    CallContext,
    CallEvent,
    EventKind,
    LocalBus,
    SelectionOptions,
    ServiceError,
)
from tests.rpc.services.greeting_grid import GreeterClient, GreeterServer
from tests.rpc.services.greeting_pb2 import Hello
from tests.rpc.services.kit import SOON, Greeter, Hall

ERRORS = (TimeoutError("my own"), LookupError("my own"))


@pytest.mark.parametrize("error", ERRORS, ids=["timeout", "other"])
async def test_an_error_of_a_scorer_reaches_the_caller(
    the_hall: Hall, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def score(*_: object) -> float:
        raise error

    monkeypatch.setattr(Greeter, "pick_affinity", score)
    monkeypatch.setattr(Greeter, "talk_to_the_best_affinity", score)
    await the_hall.serve("a")
    client = await the_hall.client()
    with pytest.raises(ServiceError, match="my own"):
        await client.pick(Hello(text="hi"), timeout=SOON)
    with pytest.raises(ServiceError, match="my own"):
        async with client.talk_to_the_best(timeout=SOON):
            pass


@pytest.mark.parametrize("error", ERRORS, ids=["timeout", "other"])
async def test_an_error_of_choose_reaches_the_caller(the_hall: Hall, error: Exception) -> None:
    def choose(_: Sequence[Bid]) -> str | None:
        raise error

    events: list[CallEvent] = []
    await the_hall.serve("a")
    options = SelectionOptions(affinity_timeout=1.5, choose=choose)
    client = await the_hall.client(selection=options, observers=[events.append])
    with pytest.raises(type(error), match="my own") as caught:
        await client.pick(Hello(text="hi"), timeout=SOON)
    assert caught.value is error
    with pytest.raises(type(error), match="my own") as caught:
        async with client.talk_to_the_best(timeout=SOON):
            pass
    assert caught.value is error
    ends = [event.error for event in events if event.kind is EventKind.ENDED]
    assert [end is not None and "my own" in str(end) for end in ends] == [True, True]


async def test_choose_returns_a_server_that_has_bid(the_hall: Hall) -> None:
    await the_hall.serve("a")
    options = SelectionOptions(affinity_timeout=1.5, choose=lambda _: "zoe")
    client = await the_hall.client(selection=options)
    with pytest.raises(InvalidArgument, match="what `choose` returned"):
        await client.pick(Hello(text="hi"), timeout=SOON)


async def test_a_scorer_sees_the_context_of_a_stream(
    the_hall: Hall, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []

    async def score(_: Greeter, context: CallContext) -> float:
        seen.append(context.method)
        return 1.0

    monkeypatch.setattr(Greeter, "talk_to_the_best_affinity", score)
    await the_hall.serve("a")
    client = await the_hall.client()
    async with client.talk_to_the_best(timeout=SOON) as stream:
        await stream.send(Hello(text="hi"))
        hello = await stream.receive()
        assert hello is not None
        assert hello.text == "HI"
    assert seen == ["TalkToTheBest"]


class _Odd(Exception):
    """Has the names of a gRPC error's methods, with other meanings."""

    def code(self, language: str) -> str:
        """Need an argument."""
        return language

    def details(self) -> str:
        """Say nothing."""
        return ""


async def test_an_error_with_methods_of_its_own_reaches_its_caller_and_ends_nothing() -> None:
    class Odd(Greeter):
        async def greet(self, request: Hello, context: CallContext) -> Hello:
            """Fail in a way of its own."""
            if request.text == "odd":
                raise _Odd("its text")
            return await self._answer(request, context)

    bus = LocalBus()
    async with (
        GreeterServer(Odd("a"), bus, concurrency=1),
        GreeterClient(bus, timeout=SOON) as client,
    ):
        for _ in range(2):
            with pytest.raises(ServiceError, match="its text") as caught:
                await client.greet(Hello(text="odd"))
            assert caught.value.code == "unknown"
            assert (await client.greet(Hello(text="fine"))).text == "FINE"
    await bus.close()
