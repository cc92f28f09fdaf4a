"""Starts of actors: where they go, and what happens if the name is taken."""

import asyncio
from collections.abc import Callable

import pytest

import grid
from grid.errors import (
    AlreadyRegistered,
    InvalidArgument,
    UnknownActorType,
    UnregisteredMailbox,
)
from grid.testing import wait_until
from grid.wire_pb2 import EchoMsg
from tests.grid.registry_kit import grid_etcd, registry_kind

__all__ = ["grid_etcd", "registry_kind"]

Servers = Callable[..., grid.Server]


async def echo(ctx: grid.ActorContext) -> None:
    async for request in ctx.mailbox:
        request.respond(request.message)


async def test_of_many_starts_at_once_one_starts_it_and_all_succeed(
    grid_servers: Servers, grid_client: grid.Client
) -> None:
    servers = [grid_servers() for _ in range(2)]
    for server in servers:
        server.define("echo", lambda _: echo, mailbox=8)
        await server.start()
    starts = [grid_client.start_actor("echo", name="e", if_exists="return") for _ in range(50)]
    starts += [
        grid_client.start_actor("echo", name="e", peer=server.name, if_exists="return")
        for server in servers
    ]
    peers = await asyncio.gather(*starts)
    (entity,) = await grid_client.query("actor")
    assert set(peers) == {entity.peer}
    await grid_client.request("e", EchoMsg())


async def test_a_name_of_another_kind_is_still_refused(
    grid_server: grid.Server, grid_client: grid.Client
) -> None:
    grid_server.define("echo", lambda _: echo, mailbox=8)
    grid_server.define("other", lambda _: echo, mailbox=8)
    await grid_client.start_actor("other", name="e")
    with pytest.raises(AlreadyRegistered) as refused:
        await grid_client.start_actor("echo", name="e", if_exists="return")
    assert refused.value.__notes__ == ["it is an actor of type 'other', not 'echo'"]
    async with grid_server.open_mailbox("m"):
        with pytest.raises(AlreadyRegistered):
            await grid_client.start_actor("echo", name="m", if_exists="return")
    with pytest.raises(InvalidArgument, match="if_exists must be"):
        await grid_client.start_actor("echo", if_exists="ignore")  # type: ignore[arg-type]


async def test_an_actor_is_started_on_a_peer_that_defines_its_type(
    grid_servers: Servers, grid_client: grid.Client
) -> None:
    plain = [grid_servers() for _ in range(3)]
    special = grid_servers()
    special.define("special", lambda _: echo, mailbox=8)
    for server in (*plain, special):
        await server.start()
    for number in range(8):
        peer = await grid_client.start_actor("special", name=f"s{number}")
        assert peer == special.name
    with pytest.raises(UnknownActorType):
        await grid_client.start_actor("special", name="s", peer=plain[0].name)
    with pytest.raises(UnknownActorType):
        await grid_client.start_actor("missing")


async def test_a_view_that_lags_behind_hides_no_peer(
    grid_servers: Servers, grid_client: grid.Client
) -> None:
    with pytest.raises(UnregisteredMailbox):
        await grid_client.start_actor("hold")
    assert grid_client._peers._feed is not None
    grid_client._peers._feed.cancel()
    await wait_until(grid_client._peers._feed.done, "its watch is over")
    server = grid_servers(annotations=("gpu",))

    @server.actor("hold")
    async def holds(ctx: grid.ActorContext) -> None:
        await ctx.stopping.wait()

    await server.start()
    assert await grid_client.start_actor("hold", annotations=["gpu"]) == server.name
