"""Topics that shards keep: thousands of them, without a write to etcd for each."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import grid
from grid.embedded import Etcd
from grid.errors import InvalidArgument
from grid.testing import wait_until
from rpc.buses.enrolment import Enrolment, EnrolmentClosed
from rpc.buses.grid import GridBus
from rpc.buses.members import TOPICAL
from rpc.buses.topics import TopicTable
from rpc.services import AlreadyServed, LocalBus, NoServers, NotRegistered, ServiceError
from rpc.services.dynamic import list_services
from tests.rpc.services.greeting_grid import (
    GREETER,
    GreeterClient,
    GreeterRegion,
    GreeterRoom,
    GreeterServer,
)
from tests.rpc.services.greeting_pb2 import Hello
from tests.rpc.services.kit import Greeter
from tests.rpc.services.test_faults import served

SOON = 30.0
EU, ROOM = GreeterRegion("eu"), GreeterRoom("1")
MANY = 2000


@asynccontextmanager
async def sharded(
    grid_servers: Callable[..., grid.Server], *names: str
) -> AsyncIterator[tuple[list[GreeterServer], GreeterClient]]:
    """Servers on peers of their own, whose topics shards keep, and a client."""
    async with AsyncExitStack() as stack:
        servers = []
        for name in names:
            peer = grid_servers(lease=30.0)  # a busy machine shall not take it away
            await peer.start()
            server = GreeterServer(Greeter(name), peer, server_id=name, topics="shards")
            servers.append(await stack.enter_async_context(server))
        config = peer.config
        grid_client = await stack.enter_async_context(
            grid.Client(config.namespace, etcd=config.etcd)
        )
        yield servers, await stack.enter_async_context(GreeterClient(grid_client, timeout=SOON))


async def _last_write(client: GreeterClient) -> int:
    """The revision of the last write in the client's namespace; others share its etcd."""
    bus = client._bus
    assert isinstance(bus, GridBus)
    clients = bus._clients()
    stored = await clients.etcd.get_prefix(f"{clients.namespace}.")
    return max(one.mod_revision for one in stored.items)


