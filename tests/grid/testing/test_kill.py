"""A server that is killed in its own process leaves the grid as one of a killed process does."""

import asyncio
from collections.abc import Callable
from contextlib import suppress

import pytest
from google.protobuf.wrappers_pb2 import Int64Value, StringValue

import grid
from grid.embedded import Etcd
from grid.errors import (
    DeadlineExceeded,
    GridError,
    InvalidArgument,
    NotDelivered,
    OutcomeUnknown,
    StoreUnavailable,
    StreamClosed,
)
from grid.state import MemoryStore
from grid.testing import MemoryRegistry, kill, wait_until
from tests.grid.registry_kit import grid_etcd, registry_kind

__all__ = ["grid_etcd", "registry_kind"]

Servers = Callable[..., grid.Server]


class Ends(list[str]):
    """The errors of the last saves."""


class Account:
    """Keeps a balance, and tries to save at its end."""

    def __init__(self, ends: Ends) -> None:
        self.ends = ends

    async def on_start(self, ctx: grid.ActorContext) -> None:
        self.state = ctx.state
        self.balance = await ctx.state.load(Int64Value) or Int64Value()

    @grid.handler
    async def move(self, by: Int64Value) -> Int64Value:
        self.balance.value += by.value
        await self.state.save(self.balance)
        return self.balance

    @grid.handler
    async def hang(self, text: StringValue) -> None:
        await asyncio.sleep(3600)

    async def on_stop(self) -> None:
        try:
            await self.state.save(Int64Value(value=1_000_000))
        except StoreUnavailable as error:
            self.ends.append(str(error))


@pytest.mark.parametrize("lease", [2.0])
async def test_a_killed_server_is_gone_without_a_word(
    grid_servers: Servers,
    grid_client: grid.Client,
    grid_etcd: Etcd | MemoryRegistry,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if not isinstance(grid_etcd, MemoryRegistry):  # and over the wire
        monkeypatch.setattr("grid.mailbox.dispatcher._local", {})
    store, ends = MemoryStore(), Ends()
    killed, heir = grid_servers(name="killed"), grid_servers(name="heir")
    for server in (killed, heir):
        server.provide(store)
        server.provide(ends)
        server.actor("account")(Account)
        server.actor("leader")(_lead)
    await killed.start()
    await grid_client.start_actor("account", name="kim")
    assert (await grid_client.request("kim", Int64Value(value=5), reply=Int64Value)).value == 5

    async def leader() -> str:
        return "".join(one.peer for one in await grid_client.query("actor") if one.name == "leader")

    await wait_until(leader, "the leader is there")
    assert await leader() == "killed"
    asking = asyncio.create_task(grid_client.request("kim", StringValue(), timeout=30))
    await wait_until(lambda: _unanswered(killed), "the request is there")
    await heir.start()
    await kill(killed)
    with pytest.raises(OutcomeUnknown):
        await asyncio.wait_for(asking, 5)
    assert ends == ["store: the peer was killed"]
    # Its names are still there, until its lease is over.
    assert "killed" in [one.name for one in await grid_client.query("peer")]
    with pytest.raises((NotDelivered, DeadlineExceeded)):  # refused, or still connecting
        await grid_client.request("kim", Int64Value(value=1), timeout=0.3)
    if isinstance(grid_etcd, MemoryRegistry):
        assert grid_etcd.expire() == 1

    async def taken_over() -> bool:
        found = await grid_client.query("actor")
        return [(one.name, one.peer) for one in found] == [("leader", "heir")]

    await wait_until(taken_over, "the heir leads, and the names are free")
    await grid_client.start_actor("account", name="kim")
    assert (await grid_client.request("kim", Int64Value(value=2), reply=Int64Value)).value == 7
    await killed.stop()  # as fixtures do
    with pytest.raises(InvalidArgument):
        await kill(killed)


async def _lead(ctx: grid.ActorContext) -> None:
    await ctx.stopping.wait()


def _unanswered(server: grid.Server) -> bool:
    return any(one.unanswered for one in server.statistics().mailboxes)


async def test_streams_of_a_killed_server_break(
    grid_servers: Servers, grid_client: grid.Client
) -> None:
    server = grid_servers()

    @server.actor("feed", mailbox=4)
    async def feed(ctx: grid.ActorContext) -> None:
        async for request in ctx.mailbox:
            async with request.accept() as stream:
                async for item in stream:
                    await stream.send(item)

    await server.start()
    await grid_client.start_actor("feed")
    stream = await grid_client.stream("feed", StringValue())
    await stream.send(StringValue(value="1"))
    assert await stream.receive() == StringValue(value="1")
    await kill(server)
    with pytest.raises((OutcomeUnknown, StreamClosed)):
        await asyncio.wait_for(stream.receive(), 5)
    with suppress(GridError):
        await stream.close()


async def test_what_cannot_be_killed_is_refused(grid_servers: Servers) -> None:
    for wrong in (grid_servers(), "server", None):
        with pytest.raises(InvalidArgument, match="started"):
            await kill(wrong)  # type: ignore[arg-type]
