"""A request to a name of an activated type starts one actor, which ends when it is idle."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from google.protobuf.wrappers_pb2 import Int64Value

import grid
from grid.client.activation import activated_type
from grid.embedded import Etcd
from grid.errors import FactoryFailed, InvalidArgument, UnregisteredMailbox
from grid.registry.registration import Registration
from grid.state import MemoryStore
from grid.testing import wait_until
from grid.wire_pb2 import EchoMsg

Servers = Callable[..., grid.Server]


class Rooms:
    """Servers that activate rooms, and the starts that they saw."""

    def __init__(self, make: Servers) -> None:
        self._make = make
        self.store = MemoryStore()
        self.starts: list[str] = []

    async def add(self, idle: float | None = None) -> grid.Server:
        rooms, server = self, self._make()
        server.provide(self.store)

        @server.actor("room", activate=True, mailbox=2000, idle=idle)
        class Room:
            async def on_start(self, ctx: grid.ActorContext) -> None:
                rooms.starts.append(ctx.name)
                self.visits = await ctx.state.load(Int64Value) or Int64Value()
                ctx.state.save_at_end(self.visits)

            @grid.handler
            async def visit(self, by: Int64Value) -> Int64Value:
                self.visits.value += by.value
                return self.visits

        await server.start()
        return server


@pytest.fixture
def rooms(grid_servers: Servers) -> Rooms:
    return Rooms(grid_servers)


async def visit(client: grid.Client, name: str = "room-lobby") -> int:
    return (await client.request(name, Int64Value(value=1), reply=Int64Value)).value


async def test_a_storm_of_callers_starts_one_actor(
    rooms: Rooms, grid_client: grid.Client, grid_etcd: Etcd, grid_namespace: str
) -> None:
    for _ in range(2):
        await rooms.add()
    async with grid.Client(grid_namespace, etcd=grid_etcd.endpoint) as other:
        clients = [grid_client, other]
        found = await asyncio.gather(*(visit(clients[n % 2]) for n in range(1000)))
    assert sorted(found) == list(range(1, 1001))
    assert rooms.starts == ["room-lobby"]


async def test_a_first_request_reads_nothing_in_etcd_before_the_start_once_there_are_views(
    rooms: Rooms, grid_client: grid.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    await rooms.add()
    assert await visit(grid_client, "room-first") == 1
    await wait_until(
        lambda: grid_client._mailboxes.loaded and grid_client._peers.loaded, "its views"
    )
    before: list[str] = []
    get = grid_client.etcd.get

    async def noted(key: str, **options: Any) -> Any:
        name = key.rpartition(".")[2]
        if name not in rooms.starts:  # after the start it is read where the watch tells late
            before.append(name)
        return await get(key, **options)

    monkeypatch.setattr(grid_client.etcd, "get", noted)
    names = [f"room-{number}" for number in range(20)]
    assert await asyncio.gather(*(visit(grid_client, name) for name in names)) == [1] * 20
    assert not before
    assert [await visit(grid_client, name) for name in names] == [2] * 20


async def test_an_idle_actor_ends_and_the_next_request_finds_its_state(
    rooms: Rooms, grid_client: grid.Client
) -> None:
    await rooms.add(idle=0.3)
    assert [await visit(grid_client) for _ in range(3)] == [1, 2, 3]

    async def gone() -> bool:
        return not await grid_client.query("actor")

    await wait_until(gone, "the idle actor has ended", timeout=30)
    assert await visit(grid_client) == 4
    assert rooms.starts == ["room-lobby"] * 2
    # While it ends again and again, no request is lost.
    for expected in range(5, 15):
        assert await visit(grid_client) == expected
        await asyncio.sleep(0.1 * (expected % 5))


async def test_an_actor_with_an_open_request_or_stream_is_not_idle(
    grid_servers: Servers, grid_client: grid.Client
) -> None:
    server, let_go = grid_servers(), asyncio.Event()

    @server.actor("slow", mailbox=4, activate=True, idle=0.1)
    async def slow(ctx: grid.ActorContext) -> None:
        async for request in ctx.mailbox:
            if request.opens_stream:
                async with request.accept() as stream:
                    await stream.receive()
            else:
                await let_go.wait()
                request.ack()

    await server.start()
    asking = asyncio.create_task(grid_client.request("slow", EchoMsg()))
    await wait_until(lambda: "slow" in [one.name for one in server.statistics().mailboxes], "it")
    before = await grid_client.query("actor")
    await asyncio.sleep(0.5)  # several times the idle time, in which nothing may happen
    let_go.set()
    await asking
    async with grid_client.stream("slow", EchoMsg()) as stream:
        now = await grid_client.query("actor")
        await asyncio.sleep(0.5)
        assert await grid_client.query("actor") == now
        await stream.send(EchoMsg())
    assert before


async def test_names_of_no_activated_type_and_failed_starts(
    grid_servers: Servers, grid_client: grid.Client
) -> None:
    server = grid_servers()

    class Broken:
        def __init__(self) -> None:
            raise OSError("no disk")

        @grid.handler
        async def any(self, message: EchoMsg) -> None: ...

    server.actor("broken", activate=True)(Broken)
    await server.start()
    for name in ("brokenx", "other-broken-1", "broke"):
        with pytest.raises(UnregisteredMailbox):
            await grid_client.request(name, EchoMsg())
    failures = await asyncio.gather(
        *(grid_client.request("broken-1", EchoMsg()) for _ in range(3)), return_exceptions=True
    )
    assert all(isinstance(one, FactoryFailed) and "no disk" in str(one) for one in failures)
    assert len({id(one) for one in failures}) == 3


def test_the_longest_type_that_fits_is_activated() -> None:
    def peer(*activates: str) -> Registration:
        return Registration("n.peer.p", "p", "", (), 1, 1, activates=activates)

    peers = [peer("room"), peer("room-big", "hall")]
    names = {
        "room-1": "room",
        "room": "room",
        "room-big-1": "room-big",
        "rooms": "",
        "hall-": "hall",
    }
    assert {name: activated_type(name, peers) for name in names} == names
    assert activated_type("room-1", []) == ""


@pytest.mark.parametrize(
    ("options", "wrong"),
    [
        ({"activate": True}, "mailbox"),
        ({"idle": 5.0}, "mailbox"),
        ({"idle": 0, "mailbox": 4}, "seconds above 0"),
        ({"idle": True, "mailbox": 4}, "seconds above 0"),
        ({"activate": 1, "mailbox": 4}, "True or False"),
    ],
)
def test_wrong_activations_are_refused(options: dict[str, object], wrong: str) -> None:
    async def act(ctx: grid.ActorContext) -> None: ...

    with pytest.raises(InvalidArgument, match=wrong):
        grid.Server("n").actor("a", **options)(act)  # type: ignore[arg-type]
