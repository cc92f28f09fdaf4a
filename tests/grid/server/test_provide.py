"""Resources that a server was given reach its actors, and are left after them."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

import grid
from grid.errors import EtcdUnavailable, InvalidArgument, StoreUnavailable
from grid.state import MemoryStore, SqliteStore, Store
from grid.testing import MemoryRegistry
from grid.wire_pb2 import EchoMsg

Servers = Callable[..., grid.Server]


class Database:
    """A resource that notes what happens to it."""

    def __init__(self, name: str = "db") -> None:
        self.name = name


class Shouting(Database):
    """A derived one."""


class Mirror(MemoryStore):
    """Another store."""


class Shop:
    """Asks for resources in every place."""

    def __init__(self, data: bytes, database: Database) -> None:
        self.said = [data.decode(), database.name]

    async def on_start(self, ctx: grid.ActorContext, database: Database) -> None:
        self.said.append(f"start {database.name} {ctx.provided(Database).name}")

    @grid.handler
    async def say(
        self, message: EchoMsg, database: Database, request: grid.Request[EchoMsg]
    ) -> EchoMsg:
        return EchoMsg(msg=f"{self.said} {database.name} {len(request.metadata)}")


async def test_resources_are_found_by_annotations(
    grid_servers: Servers, grid_client: grid.Client
) -> None:
    server = grid_servers()
    server.actor("shop")(Shop)
    assert isinstance(server.provide(Shouting("s")), Shouting)

    @server.actor("function", mailbox=2)
    async def function(ctx: grid.ActorContext, database: Database) -> None:
        async for request in ctx.mailbox:
            request.respond(EchoMsg(msg=database.name))

    @server.actor("blocking", mailbox=2)
    def blocking(ctx: grid.sync.BlockingContext, *, database: Database) -> None:
        for request in ctx.mailbox:
            request.respond(EchoMsg(msg=database.name + ctx.provided(Database).name))

    await server.start()
    said = {}
    for name in ("shop", "function", "blocking"):
        await grid_client.start_actor(name, data=b"7")
        said[name] = (await grid_client.request(name, EchoMsg(), reply=EchoMsg)).msg
    assert said == {
        "shop": "['7', 's', 'start s s'] s 0",
        "function": "s",
        "blocking": "ss",
    }


async def test_contexts_are_entered_in_order_and_left_after_the_actors(
    grid_servers: Servers, grid_client: grid.Client
) -> None:
    events: list[str] = []

    @asynccontextmanager
    async def opened(name: str) -> AsyncIterator[Database]:
        events.append(f"open {name}")
        yield Database(name)
        events.append(f"close {name}")

    server = grid_servers()
    server.provide(opened("a"), as_type=Database, enter=True)
    server.provide(opened("b"), as_type=Shouting, enter=True)

    @server.actor("a")
    async def actor(ctx: grid.ActorContext, database: Database) -> None:
        events.append(f"actor of {database.name}")
        await ctx.stopping.wait()
        events.append("actor ends")

    assert events == []
    await server.start()
    await grid_client.start_actor("a")
    await server.stop()
    assert events == ["open a", "open b", "actor of a", "actor ends", "close b", "close a"]


async def test_what_cannot_be_opened_ends_the_start_and_leaves_the_others(
    grid_servers: Servers,
) -> None:
    events: list[str] = []

    @asynccontextmanager
    async def opened() -> AsyncIterator[Database]:
        try:
            yield Database()
        finally:
            events.append("closed")

    @asynccontextmanager
    async def broken() -> AsyncIterator[Shouting]:
        raise OSError("no route")
        yield Shouting()

    server = grid_servers()
    server.provide(opened(), as_type=Database, enter=True)
    server.provide(broken(), as_type=Shouting, enter=True)
    with pytest.raises(OSError, match="no route"):
        await server.start()
    assert events == ["closed"]


async def test_what_is_missing_is_said_before_the_server_joins(grid_servers: Servers) -> None:
    server = grid_servers()
    server.actor("shop")(Shop)
    with pytest.raises(InvalidArgument, match=r"'database' of Shop.*server\.provide"):
        await server.start()
    server.provide(Database("one"))
    await server.start()
    with pytest.raises(InvalidArgument, match="before the server starts"):
        server.provide(Shouting("late"))


async def test_a_start_that_failed_may_be_tried_again(tmp_path: Path) -> None:
    registry = MemoryRegistry(timeout=0.1)
    registry.leave()
    server = grid.Server("n", etcd=registry, listen="127.0.0.1:0")
    store = server.provide(SqliteStore(tmp_path / "states.db"), enter=True)
    with pytest.raises(EtcdUnavailable):
        await server.start()
    registry.come_back()
    async with server:
        assert await store.load("k", 1) is None


async def test_two_stores_need_one_for_the_states(grid_servers: Servers, tmp_path: Path) -> None:
    entered = SqliteStore(tmp_path / "states.db")
    for stores in ([MemoryStore(), Mirror()], [MemoryStore(), entered]):
        server = grid_servers()
        for store in stores:
            server.provide(store, enter=store is entered)
        with pytest.raises(InvalidArgument, match="as_type="):
            await server.start()
    with pytest.raises(StoreUnavailable):  # it was left
        await entered.load("k", 1)
    server = grid_servers()
    server.provide(MemoryStore(), as_type=Store)
    server.provide(Mirror())
    await server.start()


def test_wrong_resources_are_refused() -> None:
    server = grid.Server("n")
    server.provide(Database())
    with pytest.raises(InvalidArgument, match="none was provided as yet"):
        server.provide(Database())
    with pytest.raises(InvalidArgument, match="context manager"):
        server.provide(7, enter=True)
    with pytest.raises(InvalidArgument, match="a class"):
        server.provide(7, as_type="int")  # type: ignore[arg-type]
    with pytest.raises(InvalidArgument, match="an object of the class"):
        server.provide(Database)
