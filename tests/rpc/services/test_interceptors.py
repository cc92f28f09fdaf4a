"""Interceptors of calls, of calls to all and of streams, on both sides; metadata both ways."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from grid.errors import InvalidArgument, RequestFailed
from rpc.services import (
    CallContext,
    ClientCall,
    ClientMultiProceed,
    ErrorCode,
    MalformedResult,
    MemberResult,
    ServiceError,
    ServiceStream,
    StreamWrapper,
    recovery,
)
from tests.rpc.services.greeting_grid import GreeterClient, GreeterServer
from tests.rpc.services.greeting_pb2 import Hello
from tests.rpc.services.kit import Greeter, Hall, local_hall

Proceed = Callable[[Any], Awaitable[Any]]


class Order:
    """Interceptors that note the order in which they are entered and left."""

    def __init__(self) -> None:
        self.noted = ""
        self.errors: list[Exception] = []

    def server(self, name: str) -> Any:
        """Around handlers of calls and of streams."""

        async def around(given: Any, context: CallContext, proceed: Proceed) -> Any:
            self.noted += name
            try:
                return await proceed(given)
            except Exception as error:
                self.errors.append(error)
                raise
            finally:
                self.noted += name

        return around

    def client(self, name: str) -> Any:
        """Around calls, and the opening of streams."""

        async def around(call: ClientCall, proceed: Proceed) -> Any:
            self.noted += name
            call.metadata["seen"] = call.metadata.get("seen", "") + name
            try:
                return await proceed(call)
            finally:
                self.noted += name

        return around

    def multi(self, name: str) -> Any:
        """Around calls to all: before they are sent, at each outcome, and at their end."""

        async def around(
            call: ClientCall, proceed: ClientMultiProceed
        ) -> AsyncIterator[MemberResult[Any]]:
            self.noted += name
            call.metadata["seen"] = call.metadata.get("seen", "") + name
            try:
                async for outcome in proceed(call):
                    self.noted += name
                    yield outcome
            finally:
                self.noted += f"/{name}"

        return around


class Panics(Greeter):
    """Fails by mistake."""

    async def greet(self, request: Hello, context: CallContext) -> Hello:
        raise ZeroDivisionError("a mistake")

    async def talk(self, stream: ServiceStream[Hello, Hello], context: CallContext) -> None:
        await anext(stream)
        raise ZeroDivisionError("a mistake")


async def test_servers_interceptors_are_in_order_and_see_what_recovery_makes() -> None:
    order = Order()
    around = [order.server(name) for name in "123"]
    async with local_hall() as made:
        bus = made._server_bus()
        around.append(recovery)
        server = GreeterServer(Panics("a"), bus, interceptors=around, stream_interceptors=around)
        async with server, GreeterClient(bus) as client:
            with pytest.raises(ServiceError, match="ZeroDivisionError: a mistake") as raised:
                await client.greet(Hello())
            assert raised.value.code is ErrorCode.INTERNAL
            assert order.noted == "123321"
            assert {type(error) for error in order.errors} == {ServiceError}
            order.noted = ""
            async with client.talk() as stream:
                await stream.send(Hello())
                with pytest.raises(ServiceError, match="a mistake") as raised:
                    await anext(stream)
            assert raised.value.code is ErrorCode.INTERNAL
            assert order.noted == "123321"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ServiceError("not_found", "as meant"), ErrorCode.NOT_FOUND),
        (RequestFailed("as meant", "PERMISSION_DENIED"), ErrorCode.PERMISSION_DENIED),
        (TimeoutError("as meant"), ErrorCode.DEADLINE_EXCEEDED),
        (ValueError("as meant"), ErrorCode.INTERNAL),
    ],
)
async def test_recovery_leaves_errors_that_were_meant(error: Exception, code: ErrorCode) -> None:
    class Fails(Greeter):
        async def greet(self, request: Hello, context: CallContext) -> Hello:
            raise error

    async with local_hall() as made:
        bus = made._server_bus()
        async with (
            GreeterServer(Fails("a"), bus, interceptors=[recovery]),
            GreeterClient(bus) as client,
        ):
            with pytest.raises(ServiceError, match="as meant") as raised:
                await client.greet(Hello())
    assert raised.value.code is code


async def test_clients_interceptors_of_calls_are_in_order(the_hall: Hall) -> None:
    order = Order()
    await the_hall.serve("a")
    client = await the_hall.client(interceptors=[order.client(name) for name in "12"])
    more = client.with_interceptors(interceptors=[order.client("3")])
    got = await more.greet(Hello(text="hi"), metadata={"k": "v"})
    assert dict(got.metadata) == {"k": "v", "seen": "123"}
    assert order.noted == "123321"
    order.noted = ""
    with pytest.raises(ServiceError, match="as asked"):
        await more.pick(Hello(text="fail:aborted"))
    assert order.noted == "123321"
    assert dict((await client.greet(Hello())).metadata) == {"seen": "12"}


async def test_interceptors_of_calls_to_all_see_each_outcome(the_hall: Hall) -> None:
    order = Order()
    for name in ("a", "b"):
        await the_hall.serve(name)
    client = await the_hall.client(multi_interceptors=[order.multi(name) for name in "12"])
    outcomes = await client.all(Hello(text="hi"), timeout=the_hall.multi_timeout)
    assert {one.result().metadata["seen"] for one in outcomes} == {"12"}
    assert order.noted == "12" + "21" * 2 + "/2/1"
    order.noted = ""
    async for _ in client.all(Hello(text="hi"), timeout=the_hall.multi_timeout):
        break  # the caller has enough
    failed = await client.all(Hello(text="fail:aborted"), timeout=the_hall.multi_timeout)
    assert [one.error.code if one.error else None for one in failed] == [ErrorCode.ABORTED] * 2


async def test_an_interceptor_of_calls_to_all_may_answer_itself() -> None:
    async def only_a(
        call: ClientCall, proceed: ClientMultiProceed
    ) -> AsyncIterator[MemberResult[Any]]:
        async for outcome in proceed(call):
            if outcome.member == "a":
                yield outcome
        yield MemberResult("made up", Hello(text="x"), None)

    async with local_hall() as made:
        for name in ("a", "b"):
            await made.serve(name)
        client = await made.client(multi_interceptors=[only_a])
        assert [one.member for one in await client.all(Hello())] == ["a", "made up"]


async def test_interceptors_of_streams_are_around_each_message(the_hall: Hall) -> None:
    noted: list[str] = []

    class Noted(StreamWrapper[Any, Any]):
        def __init__(self, inner: ServiceStream[Any, Any], side: str) -> None:
            super().__init__(inner)
            self.side = side

        async def send(self, message: Hello) -> None:
            noted.append(f"{self.side} sends {message.text}")
            await super().send(Hello(text=f"{message.text}!", server=message.server))

        async def receive(self) -> Hello | None:
            message: Hello | None = await super().receive()
            noted.append(f"{self.side} gets {message.text if message else None}")
            return message

        async def close(self, error: BaseException | None = None) -> None:
            noted.append(f"{self.side} closes")
            await super().close(error)

    async def at_client(call: ClientCall, proceed: Proceed) -> ServiceStream[Any, Any]:
        call.metadata["word"] = "t"
        return Noted(await proceed(call), "client")

    async def at_server(
        stream: ServiceStream[Any, Any], context: CallContext, proceed: Proceed
    ) -> None:
        assert context.metadata["word"] == "t"
        await proceed(Noted(stream, "server"))

    await the_hall.serve("a", stream_interceptors=[at_server])
    client = await the_hall.client(stream_interceptors=[at_client])
    async with client.talk(timeout=20.0) as stream:
        await stream.send(Hello(text="hi"))
        assert (await anext(stream)).text == "HI!!"
    assert noted[:5] == [
        "client sends hi",
        "server gets hi!",
        "server sends HI!",
        "client gets HI!!",
        "client closes",
    ]


async def test_a_server_says_something_about_its_answer(the_hall: Hall) -> None:
    the_hall.needs_a_directory()

    async def tell(request: Hello, context: CallContext, proceed: Proceed) -> Hello:
        context.reply_metadata["by"] = context.member
        reply: Hello = await proceed(request)
        return reply

    said: list[dict[str, str]] = []

    async def hear(call: ClientCall, proceed: Proceed) -> Hello:
        try:
            reply: Hello = await proceed(call)
            return reply
        finally:
            said.append(call.reply_metadata)

    await the_hall.serve("a", interceptors=[tell])
    client = await the_hall.client(interceptors=[hear])
    await client.greet(Hello())
    with pytest.raises(ServiceError):
        await client.greet(Hello(text="fail:aborted"))
    assert said == [{"by": "a"}] * 2
    (outcome,) = await client.all(Hello())
    assert dict(outcome.metadata) == {"by": "a"}


async def test_what_is_no_interceptor_is_refused() -> None:
    async with local_hall() as made:
        for name in ("interceptors", "multi_interceptors", "stream_interceptors", "observers"):
            with pytest.raises(InvalidArgument, match=name):
                await made.client(**{name: ["log"]})
        for name in ("interceptors", "stream_interceptors", "observers"):
            with pytest.raises(InvalidArgument, match=name):
                await made.serve("a", 1.0, **{name: ["log"]})

        async def wrong(*_: object) -> str:
            return "no message"

        await made.serve("a")
        client = await made.client(interceptors=[wrong], stream_interceptors=[wrong])
        with pytest.raises(MalformedResult, match="an interceptor returned str"):
            await client.greet(Hello())
        with pytest.raises(InvalidArgument, match="interceptor of streams"):
            await client.talk()
