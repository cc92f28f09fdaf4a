"""Actors start under a unique name, end when asked to, and free their names."""

import asyncio
import contextlib
import logging
import threading
from collections.abc import Callable

import pytest

import grid
from grid.errors import (
    ActorStillRunning,
    AlreadyRegistered,
    FactoryFailed,
    InvalidActorType,
    InvalidName,
    NilActor,
    NotPlaced,
    RequestDropped,
    RequestFailed,
    UnknownActor,
    UnknownActorType,
    UnregisteredMailbox,
)
from grid.sync import BlockingContext
from grid.testing import wait_until
from grid.wire_pb2 import Ack, ActorStart, EchoMsg

Servers = Callable[..., grid.Server]


async def echo(ctx: grid.ActorContext) -> None:
    async for request in ctx.mailbox:
        request.respond(request.message)


async def names(client: grid.Client, kind: str) -> set[str]:
    return {entity.name for entity in await client.query(kind)}


async def test_a_started_actor_can_be_asked_at_once(
    grid_server: grid.Server, grid_client: grid.Client
) -> None:
    grid_server.define("echo", lambda _: echo, mailbox=4)
    for i in range(20):
        assert await grid_client.start_actor("echo", name=f"e{i}") == grid_server.name
        await grid_client.request(f"e{i}", EchoMsg(msg="hi"), reply=EchoMsg)


async def test_the_context_says_who_it_is(
    grid_server: grid.Server, grid_client: grid.Client, grid_namespace: str
) -> None:
    seen: list[grid.ActorContext] = []

    @grid_server.actor("note", mailbox=1)
    async def note(ctx: grid.ActorContext) -> None:
        seen.append(ctx)
        await ctx.stopping.wait()

    await grid_client.start_actor("note", name="n", data=b"\x00\x01")
    await wait_until(lambda: seen, "it runs")
    ctx = seen[0]
    assert (ctx.name, ctx.type, ctx.namespace) == ("n", "note", grid_namespace)
    assert ctx.id == f"{grid_namespace}.actor.n"
    assert ctx.peer == grid_server.name
    assert ctx.data == b"\x00\x01"
    assert ctx.deadline is None
    (entity,) = await grid_client.query("actor")
    assert ctx.epoch == entity.epoch == ctx.mailbox.epoch > 0


async def test_classes_functions_and_factories_define_actors(
    grid_server: grid.Server, grid_client: grid.Client
) -> None:
    said: list[str] = []

    @grid_server.actor("class")
    class Class:
        async def act(self, ctx: grid.ActorContext) -> None:
            said.append(ctx.name)

    @grid_server.actor("class-with-data")
    class WithData:
        def __init__(self, data: bytes) -> None:
            self.data = data

        async def act(self, ctx: grid.ActorContext) -> None:
            said.append(self.data.decode())

    @grid_server.actor("function")
    async def function(ctx: grid.ActorContext) -> None:
        said.append(ctx.name)

    grid_server.define("factory", WithData)
    for type_name in ("class", "class-with-data", "function", "factory"):
        await grid_client.start_actor(type_name, data=f"data of {type_name}".encode())
    await wait_until(lambda: len(said) == 4, "all ran")
    assert set(said) == {"class", "data of class-with-data", "function", "data of factory"}
    await wait_until_gone(grid_client)


async def wait_until_gone(client: grid.Client) -> None:
    async def gone() -> bool:
        return not await names(client, "actor")

    await wait_until(gone, "no actor is left")


async def test_a_blocking_function_runs_in_a_thread(
    grid_server: grid.Server, grid_client: grid.Client
) -> None:
    threads: list[str] = []

    @grid_server.actor("blocking", mailbox=4)
    def blocking(ctx: BlockingContext) -> None:
        threads.append(threading.current_thread().name)
        for request in ctx.mailbox:
            if request.message == EchoMsg(msg="fail"):
                request.fail("as asked")
            else:
                request.respond(request.message)

    await grid_client.start_actor("blocking", name="b")
    reply = await grid_client.request("b", EchoMsg(msg="hi"), reply=EchoMsg)
    assert reply.msg == "hi"
    with pytest.raises(RequestFailed, match="as asked"):
        await grid_client.request("b", EchoMsg(msg="fail"))
    assert threads == ["actor b"]
    await grid_client.stop_actor("b")
    assert not await names(grid_client, "mailbox") - {grid_server.name}


async def test_a_blocking_actor_is_woken_when_it_is_cancelled(
    grid_server: grid.Server, grid_client: grid.Client
) -> None:
    ended = threading.Event()

    @grid_server.actor("waits")
    def waits(ctx: BlockingContext) -> None:
        try:
            with ctx.open_mailbox("never-read") as mailbox:
                ctx.wait_stopping()
                ctx.request(mailbox.name, EchoMsg(), timeout=60)
        finally:
            ended.set()

    await grid_client.start_actor("waits")
    await grid_client.stop_actor("waits", grace=0.2)
    assert ended.is_set()
    assert not await names(grid_client, "actor")


