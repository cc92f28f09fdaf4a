"""No caller ends an actor: whatever goes wrong with a request ends that request."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

import grid
from grid.errors import GridError, MessageTooLarge, RequestFailed
from grid.testing import wait_until
from grid.wire_pb2 import EchoMsg

AnyRequest = grid.Request[Any]


def _ack_twice(request: AnyRequest) -> None:
    request.ack()
    request.ack()


def _respond_after_fail(request: AnyRequest) -> None:
    request.fail("no")
    request.respond(EchoMsg())


def _respond_with_a_dict(request: AnyRequest) -> None:
    request.respond({"msg": "hi"})  # type: ignore[arg-type]


def _respond_too_large(request: AnyRequest) -> None:
    request.respond(EchoMsg(msg="x" * 3_000_000))


def _accept(request: AnyRequest) -> None:
    request.accept()


BAD: dict[str, tuple[Callable[[AnyRequest], None], type[GridError] | None, str]] = {
    "two answers": (_ack_twice, None, ""),
    "an answer after an error": (_respond_after_fail, RequestFailed, "no"),
    "a dict": (_respond_with_a_dict, RequestFailed, "dict is not a protobuf message"),
    "too large": (_respond_too_large, RequestFailed, "too large"),
    "a stream that was not asked for": (_accept, RequestFailed, "takes streams"),
}


@pytest.mark.parametrize(("answer", "error", "text"), BAD.values(), ids=BAD)
async def test_a_wrong_answer_ends_its_request_and_not_the_actor(
    answer: Callable[[AnyRequest], None],
    error: type[GridError] | None,
    text: str,
    grid_servers: Callable[..., grid.Server],
    grid_client: grid.Client,
) -> None:
    server = grid_servers(max_message_bytes=2_000_000)
    runs = 0

    @server.actor("a", mailbox=8)
    async def act(ctx: grid.ActorContext) -> None:
        nonlocal runs
        runs += 1
        async for request in ctx.mailbox:
            if request.message == EchoMsg(msg="bad"):
                answer(request)
            else:
                await request.respond(request.message)  # type: ignore[func-returns-value,misc]
            del request

    await server.start()
    await grid_client.start_actor("a", peer=server.name)
    epoch = [one.epoch for one in await grid_client.query("actor") if one.name == "a"]
    for _ in range(3):
        if error is None:
            await grid_client.request("a", EchoMsg(msg="bad"))
        else:
            with pytest.raises(error, match=text):
                await grid_client.request("a", EchoMsg(msg="bad"))
        reply = await grid_client.request("a", EchoMsg(msg="good"), reply=EchoMsg)
        assert reply.msg == "good"
    assert [one.epoch for one in await grid_client.query("actor") if one.name == "a"] == epoch
    assert runs > 1 or error is None


async def test_a_stream_to_an_actor_that_takes_none_is_refused(
    grid_servers: Callable[..., grid.Server], grid_client: grid.Client
) -> None:
    server = grid_servers()
    runs: list[int] = []

    @server.actor("greeter", mailbox=8)
    async def greet(ctx: grid.ActorContext) -> None:
        runs.append(1)
        async for request in ctx.mailbox:
            assert isinstance(request.message, EchoMsg)
            request.respond(EchoMsg(msg=f"hello {request.message.msg}"))

    await server.start()
    await grid_client.start_actor("greeter", peer=server.name)
    for _ in range(2):
        with pytest.raises(RequestFailed, match="takes requests, no streams") as caught:
            async with grid_client.stream("greeter", EchoMsg(msg="bob")):
                pass
        assert caught.value.code == "INTERNAL"
    reply = await grid_client.request("greeter", EchoMsg(msg="bob"), reply=EchoMsg)
    assert reply.msg == "hello bob"
    assert runs == [1, 1, 1]


async def _leaves_at_once(client: grid.Client) -> None:
    stream = await client.stream("a", EchoMsg())
    await stream.close("gone")


async def _sends_garbage(client: grid.Client) -> None:
    stream = await client.stream("a", EchoMsg())
    await stream._end.send("no.such.Type", b"")
    with pytest.raises(GridError):
        async for _ in stream:
            pass


async def _fails(client: grid.Client) -> None:
    with pytest.raises(ValueError, match="mine"):
        async with client.stream("a", EchoMsg()):
            raise ValueError("mine")


@pytest.mark.parametrize("end", [_leaves_at_once, _sends_garbage, _fails])
@pytest.mark.parametrize("grouped", [False, True])
async def test_a_caller_that_ends_its_stream_does_not_end_the_actor(
    end: Callable[[grid.Client], Awaitable[None]],
    grouped: bool,
    grid_servers: Callable[..., grid.Server],
    grid_client: grid.Client,
) -> None:
    server = grid_servers()

    async def serve(request: AnyRequest) -> None:
        async with request.accept() as stream:
            async for item in stream:
                await stream.send(item)

    @server.actor("a", mailbox=8)
    async def act(ctx: grid.ActorContext) -> None:
        async for request in ctx.mailbox:
            if grouped:
                async with asyncio.TaskGroup() as group:
                    group.create_task(serve(request))
            else:
                await serve(request)

    await server.start()
    await grid_client.start_actor("a", peer=server.name)
    for _ in range(3):
        await end(grid_client)
        async with grid_client.stream("a", EchoMsg()) as stream:
            await stream.send(EchoMsg(msg="hi"))
            item = await stream.receive()
            assert isinstance(item, EchoMsg)
            assert item.msg == "hi"


async def test_a_blocking_actor_goes_on_too(
    grid_servers: Callable[..., grid.Server], grid_client: grid.Client
) -> None:
    server = grid_servers()

    @server.actor("a", mailbox=8)
    def act(ctx: grid.sync.BlockingContext) -> None:
        for request in ctx.mailbox:
            if request.message == EchoMsg(msg="bad"):
                request.respond({})  # type: ignore[arg-type]
            else:
                request.ack()

    await server.start()
    await grid_client.start_actor("a", peer=server.name)
    for _ in range(2):
        with pytest.raises(GridError):
            await grid_client.request("a", EchoMsg(msg="bad"), timeout=5)
        await grid_client.request("a", EchoMsg(msg="good"))


async def test_an_actor_that_fails_by_itself_ends(
    grid_servers: Callable[..., grid.Server], grid_client: grid.Client
) -> None:
    server = grid_servers()
    runs: list[int] = []
    kept: list[AnyRequest] = []

    @server.actor("own", mailbox=8)
    async def own(ctx: grid.ActorContext) -> None:
        runs.append(1)
        async for request in ctx.mailbox:
            request.ack()
            raise MessageTooLarge(2, 1)

    @server.actor("stubborn", mailbox=8)
    async def stubborn(ctx: grid.ActorContext) -> None:
        runs.append(1)
        if not kept:
            kept.append(await anext(ctx.mailbox))
            kept[0].ack()
        kept[0].ack()  # each time, and without another request

    await server.start()
    for name, most in (("own", 1), ("stubborn", 2)):
        runs.clear()
        await grid_client.start_actor(name, peer=server.name)
        await grid_client.request(name, EchoMsg())
        await wait_until(lambda: not server._lifecycle.runner.names(), "the end")  # type: ignore[union-attr]
        assert len(runs) <= most
