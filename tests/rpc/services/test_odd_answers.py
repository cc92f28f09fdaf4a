"""Answers that cannot be sent as they are: the caller gets an error, and does not wait."""

from __future__ import annotations

import pytest

from grid.errors import InvalidArgument, MessageTooLarge
from rpc.buses.nats import NatsBus
from rpc.services import CallContext, ServiceError, ServiceStream
from tests.rpc.brokers import Broker
from tests.rpc.services.greeting_grid import GreeterClient, GreeterServer
from tests.rpc.services.greeting_pb2 import Hello
from tests.rpc.services.kit import Greeter, Hall

SOON = 20.0
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


async def test_what_nats_does_not_take_is_refused_and_said(nats_server: Broker) -> None:
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

    bus = NatsBus(nats_server.url)
    async with GreeterServer(Talkative("a"), bus), GreeterClient(bus, timeout=SOON) as client:
        with pytest.raises(ServiceError, match=r"message too large: .* the limit is 1048576"):
            await client.greet(Hello())
        (outcome,) = await client.all(Hello(), timeout=1.0)
        with pytest.raises(ServiceError, match="message too large"):
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


def test_the_text_of_an_error_is_a_text() -> None:
    with pytest.raises(InvalidArgument, match="text must be a text, not 404"):
        ServiceError("not_found", 404)  # type: ignore[arg-type]