async def test_a_taken_name_says_by_whom(grid_servers: Servers, grid_client: grid.Client) -> None:
    owner, other = grid_servers(), grid_servers()
    for server in (owner, other):
        server.define("echo", lambda _: echo, mailbox=4)
        await server.start()
    await grid_client.start_actor("echo", name="e", peer=owner.name)
    before = await grid_client.query("actor")
    for peer in (owner.name, other.name):
        with pytest.raises(AlreadyRegistered, match=f"held by peer '{owner.name}'") as caught:
            await grid_client.start_actor("echo", name="e", peer=peer)
        assert caught.value.peer == owner.name
        assert caught.value.epoch == before[0].epoch
    # The live owner keeps its name, and works.
    assert await grid_client.query("actor") == before
    await grid_client.request("e", EchoMsg())


async def test_what_cannot_start_says_why_and_holds_no_name(
    grid_server: grid.Server, grid_client: grid.Client, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(_: bytes) -> object:
        raise ValueError("no tools")

    grid_server.define("broken", broken, mailbox=1)
    grid_server.define("none", lambda _: None)
    grid_server.define("wrong", lambda _: 7)
    with caplog.at_level(logging.CRITICAL):
        with pytest.raises(FactoryFailed, match="no tools"):
            await grid_client.start_actor("broken")
        with pytest.raises(NilActor, match="grid: nil actor"):
            await grid_client.start_actor("none")
        with pytest.raises(FactoryFailed, match="no act"):
            await grid_client.start_actor("wrong")
    with pytest.raises(UnknownActorType, match="offers broken, none, wrong"):
        await grid_client.start_actor("missing")
    with pytest.raises(UnregisteredMailbox):
        await grid_client.start_actor("none", peer="nobody")
    assert not await names(grid_client, "actor")
    assert await names(grid_client, "mailbox") == {grid_server.name}


async def test_bad_names_are_refused_on_both_sides(
    grid_server: grid.Server, grid_client: grid.Client
) -> None:
    with pytest.raises(InvalidActorType):
        grid_server.define("a b", lambda _: echo)
    with pytest.raises(InvalidName):
        await grid_client.start_actor("echo", name="a b")
    for start, expected in (
        (ActorStart(type="a b", name="n"), InvalidActorType),
        (ActorStart(type="", name="n"), InvalidActorType),
    ):
        with pytest.raises(expected):
            await grid_client.request(grid_server.name, start)
    grid_server.define("echo", lambda _: echo)
    with pytest.raises(InvalidName, match="grid: invalid name"):
        await grid_client.request(grid_server.name, ActorStart(type="echo", name=""))


async def test_a_peer_answers_what_it_does_not_take(
    grid_server: grid.Server, grid_client: grid.Client
) -> None:
    with pytest.raises(RequestFailed, match=r"not grid\.EchoMsg"):
        await grid_client.request(grid_server.name, EchoMsg(), timeout=5)


async def test_an_actor_that_raises_is_logged_and_its_names_are_freed(
    grid_server: grid.Server, grid_client: grid.Client, caplog: pytest.LogCaptureFixture
) -> None:
    @grid_server.actor("fragile", mailbox=4)
    async def fragile(ctx: grid.ActorContext) -> None:
        async with ctx.open_mailbox("extra"):
            first = await ctx.mailbox.receive()
            raise ValueError(f"cannot do {first}")

    await grid_client.start_actor("fragile", name="f")
    with pytest.raises(RequestDropped):
        await grid_client.request("f", EchoMsg(), timeout=30)
    await wait_until_gone(grid_client)
    assert await names(grid_client, "mailbox") == {grid_server.name}
    (record,) = [one for one in caplog.records if one.levelno >= logging.ERROR]
    assert "actor.f ended by an error" in record.getMessage()
    assert record.exc_info
    assert isinstance(record.exc_info[1], ValueError)
    await grid_client.start_actor("fragile", name="f")


async def test_an_actor_may_open_and_keep_mailboxes_it_does_not_close(
    grid_server: grid.Server, grid_client: grid.Client
) -> None:
    @grid_server.actor("open")
    async def opens(ctx: grid.ActorContext) -> None:
        await ctx.open_mailbox()
        await ctx.open_mailbox("second")
        await ctx.stopping.wait()

    await grid_client.start_actor("open")

    async def there() -> bool:
        return await names(grid_client, "mailbox") == {grid_server.name, "open", "second"}

    await wait_until(there, "both are there")
    await grid_client.stop_actor("open")
    assert await names(grid_client, "mailbox") == {grid_server.name}


async def test_a_stopped_actor_finishes_what_its_mailbox_holds(
    grid_server: grid.Server, grid_client: grid.Client
) -> None:
    gate = asyncio.Event()

    @grid_server.actor("slow", mailbox=8)
    async def slow(ctx: grid.ActorContext) -> None:
        await gate.wait()
        async for request in ctx.mailbox:
            request.respond(request.message)

    await grid_client.start_actor("slow", name="s")
    asking = [asyncio.create_task(grid_client.request("s", EchoMsg(msg=str(i)))) for i in range(5)]
    mailbox = grid_server._started().peer.dispatcher.find(f"{grid_client.namespace}.mailbox.s")
    await wait_until(lambda: mailbox is not None and len(mailbox) == 5, "all are queued")
    stopping = asyncio.create_task(grid_client.stop_actor("s", grace=5))
    await wait_until(lambda: mailbox is not None and mailbox._draining, "it drains")
    gate.set()
    await stopping
    assert [await one for one in asking] == [EchoMsg(msg=str(i)) for i in range(5)]
    with pytest.raises(UnknownActor):
        await grid_client.stop_actor("s")


async def test_an_actor_that_cannot_hear_is_cancelled_at_once(
    grid_server: grid.Server, grid_client: grid.Client
) -> None:
    @grid_server.actor("deaf")
    async def deaf(ctx: grid.ActorContext) -> None:
        await asyncio.sleep(3600)

    await grid_client.start_actor("deaf")
    began = asyncio.get_running_loop().time()
    await grid_client.stop_actor("deaf", grace=30)
    assert asyncio.get_running_loop().time() - began < 5


async def test_an_actor_over_its_grace_is_cancelled(
    grid_server: grid.Server, grid_client: grid.Client
) -> None:
    ended: list[bool] = []

    @grid_server.actor("stubborn")
    async def stubborn(ctx: grid.ActorContext) -> None:
        try:
            while not ctx.stopping:
                await ctx.stopping.wait()
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            ended.append(ctx.deadline is not None and ctx.deadline.passed)
            raise

    await grid_client.start_actor("stubborn")
    await grid_client.stop_actor("stubborn", grace=0.1)
    assert ended == [True]


async def test_an_actor_that_does_not_end_keeps_its_name(
    grid_server: grid.Server, grid_client: grid.Client
) -> None:
    release = asyncio.Event()

    @grid_server.actor("immortal")
    async def immortal(ctx: grid.ActorContext) -> None:
        while not release.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await release.wait()

    await grid_client.start_actor("immortal")
    with pytest.raises(ActorStillRunning):
        await grid_client.stop_actor("immortal", grace=0)
    assert await names(grid_client, "actor") == {"immortal"}
    release.set()
    await wait_until_gone(grid_client)


async def test_an_actor_asks_other_actors(
    grid_server: grid.Server, grid_client: grid.Client
) -> None:
    grid_server.define("echo", lambda _: echo, mailbox=4)

    @grid_server.actor("front", mailbox=4)
    async def front(ctx: grid.ActorContext) -> None:
        async for request in ctx.mailbox:
            request.respond(await ctx.client.request("back", request.message))

    await grid_client.start_actor("echo", name="back")
    await grid_client.start_actor("front")
    reply = await grid_client.request("front", EchoMsg(msg="hi"), reply=EchoMsg)
    assert reply.msg == "hi"


async def test_an_actor_without_a_mailbox_is_told_how_to_get_one(
    grid_server: grid.Server, grid_client: grid.Client, caplog: pytest.LogCaptureFixture
) -> None:
    @grid_server.actor("bare")
    async def bare(ctx: grid.ActorContext) -> None:
        assert ctx.mailbox

    await grid_client.start_actor("bare")
    await wait_until_gone(grid_client)
    assert "define it with mailbox=64" in caplog.text


async def test_starts_are_spread_by_name_and_stay(
    grid_servers: Servers, grid_client: grid.Client
) -> None:
    servers = [grid_servers(annotations=[f"n={i}", "all"]) for i in range(3)]
    for server in servers:
        server.define("echo", lambda _: echo, mailbox=4)
        await server.start()
    placed = {f"e{i}": await grid_client.start_actor("echo", name=f"e{i}") for i in range(30)}
    assert set(placed.values()) == {server.name for server in servers}
    ring = grid.Ring(server.name for server in servers)
    assert placed == {name: ring.owner(name) for name in placed}
    chosen = await grid_client.start_actor("echo", name="special", annotations=["n=1", "all"])
    assert chosen == servers[1].name
    with pytest.raises(NotPlaced, match="has no annotation gpu"):
        await grid_client.start_actor("echo", name="other", annotations=["gpu"])


async def test_many_starts_at_once(grid_server: grid.Server, grid_client: grid.Client) -> None:
    grid_server.define("echo", lambda _: echo, mailbox=4)
    await asyncio.gather(*(grid_client.start_actor("echo", name=f"e{i}") for i in range(1000)))
    assert len(await grid_client.query("actor")) == 1000


async def test_a_start_by_message_is_acknowledged(
    grid_server: grid.Server, grid_client: grid.Client
) -> None:
    grid_server.define("echo", lambda _: echo, mailbox=4)
    start = ActorStart(type="echo", name="e")
    assert await grid_client.request(grid_server.name, start, reply=Ack) == Ack()
