"""Answers that cannot be sent as they are: the caller gets an error, and does not wait."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from grid.errors import InvalidArgument, MessageTooLarge
from rpc.buses import Channel
from rpc.buses.nats import NatsBus
from rpc.buses.redis import RedisBus
from rpc.services import (
    CallContext,
    ErrorCode,
    LocalBus,
    ReplyTooLarge,
    ServiceError,
    ServiceStream,
)
from tests.rpc.brokers import Broker
from tests.rpc.services.greeting_grid import GreeterClient, GreeterServer
from tests.rpc.services.greeting_pb2 import Hello
from tests.rpc.services.kit import SOON, Greeter, Hall

HUGE = "x" * (2 * 1024 * 1024)  # NATS takes one MiB


class Mute(Exception):
    """An error whose text cannot be had."""

    def __str__(self) -> str:
        raise RuntimeError("no text")


ERRORS = {
    "half of a pair": (ValueError("no \udcff"), "no ?"),
    "half of a pair as asked": (ServiceError("not_found", "no \udcff"), "no ?"),
    "no text": (Mute(), "Mute"),
}


@pytest.mark.parametrize(("error", "text"), ERRORS.values(), ids=ERRORS)
async def test_the_text_of_an_error_that_cannot_be_sent_is_mended(
    the_hall: Hall, error: Exception, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object) -> Hello:
        raise error

    async def talk(*_: object) -> None:
        raise error

    monkeypatch.setattr(Greeter, "greet", fail)
    monkeypatch.setattr(Greeter, "all", fail)
    monkeypatch.setattr(Greeter, "pick_affinity", fail)
    monkeypatch.setattr(Greeter, "talk", talk)
    await the_hall.serve("a")
    client = await the_hall.client()
    for call in (client.greet, client.pick):
        with pytest.raises(ServiceError) as raised:
            await call(Hello(text="hi"), timeout=SOON)
        assert raised.value.text == text
    (outcome,) = await client.all(Hello(text="hi"), timeout=the_hall.multi_timeout)
    assert outcome.error is not None
    assert outcome.error.text == text
    async with client.talk(timeout=SOON) as stream:
        with pytest.raises(ServiceError) as raised:
            await stream.receive()
        assert raised.value.text == text


async def test_metadata_of_a_reply_that_cannot_be_sent_is_an_error(
    the_hall: Hall, monkeypatch: pytest.MonkeyPatch
) -> None:
    the_hall.needs_a_directory()  # others carry no metadata of replies
    wrong: list[object] = [5, "\udcff"]

    async def greet(_: Greeter, request: Hello, context: CallContext) -> Hello:
        context.reply_metadata["key"] = wrong.pop()  # type: ignore[assignment]
        return request

    monkeypatch.setattr(Greeter, "greet", greet)
    await the_hall.serve("a")
    client = await the_hall.client()
    while wrong:
        with pytest.raises(ServiceError, match="reply_metadata must be strings by strings"):
            await client.greet(Hello(text="hi"), timeout=SOON)


async def test_a_message_of_a_stream_that_is_too_large_is_refused_alone(the_hall: Hall) -> None:
    the_hall.needs_a_directory()  # brokers have limits of their own
    await the_hall.serve("a")
    client = await the_hall.client()
    async with client.talk(timeout=SOON) as stream:
        with pytest.raises(MessageTooLarge):
            await stream.send(Hello(text="x" * (101 * 1024 * 1024)))
        await stream.send(Hello(text="hi"))
        answer = await stream.receive()
        assert answer is not None
        assert answer.text == "HI"


class Talkative(Greeter):
    async def greet(self, request: Hello, context: CallContext) -> Hello:
        return Hello(text=HUGE)

    async def all(self, request: Hello, context: CallContext) -> Hello:
        raise ValueError(HUGE)

    async def talk(self, stream: ServiceStream[Hello, Hello], context: CallContext) -> None:
        with pytest.raises(MessageTooLarge):
            await stream.send(Hello(text=HUGE))
        await stream.send(Hello(text="small"))
        raise ValueError(HUGE)


@pytest.mark.parametrize("kind", ["nats", "redis"])
async def test_what_a_broker_does_not_take_is_refused_and_said(
    request: pytest.FixtureRequest, kind: str
) -> None:
    url = request.getfixturevalue(f"{kind}_server").url
    bus: Any = NatsBus(url) if kind == "nats" else RedisBus(url, max_message_bytes=1 << 20)
    async with GreeterServer(Talkative("a"), bus), GreeterClient(bus, timeout=SOON) as client:
        with pytest.raises(ReplyTooLarge, match=r"message too large: .* the limit is 1048576"):
            await client.greet(Hello())
        (outcome,) = await client.all(Hello(), timeout=3.0)
        with pytest.raises(ReplyTooLarge):
            outcome.result()
        with pytest.raises(MessageTooLarge):
            await client.greet(Hello(text=HUGE))
        async with client.talk() as stream:
            answer = await stream.receive()
            assert answer is not None
            assert answer.text == "small"
            with pytest.raises(ServiceError, match="message too large"):
                await stream.receive()
    await bus.close()


async def test_an_answer_that_redis_does_not_take_harms_no_other_call(redis_server: Broker) -> None:
    class Growing(Greeter):
        async def greet(self, request: Hello, context: CallContext) -> Hello:
            return Hello(text=request.text * int(context.metadata.get("times", "1")))

    larger = {"times": str(33 << 20)}  # than what may wait for a subscriber, by Redis's default
    bus, other = RedisBus(redis_server.url), RedisBus(redis_server.url)
    async with GreeterServer(Growing("a"), other), GreeterClient(bus, timeout=SOON) as client:
        with pytest.raises(MessageTooLarge) as caught:
            await client.greet(Hello(text="x"), metadata=larger)
        assert isinstance(caught.value, ServiceError)
        assert caught.value.code is ErrorCode.RESOURCE_EXHAUSTED
        assert caught.value.limit == 8 << 20
        assert (await client.greet(Hello(text="hi"))).text == "hi"
        with pytest.raises(MessageTooLarge):
            await client.greet(Hello(text="x" * (33 << 20)))
        with pytest.raises(MessageTooLarge):
            await other.publish(Channel("news"), bytes(33 << 20))
        assert (await client.greet(Hello(text="hi"))).text == "hi"
    await bus.close()
    await other.close()


async def test_an_answer_over_the_limit_of_a_peer_is_said_so() -> None:
    class Long(Greeter):
        async def greet(self, request: Hello, context: CallContext) -> Hello:
            return Hello(text=HUGE)

        all = pick = greet

    bus = LocalBus(max_message_bytes=1 << 20)
    async with GreeterServer(Long("a"), bus), GreeterClient(bus, timeout=SOON) as client:
        for call in (client.greet, client.pick):
            with pytest.raises(ReplyTooLarge) as caught:
                await call(Hello())
            again = copy.copy(caught.value)
            assert (str(again), again.members) == (str(caught.value), caught.value.members)
            assert again.limit == 1 << 20
        (outcome,) = await client.all(Hello())
        with pytest.raises(ReplyTooLarge):
            outcome.result()
    await bus.close()


@pytest.mark.parametrize("bytes_", [0, -1, True, 1.5, "8mb"])
async def test_a_limit_of_redis_is_a_number_of_bytes(bytes_: Any) -> None:
    with pytest.raises(InvalidArgument, match="max_message_bytes"):
        RedisBus(max_message_bytes=bytes_)


def test_the_text_of_an_error_is_a_text() -> None:
    with pytest.raises(InvalidArgument, match="text must be a text, not 404"):
        ServiceError("not_found", 404)  # type: ignore[arg-type]
