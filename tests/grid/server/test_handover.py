"""Actors of a peer that drains start elsewhere, and actors are moved when asked."""

import asyncio
import time
from collections.abc import Callable
from typing import Any, ClassVar

import pytest

import grid
from grid.client.moving import MAX_MOVES
from grid.errors import (
    ClientClosed,
    InvalidActorType,
    InvalidArgument,
    InvalidName,
    OutcomeUnknown,
    ReceiverBusy,
    UnknownActor,
)
from grid.server.handover import Handover
from grid.testing import wait_until
from grid.wire_pb2 import EchoMsg

Servers = Callable[..., grid.Server]


class Who:
    """Says its start bytes and its peer; asked to hold, once it is let go on."""

    held: ClassVar[list[str]] = []
    go_on: ClassVar[asyncio.Event]

    def __init__(self, data: bytes) -> None:
        self.data = data

    @grid.handler
    async def say(self, message: EchoMsg, ctx: grid.ActorContext) -> EchoMsg:
        if message.msg == "hold":
            self.held.append(ctx.name)
            await self.go_on.wait()
        return EchoMsg(msg=f"{self.data.decode()}@{ctx.peer}")


class Fleet:
    """Servers with types that move and one that does not."""

    def __init__(self, make: Servers, client: grid.Client) -> None:
        self._make = make
        self._client = client

    async def add(self, name: str, **options: Any) -> grid.Server:
        server = self._make(name=name, **options)
        server.actor("job", move=True)(Who)
        server.actor("plain")(Who)
        server.actor("room", activate=True)(Who)
        server.define("kept", Who, keep=2, mailbox=8)
        await server.start()
        return server

    async def peers_of(self) -> dict[str, str]:
        return {one.name: one.peer for one in await self._client.query("actor")}

    async def wait(self, *names: str) -> None:
        async def there() -> bool:
            return set(names) <= set(await self.peers_of())

        await wait_until(there, f"{names} run", timeout=30)


@pytest.fixture
def fleet(grid_servers: Servers, grid_client: grid.Client) -> Fleet:
    Who.held.clear()
    Who.go_on = asyncio.Event()
    return Fleet(grid_servers, grid_client)


async def say(client: grid.Client, name: str, what: str = "") -> str:
    message = EchoMsg(msg=what)
    return (await client.request(name, message, reply=EchoMsg, timeout=60)).msg


async def hold(client: grid.Client, name: str) -> asyncio.Task[str]:
    """A request that its actor works on until it is let go on."""
    task = asyncio.create_task(say(client, name, "hold"))
    await wait_until(lambda: name in Who.held, f"{name} works", timeout=30)
    return task


async def drain(server: grid.Server, name: str, client: grid.Client) -> asyncio.Task[None]:
    """Let a peer stop, up to where the grid has been told so."""
    stopping = asyncio.create_task(server.stop())

    async def withdrawn() -> bool:
        peers = {one.name: one for one in await client.query("peer")}
        return not peers[name].types

    await wait_until(withdrawn, "the peer says that it drains", timeout=30)
    return stopping


async def test_a_peer_that_drains_hands_over_what_moves(
    fleet: Fleet, grid_client: grid.Client
) -> None:
    first = await fleet.add("a", drain_timeout=60.0)
    await fleet.wait("kept-0", "kept-1")
    await fleet.add("b")
    await grid_client.start_actor("job", peer="a", data=b"7")
    await grid_client.start_actor("plain", peer="a")
    under_way = await hold(grid_client, "job")
    stopping = await drain(first, "a", grid_client)
    # It comes while the actor still answers the one before it, and waits for the new place.
    later = asyncio.create_task(say(grid_client, "job"))
    await asyncio.sleep(0.1)
    Who.go_on.set()
    assert await under_way == "7@a"
    assert await later == "7@b"
    await stopping
    await fleet.wait("kept-0", "kept-1", "job")
    there = await fleet.peers_of()
    assert set(there.values()) == {"b"}
    assert "plain" not in there


async def test_an_actor_without_work_is_handed_over_too(
    fleet: Fleet, grid_client: grid.Client
) -> None:
    for name in ("a", "b"):
        await fleet.add(name)
    await grid_client.start_actor("job", peer="a", data=b"7")
    await grid_client.drain_peer("a")

    async def moved() -> bool:
        return (await fleet.peers_of()).get("job") == "b"

    await wait_until(moved, "the actor runs on the other peer", timeout=30)
    assert await say(grid_client, "job") == "7@b"


async def test_a_lone_peer_does_not_wait_for_another(
    fleet: Fleet, grid_client: grid.Client
) -> None:
    server = await fleet.add("a")
    await fleet.wait("kept-0", "kept-1")
    await grid_client.start_actor("job")
    began = time.monotonic()
    await server.stop()
    assert time.monotonic() - began < 3  # the time that a start elsewhere would be given
    assert await fleet.peers_of() == {}


async def test_a_peer_that_begins_to_drain_holds_up_no_start(
    fleet: Fleet, grid_client: grid.Client
) -> None:
    first = await fleet.add("a", drain_timeout=60.0)
    await fleet.add("b")
    await grid_client.start_actor("plain", peer="a")
    holding = await hold(grid_client, "plain")
    stopping = asyncio.create_task(first.stop())
    # The client does not know of it yet, and asks that peer first for half of the names.
    async with asyncio.timeout(8):  # a start has ten seconds
        for number in range(16):
            assert await say(grid_client, f"room-{number}") == "@b"
    Who.go_on.set()
    assert await holding == "@a"
    await stopping


