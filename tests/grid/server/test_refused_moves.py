"""A move is refused by its target before the actor is touched."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any, ClassVar

import pytest

import grid
from grid.errors import (
    GridError,
    PeerFull,
    PeerNotServing,
    PeerUnreachable,
    UnknownActor,
    UnknownActorType,
    UnregisteredMailbox,
)
from grid.server.handover import Handover
from grid.testing import kill, wait_until
from grid.wire_pb2 import EchoMsg

Servers = Callable[..., grid.Server]


class Count:
    """Counts in its memory; asked to hold, it answers once it is let go on."""

    held: ClassVar[asyncio.Event]
    go_on: ClassVar[asyncio.Event]

    def __init__(self, data: bytes) -> None:
        self.count = int(data)

    @grid.handler
    async def add(self, message: EchoMsg, ctx: grid.ActorContext) -> EchoMsg:
        if message.msg == "hold":
            self.held.set()
            await self.go_on.wait()
        self.count += 1
        return EchoMsg(msg=f"{self.count}@{ctx.peer}")


class Moves:
    """The peer `a` with the actor `kim`, which is to be moved."""

    def __init__(self, servers: Servers, client: grid.Client) -> None:
        self._servers = servers
        self.client = client

    async def add(self, name: str, *types: str, **options: Any) -> grid.Server:
        server = self._servers(name=name, **options)
        for one in types:
            server.actor(one)(Count)
        await server.start()
        return server

    async def count(self, name: str = "kim", what: str = "") -> str:
        return (await self.client.request(name, EchoMsg(msg=what), reply=EchoMsg)).msg

    async def epoch(self) -> int:
        found = await self.client.query("actor")
        return next(one.epoch for one in found if one.name == "kim")

    async def refused(self, peer: str, error: type[GridError]) -> GridError:
        """The error of a move, which leaves the actor as it is."""
        before, epoch = await self.count(), await self.epoch()
        assert before.endswith("@a")
        with pytest.raises(error) as raised:
            await self.client.move_actor("kim", peer)
        assert await self.epoch() == epoch
        assert await self.count() == f"{int(before[:-2]) + 1}@a"
        return raised.value


@pytest.fixture
async def moves(grid_servers: Servers, grid_client: grid.Client) -> AsyncIterator[Moves]:
    Count.held, Count.go_on = asyncio.Event(), asyncio.Event()
    made = Moves(grid_servers, grid_client)
    await made.add("a", "count")
    await grid_client.start_actor("count", name="kim", peer="a", data=b"5")
    yield made
    Count.go_on.set()


async def test_a_peer_that_does_not_offer_the_type_takes_no_actor_of_it(moves: Moves) -> None:
    await moves.add("b", "other", "third")
    error = await moves.refused("b", UnknownActorType)
    assert isinstance(error, UnknownActorType)
    assert (error.type, error.offered) == ("count", ["other", "third"])
    await moves.add("c")
    await moves.refused("c", UnknownActorType)
    await moves.refused("nobody", UnregisteredMailbox)


async def test_a_type_that_was_defined_after_its_peer_joined_is_taken(moves: Moves) -> None:
    server = await moves.add("b", "other")
    await moves.refused("b", UnknownActorType)
    server.actor("count")(Count)
    await moves.client.move_actor("kim", "b")
    assert await moves.count() == "6@b"


async def test_a_peer_without_a_free_slot_takes_no_actor(moves: Moves) -> None:
    await moves.add("b", "count", slots=1)
    await moves.client.start_actor("count", name="eve", peer="b", data=b"0")
    error = await moves.refused("b", PeerFull)
    assert isinstance(error, PeerFull)
    assert (error.peer, error.slots) == ("b", 1)
    await moves.client.stop_actor("eve")
    await moves.client.move_actor("kim", "b")
    assert await moves.count() == "6@b"


async def test_a_peer_that_drains_takes_no_actor(moves: Moves) -> None:
    server = await moves.add("b", "count", drain_timeout=60.0)
    await moves.client.start_actor("count", name="eve", peer="b", data=b"0")
    holding = asyncio.create_task(moves.count("eve", "hold"))
    await Count.held.wait()
    stopping = asyncio.create_task(server.stop())

    async def withdrawn() -> bool:
        return any(one.name == "b" and not one.types for one in await moves.client.query("peer"))

    await wait_until(withdrawn, "the peer says that it drains", timeout=30)
    # It drains for a minute: a move that waited for its end would have another error.
    error = await moves.refused("b", PeerNotServing)
    assert isinstance(error, PeerNotServing)
    assert (error.peer, error.state) == ("b", "draining")
    Count.go_on.set()
    assert await holding == "1@b"
    await stopping


async def test_a_peer_that_is_dead_takes_no_actor(moves: Moves) -> None:
    await kill(await moves.add("b", "count"))
    await moves.refused("b", PeerUnreachable)


async def test_an_actor_that_ends_while_its_target_is_asked_starts_there(
    moves: Moves, monkeypatch: pytest.MonkeyPatch
) -> None:
    await moves.add("b", "count")
    ask = Handover.ask

    async def late(*arguments: Any) -> bool:
        await moves.client.stop_actor("kim")
        return await ask(*arguments)

    monkeypatch.setattr(Handover, "ask", late)
    await moves.client.move_actor("kim", "b")
    assert await moves.count() == "6@b"


async def test_an_actor_that_is_moved_twice_at_once_is_moved_once(
    moves: Moves, monkeypatch: pytest.MonkeyPatch
) -> None:
    await moves.add("b", "count")
    await moves.add("c", "count")
    ask = Handover.ask

    async def overtaken(*arguments: Any) -> bool:
        monkeypatch.setattr(Handover, "ask", ask)
        await moves.client.move_actor("kim", "c")
        return await ask(*arguments)

    monkeypatch.setattr(Handover, "ask", overtaken)
    with pytest.raises(UnknownActor):
        await moves.client.move_actor("kim", "b")
    assert await moves.count() == "6@c"
