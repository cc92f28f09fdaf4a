"""Calls to one server of a service, on each bus."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from grid.errors import InvalidArgument, MessageTooLarge
from grid.testing import wait_until
from rpc.services import (
    AllDeclined,
    AlreadyServed,
    CallClosed,
    CallTimedOut,
    ErrorCode,
    LocalBus,
    MalformedRequest,
    NoServers,
    NotRegistered,
    ServiceError,
    Unimplemented,
)
from tests.rpc.services.greeting_grid import (
    GREETER,
    GreeterBase,
    GreeterClient,
    GreeterServer,
    UnimplementedGreeter,
)
from tests.rpc.services.greeting_pb2 import Hello, Outer
from tests.rpc.services.kit import Greeter, Hall, hall


async def test_one_server_is_called_and_all_take_their_turns(the_hall: Hall) -> None:
    for name in ("a", "b", "c"):
        await the_hall.serve(name)
    client = await the_hall.client()
    got = [await client.greet(Hello(text="hi")) for _ in range(30)]
    assert {hello.text for hello in got} == {"HI"}
    counts = Counter(hello.server for hello in got)
    assert sum(the_hall.calls("Greet").values()) == 30
    if the_hall.knows_members:  # elsewhere the fastest server wins
        assert len(counts) == 3
        assert min(counts.values()) >= 5


async def test_a_busy_server_gets_fewer_calls(the_hall: Hall) -> None:
    the_hall.needs_a_directory()
    await the_hall.serve("a")
    client = await the_hall.client()
    stuck = [asyncio.create_task(client.greet(Hello(text="wait:"), timeout=60)) for _ in range(5)]
    await wait_until(lambda: the_hall.calls("Greet") == {"a": 5}, "five calls", timeout=20)
    await the_hall.serve("b")
    await wait_until(lambda: _greeted_by(client, "b"), "b to be found", timeout=20)
    got = [(await client.greet(Hello(text="hi"))).server for _ in range(10)]
    assert got == ["b"] * 10
    the_hall.greeters["a"].release.set()
    assert len(await asyncio.gather(*stuck)) == 5


async def _greeted_by(client: GreeterClient, name: str) -> bool:
    return (await client.greet(Hello(text="hi"))).server == name


async def test_metadata_and_client_arrive(the_hall: Hall) -> None:
    await the_hall.serve("a")
    client = await the_hall.client(client_id="me")
    got = await client.greet(Hello(text="hi"), metadata={"k": "v"})
    assert dict(got.metadata) == {"k": "v"}


async def test_an_error_arrives_with_code_text_and_details(the_hall: Hall) -> None:
    await the_hall.serve("a")
    client = await the_hall.client()
    with pytest.raises(ServiceError, match="as asked") as raised:
        await client.greet(Hello(text="fail:not_found"))
    error = raised.value
    assert (error.code, error.code.http, error.code.grpc) == (
        ErrorCode.NOT_FOUND,
        404,
        "NOT_FOUND",
    )
    assert error.detail(Hello) == Hello(text="a detail")
    assert error.members == ("a",)
    with pytest.raises(ServiceError, match="oops") as raised:
        await client.greet(Hello(text="raise:oops"))
    assert raised.value.code is ErrorCode.UNKNOWN
    with pytest.raises(ServiceError, match="returned str, not Hello"):
        await client.greet(Hello(text="wrong:"))


async def test_four_failures_are_four_errors(the_hall: Hall) -> None:
    the_hall.needs_a_directory()
    client = await the_hall.client()
    with pytest.raises(NoServers, match=r"Greeter\.Greet: no server is registered") as none:
        await client.greet(Hello())
    assert (none.value.retryable, none.value.members) == (True, ())
    await the_hall.serve("a", concurrency=1, mailbox=1)
    stuck = [asyncio.create_task(client.greet(Hello(text="wait:"), timeout=60)) for _ in range(2)]
    await wait_until(lambda: the_hall.calls("Greet") == {"a": 1}, "a call to run", timeout=20)

    seen: list[ServiceError] = []

    async def declined() -> bool:
        try:
            await client.greet(Hello(text="wait:"), timeout=0.05)
        except (AllDeclined, CallTimedOut) as error:
            seen.append(error)
        return isinstance(seen[-1], AllDeclined)

    await wait_until(declined, "a full server to decline", timeout=20)
    assert {error.members for error in seen} == {("a",)}
    assert {(type(error), error.retryable) for error in seen} <= {
        (AllDeclined, True),
        (CallTimedOut, False),
    }
    assert all(isinstance(error, TimeoutError) for error in seen if not error.retryable)
    the_hall.greeters["a"].release.set()
    await asyncio.gather(*stuck)
    the_hall.greeters["a"].release.clear()
    with pytest.raises(CallTimedOut, match=r"no answer of a within 1.5 s"):
        await client.greet(Hello(text="wait:"), timeout=1.5)
    the_hall.greeters["a"].release.set()


async def test_a_server_that_shuts_down_finishes_and_leaves(the_hall: Hall) -> None:
    leaving = await the_hall.serve("a")
    client = await the_hall.client()
    under_way = asyncio.create_task(client.greet(Hello(text="wait:"), timeout=60))
    await wait_until(lambda: the_hall.calls("Greet") == {"a": 1}, "the call", timeout=20)
    await the_hall.serve("b")
    ending = asyncio.create_task(leaving.shutdown(timeout=30))
    got = [(await client.greet(Hello(text="hi"))).server for _ in range(5)]
    the_hall.greeters["a"].release.set()
    assert (await under_way).server == "a"
    await ending
    got += [(await client.greet(Hello(text="hi"))).server for _ in range(5)]
    assert got[1:] == ["b"] * 9
    await leaving.shutdown()
    with pytest.raises(CallClosed):
        await leaving.start()


async def test_topics_have_servers_of_their_own(the_hall: Hall) -> None:
    first, second = await the_hall.serve("a"), await the_hall.serve("b")
    client = await the_hall.client()
    await first.register_regional_topic("eu/west 🚀")
    await first.register_regional_topic("us")
    await second.register_regional_topic("us")
    got = await client.regional("eu/west 🚀", Hello(text="hi"))
    assert (got.server, list(got.topic)) == ("a", ["eu/west 🚀"])
    with pytest.raises(NoServers, match="Asia"):
        await client.regional("Asia", Hello())
    with pytest.raises(AlreadyServed, match="Regional"):
        await first.register_regional_topic("us")
    await first.deregister_regional_topic("us")
    assert {(await client.regional("us", Hello())).server for _ in range(5)} == {"b"}
    with pytest.raises(NotRegistered):
        await first.deregister_regional_topic("us")
    await first.register_regional_topic("us")


async def test_a_topic_with_one_server_refuses_a_second(the_hall: Hall) -> None:
    the_hall.needs_a_directory()
    first, second = await the_hall.serve("a"), await the_hall.serve("b")
    client = await the_hall.client()
    await first.register_owned_topic("x")
    with pytest.raises(AlreadyServed, match="one server"):
        await second.register_owned_topic("x")
    await second.register_owned_topic("y")
    assert (await client.owned("x", Hello())).server == "a"
    await first.deregister_owned_topic("x")
    await second.register_owned_topic("x")
    assert (await client.owned("x", Hello())).server == "b"


async def test_bad_input_is_refused_before_anything_is_sent(the_hall: Hall) -> None:
    await the_hall.serve("a")
    client = await the_hall.client()
    with pytest.raises(InvalidArgument, match="Greet"):
        await client.greet(Outer.Inner())  # type: ignore[arg-type]
    with pytest.raises(InvalidArgument):
        await client.greet(Hello(), metadata={"k": 1})  # type: ignore[dict-item]
    with pytest.raises(InvalidArgument):
        await client.greet(Hello(), timeout="soon")  # type: ignore[arg-type]
    with pytest.raises(CallTimedOut):
        await client.greet(Hello(), timeout=0)
    await client.close()
    with pytest.raises(CallClosed):
        await client.greet(Hello())


async def test_large_and_malformed_requests_are_typed_errors() -> None:
    bus = LocalBus(max_message_bytes=1000)
    async with hall(lambda: bus, lambda: bus) as made:
        await made.serve("a")
        client = await made.client()
        with pytest.raises(MessageTooLarge):
            await client.greet(Hello(text="x" * 2000))
        inside = client._calls
        call = client._outgoing(GREETER.by_name["Greet"], (), Hello(), None, None)
        call.payload = b"\xff"
        with pytest.raises(MalformedRequest):
            await inside.call(call)
        call = client._outgoing(GREETER.by_name["Greet"], (), Hello(), None, None)
        call.method = "Nothing"
        with pytest.raises(NoServers):
            await inside.call(call)
    await bus.close()


async def test_services_are_checked_when_their_server_is_made() -> None:
    bus = LocalBus()
    with pytest.raises(InvalidArgument, match=r"object\.greet of service tests"):
        GreeterServer(object(), bus)  # type: ignore[arg-type]
    with pytest.raises(InvalidArgument, match="bus"):
        GreeterServer(Greeter("a"), "redis")  # type: ignore[arg-type]
    with pytest.raises(InvalidArgument, match="concurrency"):
        GreeterServer(Greeter("a"), bus, concurrency=0)
    with pytest.raises(TypeError):
        GreeterBase()  # type: ignore[abstract]
    async with GreeterServer(UnimplementedGreeter(), bus), GreeterClient(bus) as client:
        with pytest.raises(Unimplemented, match=r"tests\.greeting\.Greeter\.Greet"):
            await client.greet(Hello())
    await bus.close()


async def test_interceptors_are_around_calls_and_handlers() -> None:
    seen: list[str] = []
    bus = LocalBus()

    def note(name: str):  # type: ignore[no-untyped-def]
        async def around(*arguments):  # type: ignore[no-untyped-def]
            *call, proceed = arguments
            seen.append(f"{name}>")
            try:
                return await proceed(call[0])
            finally:
                seen.append(f"<{name}")

        return around

    async def upper(call, proceed):  # type: ignore[no-untyped-def]
        if call.request.text == "hi":
            call.request.text += "!"
        call.metadata["from"] = "interceptor"
        return await proceed(call)

    server = GreeterServer(Greeter("a"), bus, interceptors=[note("s1"), note("s2")])
    client = GreeterClient(bus, interceptors=[note("c1"), upper, note("c2")])
    async with server, client:
        got = await client.greet(Hello(text="hi"))
        assert (got.text, dict(got.metadata)) == ("HI!", {"from": "interceptor"})
        assert seen == ["c1>", "c2>", "s1>", "s2>", "<s2", "<s1", "<c2", "<c1"]
        seen.clear()
        with pytest.raises(ServiceError, match="as asked"):
            await client.greet(Hello(text="fail:aborted"))
        assert len(seen) == 8
    await bus.close()


async def test_a_server_that_was_there_under_another_mailbox_is_asked_again() -> None:
    """The view of a client lags behind a server that has registered its topic again."""
    bus = LocalBus()
    async with hall(lambda: bus, lambda: bus) as made:
        server, client = await made.serve("a"), await made.client()
        await server.register_regional_topic("eu")
        assert (await client.regional("eu", Hello())).server == "a"
        table = await bus.members(GREETER.name)
        behind = {
            f"{GREETER.name}/srv/eu/{one.id}": one for one in table.find("srv", "eu", "Regional")
        }
        await server.deregister_regional_topic("eu")
        await server.register_regional_topic("eu")
        (path,) = behind
        now_there = table.find("srv", "eu", "Regional")
        for one in now_there:
            table.drop(f"{GREETER.name}/srv/eu/{one.id}")
        table.put(path, behind[path])
        read = bus.members

        async def fresh_view(service: str, *, fresh: bool = False) -> object:
            if fresh:
                table.drop(path)
                for one in now_there:
                    table.put(f"{GREETER.name}/srv/eu/{one.id}", one)
            return await read(service)

        bus.members = fresh_view  # type: ignore[method-assign, assignment]
        assert (await client.regional("eu", Hello())).server == "a"
    await bus.close()