async def test_thousands_of_topics_are_not_written_to_etcd(
    grid_servers: Callable[..., grid.Server],
) -> None:
    async with sharded(grid_servers, "a", "b") as ((one, two), client):
        await one.register_regional_topic("first")
        await two.register_regional_topic("second")
        assert (await client.regional("first", Hello())).server == "a"
        bus = client._bus
        assert isinstance(bus, GridBus)
        (listed,) = await list_services(bus._clients().etcd, bus._clients().namespace)
        assert listed.servers == {"a", "b"}
        assert {"Greet", "Regional"} < listed.methods
        assert "RegionalNews" not in listed.methods
        before = await _last_write(client)
        await asyncio.gather(*(one.register_regional_topic(f"a{i}") for i in range(MANY // 2)))
        await asyncio.gather(*(two.register_regional_topic(f"b{i}") for i in range(MANY // 2)))
        for i in range(0, MANY // 2, 100):
            assert (await client.regional(f"a{i}", Hello())).server == "a"
            got = await client.regional(f"b{i}", Hello())
            assert (got.server, list(got.topic)) == ("b", [f"b{i}"])
        await asyncio.gather(*(one.deregister_regional_topic(f"a{i}") for i in range(MANY // 2)))
        with pytest.raises(NoServers, match="a100"):
            await client.regional("a100", Hello())
        assert await _last_write(client) == before


async def test_a_topic_with_several_servers_comes_and_goes(
    grid_servers: Callable[..., grid.Server],
) -> None:
    async with sharded(grid_servers, "a", "b") as ((one, two), client):
        with pytest.raises(NoServers):
            await client.in_room(EU, ROOM, Hello())
        await one.register_in_room_topic(EU, ROOM)
        assert (await client.in_room(EU, ROOM, Hello())).server == "a"
        with pytest.raises(NoServers):
            await client.each_in_room(EU, ROOM, Hello())
        with pytest.raises(AlreadyServed):
            await one.register_all_rooms_topics(EU, ROOM)
        await one.register_each_in_room_topic(EU, ROOM)
        await two.register_all_rooms_topics(EU, ROOM)

        async def both() -> bool:
            outcomes = await client.each_in_room(EU, ROOM, Hello())
            return {one.result().server for one in outcomes} == {"a", "b"}

        await wait_until(both, "both servers of the room", timeout=SOON)
        assert {(await client.in_room(EU, ROOM, Hello())).server for _ in range(9)} == {"a", "b"}
        await one.deregister_in_room_topic(EU, ROOM)
        # The view of the client may lag behind; a server that is asked in vain is passed over.
        assert {(await client.in_room(EU, ROOM, Hello())).server for _ in range(9)} == {"b"}
        with pytest.raises(NotRegistered):
            await one.deregister_in_room_topic(EU, ROOM)
        assert len(await client.each_in_room(EU, ROOM, Hello())) == 2
        # A topic with one server is in etcd all the same, which enforces it.
        await one.register_owned_topic("x")
        with pytest.raises(AlreadyServed, match="one server"):
            await two.register_owned_topic("x")
        assert (await client.owned("x", Hello())).server == "a"


async def test_a_killed_peer_of_a_shard_loses_no_topics_but_its_own(
    grid_etcd: Etcd, grid_namespace: str
) -> None:
    async with (
        served(grid_etcd, grid_namespace, "a", "shards") as killed,
        served(grid_etcd, grid_namespace, "b", "shards"),
        served(grid_etcd, grid_namespace, "c", "shards"),
        grid.Client(grid_namespace, etcd=grid_etcd.endpoint) as grid_client,
        GreeterClient(grid_client, timeout=SOON) as client,
    ):
        # Each server has twenty topics of its own, so the shard of `a` keeps some of all.
        for name in "abc":
            for i in range(20):
                assert (await client.regional(f"{name}{i}", Hello())).server == name
        killed.kill()
        for _ in range(2):  # while the lease of the killed one still holds, and after that
            for i in range(20):
                assert (await client.regional(f"b{i}", Hello())).server == "b"

            async def gone() -> bool:
                with contextlib.suppress(ServiceError):
                    await client.regional("a1", Hello(), timeout=1)
                try:
                    await client.regional("a1", Hello(), timeout=5)
                except NoServers:
                    return True
                except ServiceError:
                    return False
                return False

            await wait_until(gone, "the topics of the killed server to go", timeout=SOON)
        # Another client, which knows nothing, finds the topics at the shards that are left.
        async with GreeterClient(grid_client, timeout=SOON) as late:
            for name in "bc":
                for i in range(20):
                    assert (await late.regional(f"{name}{i}", Hello())).server == name


async def test_a_server_joins_and_one_leaves_while_topics_are_called(
    grid_servers: Callable[..., grid.Server],
) -> None:
    async with sharded(grid_servers, "a", "b") as ((one, two), client):
        for i in range(50):
            await one.register_regional_topic(f"t{i}")
            assert (await client.regional(f"t{i}", Hello())).server == "a"
        async with sharded(grid_servers, "c") as ((three,), other):
            await three.register_regional_topic("t0")
            await two.shutdown()
            for i in range(1, 50):
                assert (await client.regional(f"t{i}", Hello())).server == "a"
                assert (await other.regional(f"t{i}", Hello())).server == "a"
        for i in range(50):
            assert (await client.regional(f"t{i}", Hello())).server == "a"


async def test_a_peer_that_lost_its_lease_has_its_topics_again(
    grid_servers: Callable[..., grid.Server],
) -> None:
    peer = grid_servers()
    await peer.start()
    async with (
        GreeterServer(Greeter("a"), peer, server_id="a", topics="shards") as server,
        grid.Client(peer.config.namespace, etcd=peer.config.etcd) as grid_client,
        GreeterClient(grid_client) as client,
    ):
        await server.register_regional_topic("x")
        assert (await client.regional("x", Hello())).server == "a"
        lifecycle = peer._lifecycle
        assert lifecycle is not None
        registering = [
            asyncio.create_task(server.register_regional_topic(f"y{i}")) for i in range(20)
        ]
        await lifecycle.peer.joined().lease.abandon("the test takes it")
        # What was being registered meanwhile is registered in the end, or told that it is not.
        async with asyncio.timeout(SOON):
            outcomes = await asyncio.gather(*registering, return_exceptions=True)
        assert all(one is None or isinstance(one, grid.GridError) for one in outcomes)

        async def served_again() -> bool:
            with contextlib.suppress(ServiceError):
                return (await client.regional("x", Hello(), timeout=1)).server == "a"
            return False

        await wait_until(served_again, "the topic to be served again", timeout=SOON)


async def test_a_server_that_stops_while_it_registers_leaves_no_mailbox(
    grid_server: grid.Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    bus = GridBus(grid_server)
    asked, go_on = asyncio.Event(), asyncio.Event()
    enrol = bus.enrolment

    async def held_up(*given: str) -> Enrolment:
        asked.set()
        await go_on.wait()
        return await enrol(*given)

    monkeypatch.setattr(bus, "enrolment", held_up)
    server = GreeterServer(Greeter("a"), bus, server_id="a", topics="shards")
    await server.start()
    registering = asyncio.create_task(server.register_regional_topic("x"))
    async with asyncio.timeout(SOON):
        await asked.wait()
        await server.shutdown()
        go_on.set()
        with pytest.raises(grid.GridError):
            await registering
    assert not (await bus.members(GREETER.name, fresh=True)).of_role(TOPICAL)
    await bus.close()


async def test_topics_of_a_mailbox_that_is_gone_are_refused_at_once(
    grid_server: grid.Server,
) -> None:
    bus = GridBus(grid_server)
    enrolment = await bus.enrolment(GREETER.name, "gone", "a")
    adding = asyncio.create_task(enrolment.add("x", ["Regional"]))
    await asyncio.sleep(0)
    await enrolment.close()
    async with asyncio.timeout(SOON):
        with pytest.raises(EnrolmentClosed):
            await adding
        with pytest.raises(EnrolmentClosed):
            await enrolment.add("y", ["Regional"])
    await bus.close()


async def test_on_other_buses_topics_are_as_ever() -> None:
    bus = LocalBus()
    with pytest.raises(InvalidArgument, match="topics"):
        GreeterServer(Greeter("a"), bus, topics="redis")  # type: ignore[arg-type]
    async with GreeterServer(Greeter("a"), bus, topics="shards") as server:
        await server.register_regional_topic("x")
        async with GreeterClient(bus) as client:
            assert list((await client.regional("x", Hello())).topic) == ["x"]
    await bus.close()


@settings(max_examples=50)
@given(
    st.lists(
        st.tuples(
            st.sampled_from("mn"),
            st.dictionaries(st.sampled_from("xyz"), st.sampled_from([("A",), ("A", "B")])),
            st.lists(st.sampled_from("xyz")),
            st.booleans(),
        )
    )
)
def test_a_shard_knows_what_its_servers_told_last(
    told: list[tuple[str, dict[str, tuple[str, ...]], list[str], bool]],
) -> None:
    table = TopicTable()
    wanted: dict[str, dict[str, tuple[str, ...]]] = {}
    for member, add, remove, leaves in told:
        before = {topic: table.servers(topic) for topic in "xyz"}
        changed = table.enroll(member, member.upper(), add, remove)
        for topic in remove:
            wanted.setdefault(topic, {}).pop(member, None)
        for topic, methods in add.items():
            wanted.setdefault(topic, {})[member] = methods
        if leaves:
            changed |= table.drop(member)
            for there in wanted.values():
                there.pop(member, None)
        for topic in "xyz":
            found = {one.member: one.methods for one in table.servers(topic)}
            assert found == wanted.get(topic, {})
            if topic not in changed:
                assert table.servers(topic) == before[topic]
    assert len(table) == sum(bool(there) for there in wanted.values())


async def test_a_registration_that_is_given_up_takes_no_other_of_its_topic_along(
    grid_servers: Callable[..., grid.Server],
) -> None:
    async with sharded(grid_servers, "a") as ((server,), client):
        await server.register_in_room_topic(EU, ROOM)
        assert (await client.in_room(EU, ROOM, Hello(text="hello"))).server == "a"
        second = asyncio.ensure_future(server.register_each_in_room_topic(EU, ROOM))
        await asyncio.sleep(0)
        second.cancel()
        await asyncio.wait([second])
        # Shards are told in order, so they know by now.
        await server.register_in_room_topic(EU, GreeterRoom("2"))
        assert (await client.in_room(EU, GreeterRoom("2"), Hello(text="hello"))).server == "a"
        assert (await client.in_room(EU, ROOM, Hello(text="hello"))).server == "a"
        with pytest.raises(NoServers):
            await client.each_in_room(EU, ROOM, Hello(text="hello"))