async def test_nothing_is_started_on_a_peer_that_drains(
    fleet: Fleet, grid_client: grid.Client
) -> None:
    first = await fleet.add("a", drain_timeout=60.0)
    await fleet.add("b")
    await grid_client.start_actor("plain", peer="a")
    holding = await hold(grid_client, "plain")
    stopping = await drain(first, "a", grid_client)
    names = [f"room-{number}" for number in range(8)]
    assert {await say(grid_client, name) for name in names} == {"@b"}
    Who.go_on.set()
    assert await holding == "@a"
    await stopping


async def test_an_actor_is_moved_with_its_bytes(fleet: Fleet, grid_client: grid.Client) -> None:
    for name in ("a", "b"):
        await fleet.add(name)
    await grid_client.start_actor("plain", name="eve", peer="a", data=b"7")
    await grid_client.move_actor("eve", "b")
    assert await say(grid_client, "eve") == "7@b"
    await grid_client.move_actor("eve", "b")
    with pytest.raises(UnknownActor):
        await grid_client.move_actor("nobody", "b")
    with pytest.raises(InvalidName):
        await grid_client.move_actor("eve", "a b")
    await grid_client.etcd.put(f"{grid_client.namespace}.actor.odd", b"no registration")
    with pytest.raises(UnknownActor):
        await grid_client.move_actor("odd", "b")
    await grid_client.etcd.delete(f"{grid_client.namespace}.actor.odd")


async def test_a_move_whose_answer_is_lost_has_succeeded(
    fleet: Fleet, grid_client: grid.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "b"):
        await fleet.add(name)
    await grid_client.start_actor("plain", peer="a", data=b"7")
    start_on = Handover.start_on

    async def unanswered(*arguments: Any) -> None:
        await start_on(*arguments)
        raise OutcomeUnknown("its answer was lost")

    monkeypatch.setattr(Handover, "start_on", unanswered)
    await grid_client.move_actor("plain", "b")
    assert await say(grid_client, "plain") == "7@b"


async def test_the_log_names_an_actor_that_could_be_started_nowhere(
    fleet: Fleet,
    grid_client: grid.Client,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    await fleet.add("a", slots=3)
    await fleet.wait("kept-0", "kept-1")
    await fleet.add("b")
    await grid_client.start_actor("plain", peer="a")

    tries = []

    async def refused(*_: Any) -> None:
        tries.append("b")
        await grid_client.start_actor("plain", name="other", peer="a")  # it takes the slot
        raise ReceiverBusy("b")

    monkeypatch.setattr(Handover, "start_on", refused)
    with pytest.raises(ReceiverBusy):
        await grid_client.move_actor("plain", "b")
    assert "actor.plain runs nowhere: it was to move to peer b" in caplog.text
    assert "no free slot" in caplog.text
    assert tries == ["b"], "it is not ended again and again"


async def test_actors_are_balanced_after_a_join_when_asked(
    fleet: Fleet, grid_client: grid.Client
) -> None:
    await fleet.add("a")
    await fleet.wait("kept-0", "kept-1")
    names = [f"room-{number}" for number in range(12)]
    for name in names:
        assert await say(grid_client, name) == "@a"
    await grid_client.start_actor("plain")
    await fleet.add("b")
    moved = await grid_client.rebalance(["kept"])
    assert [(one.type, one.source, one.target) for one in moved] == [("kept", "a", "b")]
    moved = await grid_client.rebalance()
    assert {one.type for one in moved} == {"room"}
    there = await fleet.peers_of()
    assert {there["kept-0"], there["kept-1"]} == {"a", "b"}
    assert {there[one.name] for one in moved} == {"b"}
    assert there["plain"] == "a"
    assert await grid_client.rebalance() == []
    rebalance: Any = grid_client.rebalance
    with pytest.raises(InvalidArgument, match="types"):
        await rebalance("kept")
    with pytest.raises(InvalidActorType):
        await rebalance(["a b"])


async def test_few_actors_are_handed_over_at_once(
    fleet: Fleet, grid_client: grid.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await fleet.add("a")
    await fleet.add("b")
    names = [f"job-{number}" for number in range(3 * MAX_MOVES)]
    for name in names:
        await grid_client.start_actor("job", name=name, peer="a")
    start, under_way, seen = grid.Client.start_actor, 0, []

    async def counted(*arguments: Any, **options: Any) -> str:
        nonlocal under_way
        if options["name"] not in names:  # the keeper's
            return await start(*arguments, **options)
        under_way += 1
        seen.append(under_way)
        try:
            return await start(*arguments, **options)
        finally:
            under_way -= 1

    monkeypatch.setattr(grid.Client, "start_actor", counted)
    await first.stop()
    assert (len(seen), max(seen)) == (len(names), MAX_MOVES)
    there = await fleet.peers_of()
    assert {there[name] for name in names} == {"b"}


async def test_each_actor_that_is_not_handed_over_has_an_error_of_its_own(
    grid_client: grid.Client,
) -> None:
    handover = Handover(lambda: grid_client, asyncio.Event())
    await grid_client.close()
    errors = await asyncio.gather(handover._peers(), handover._peers(), return_exceptions=True)
    assert [type(one) for one in errors] == [ClientClosed] * 2
    assert errors[0] is not errors[1]


def test_a_definition_says_whether_its_actors_move_by_a_bool(grid_servers: Servers) -> None:
    define: Any = grid_servers().actor
    with pytest.raises(InvalidArgument, match="move"):
        define("job", move="yes")(Who)
