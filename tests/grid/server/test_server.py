"""A peer joins, is found, drains and leaves."""

import asyncio
import socket
from collections.abc import Callable
from typing import Any

import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

import grid
from grid.embedded.ports import free_ports
from grid.errors import (
    AddressInUse,
    AddressLocked,
    EtcdUnavailable,
    InvalidAddress,
    InvalidNamespace,
    LeaseTooShort,
    ServerNotRunning,
    UnspecifiedAddress,
)
from grid.server.location import Location
from grid.testing import wait_until
from grid.wire_pb2 import EchoMsg

Servers = Callable[..., grid.Server]


async def hold(ctx: grid.ActorContext) -> None:
    await ctx.stopping.wait()


async def keys(client: grid.Client, prefix: str) -> list[str]:
    return [one.key for one in (await client._etcd.get_prefix(prefix)).items]


# -- starting ---------------------------------------------------------------------


async def test_what_is_found_can_be_asked(grid_servers: Servers, grid_client: grid.Client) -> None:
    server = grid_servers(annotations=["zone=b", "arch=x"])
    assert str(server.state) == "stopped"
    with pytest.raises(ServerNotRunning):
        _ = server.name
    await server.start()
    (peer,) = await grid_client.query("peer")
    assert peer.name == server.name == server.address.replace(".", "-").replace(":", "-")
    assert (peer.peer, peer.address) == (server.name, server.address)
    assert peer.annotations == ("arch=x", "zone=b")
    assert await grid_client.check(peer.name) == "SERVING"
    await grid_client.wait_until_serving(peer.name)


async def test_a_server_starts_once(grid_server: grid.Server) -> None:
    with pytest.raises(RuntimeError, match="starts once"):
        await grid_server.start()
    await grid_server.stop()
    await grid_server.stop()
    with pytest.raises(RuntimeError, match="starts once"):
        await grid_server.start()
    with pytest.raises(ServerNotRunning):
        await grid_server.open_mailbox("m")


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"listen": "0.0.0.0:0"}, UnspecifiedAddress),
        ({"listen": "nonsense"}, InvalidAddress),
        ({"listen": "127.0.0.1:99999"}, InvalidAddress),
        ({"listen": "203.0.113.7:0"}, InvalidAddress),
        ({"lease": 1.0}, LeaseTooShort),
        ({"name": "a b"}, ValueError),
        ({"on_lease_lost": "ignore"}, ValueError),
        ({"no_such_option": 1}, TypeError),
    ],
)
async def test_a_bad_configuration_is_refused(
    options: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        await grid.Server("ns", etcd="127.0.0.1:1", **options).start()


async def test_a_bad_namespace_is_refused() -> None:
    with pytest.raises(InvalidNamespace):
        await grid.Server("a.b", etcd="127.0.0.1:1").start()
    with pytest.raises(InvalidNamespace):
        grid.Client("a.b")


async def test_a_taken_port_is_told(grid_servers: Servers) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(AddressInUse, match=address):
            await grid_servers(listen=address).start()


async def test_two_servers_do_not_share_a_port(
    grid_server: grid.Server, grid_servers: Servers
) -> None:
    with pytest.raises(AddressInUse):
        await grid_servers(listen=grid_server.address).start()


async def test_without_etcd_a_start_fails_and_leaves_nothing() -> None:
    etcd = grid.EtcdConfig(endpoints=("127.0.0.1:1",), timeout=0.5)
    with pytest.raises(EtcdUnavailable, match=r"127\.0\.0\.1:1"):
        await grid.Server("ns", etcd=etcd).start()
    async with grid.Client("ns", etcd=etcd) as client:
        for call in (
            client.query("peer"),
            client.request("m", EchoMsg(), timeout=1),
            client.stop_actor("a"),
        ):
            with pytest.raises((EtcdUnavailable, TimeoutError)):
                await call


async def test_an_address_is_held_by_one_process(
    grid_servers: Servers, grid_client: grid.Client
) -> None:
    address = f"127.0.0.1:{free_ports(1)[0]}"
    key = f"registry.uniq-lock.{address}"
    # As a crashed predecessor leaves it: the lock lives until its lease ends.
    old = await grid_client._etcd.open_lease(2)
    await grid_client._etcd.put(key, b"", lease=old.id)
    starting = asyncio.create_task(grid_servers(listen=address).start())
    done, _ = await asyncio.wait([starting], timeout=0.3)
    assert not done
    await old.revoke()
    await asyncio.wait_for(starting, 10)
    assert await keys(grid_client, key) == [key]


async def test_a_port_whose_address_is_still_locked_is_not_chosen(
    grid_servers: Servers, grid_client: grid.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[str] = []

    async def find(location: Location) -> str:
        tried.append(await find_address(location))
        if len(tried) == 1:  # a killed peer had the first port that the system chooses
            await grid_client._etcd.put(f"registry.uniq-lock.{tried[0]}", b"")
        return tried[-1]

    find_address = Location.find
    monkeypatch.setattr(Location, "find", find)
    server = grid_servers(lease=60.0)
    await asyncio.wait_for(server.start(), 30)
    assert server.address == tried[-1] != tried[0]
    assert [one.address for one in await grid_client.query("peer")] == [server.address]
    await grid_client._etcd.delete(f"registry.uniq-lock.{tried[0]}")


async def test_an_address_that_stays_locked_is_told(
    grid_servers: Servers, grid_client: grid.Client
) -> None:
    address = f"127.0.0.1:{free_ports(1)[0]}"
    key = f"registry.uniq-lock.{address}"
    await grid_client._etcd.put(key, b"")
    began = asyncio.get_running_loop().time()
    with pytest.raises(AddressLocked, match="address lock exists after timeout"):
        await grid_servers(listen=address, lease=2.0).start()
    assert 3.9 < asyncio.get_running_loop().time() - began < 10
    await grid_client._etcd.delete(key)
    assert not await grid_client.query("peer")


async def test_values_that_are_no_registrations_are_skipped(
    grid_server: grid.Server,
    grid_client: grid.Client,
    grid_namespace: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    values = [b"not json", b"[]", b'{"address": 7}', b"\xff", b'{"annotations":{}}']
    for i, value in enumerate(values):
        await grid_client._etcd.put(f"{grid_namespace}.peer.bad-{i}", value)
    assert [peer.name for peer in await grid_client.query("peer")] == [grid_server.name]
    assert caplog.text.count("skipped, not a registration") == 5
    async with grid_client.watch("peer") as events:
        event = await anext(events)
    assert event.entity.name == grid_server.name
    assert await grid_client.check(grid_server.name) == "SERVING"
    for i in range(len(values)):
        await grid_client._etcd.delete(f"{grid_namespace}.peer.bad-{i}")


# -- health and reflection ----------------------------------------------------------


async def test_health_is_served(grid_server: grid.Server) -> None:
    async with grpc.aio.insecure_channel(grid_server.address) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        for service in ("", "grid.wire"):
            answer = await stub.Check(health_pb2.HealthCheckRequest(service=service))
            assert answer.status == health_pb2.HealthCheckResponse.SERVING
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.Check(health_pb2.HealthCheckRequest(service="other"))
        assert caught.value.code() is grpc.StatusCode.NOT_FOUND


async def test_reflection_is_there_on_request(grid_servers: Servers) -> None:
    from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

    server = grid_servers(reflection=True)
    await server.start()
    async with grpc.aio.insecure_channel(server.address) as channel:
        stub = reflection_pb2_grpc.ServerReflectionStub(channel)
        call = stub.ServerReflectionInfo(
            iter([reflection_pb2.ServerReflectionRequest(list_services="")])
        )
        answer = await call.read()
    listed = {service.name for service in answer.list_services_response.service}
    assert {"grid.wire", "grpc.health.v1.Health"} <= listed


# -- stopping -----------------------------------------------------------------------


async def test_a_stopped_peer_leaves_no_key(
    grid_server: grid.Server, grid_client: grid.Client, grid_namespace: str
) -> None:
    grid_server.define("hold", lambda _: hold, mailbox=2)
    await grid_client.start_actor("hold")
    await grid_server.open_mailbox("outside")
    lock = f"registry.uniq-lock.{grid_server.address}"
    assert len(await keys(grid_client, f"{grid_namespace}.")) == 5
    assert await keys(grid_client, lock) == [lock]
    await grid_server.stop()
    assert not await keys(grid_client, f"{grid_namespace}.")
    assert not await keys(grid_client, lock)


async def test_a_peer_comes_back_on_its_address_at_once(grid_servers: Servers) -> None:
    address = f"127.0.0.1:{free_ports(1)[0]}"
    first = grid_servers(listen=address)
    await first.start()
    await first.stop()
    await asyncio.wait_for(grid_servers(listen=address).start(), 10)


async def test_a_name_is_free_only_after_its_actor_ended(
    grid_server: grid.Server, grid_client: grid.Client
) -> None:
    running = asyncio.Event()
    ended_with_name: list[bool] = []

    @grid_server.actor("slow")
    async def slow(ctx: grid.ActorContext) -> None:
        running.set()
        await ctx.stopping.wait()
        await asyncio.sleep(0.3)
        ended_with_name.append(bool(await grid_client.query("actor")))

    await grid_client.start_actor("slow")
    await running.wait()
    await grid_server.stop()
    assert ended_with_name == [True]
    assert not await grid_client.query("actor")


async def test_requests_under_way_are_answered_before_the_peer_leaves(
    grid_server: grid.Server, grid_client: grid.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("grid.client.router.local_dispatcher", lambda _: None)
    go_on = asyncio.Event()

    @grid_server.actor("slow", mailbox=4)
    async def slow(ctx: grid.ActorContext) -> None:
        async for request in ctx.mailbox:
            await go_on.wait()
            request.respond(request.message)

    await grid_client.start_actor("slow")
    async with grid_server.open_mailbox("outside") as mailbox:
        asking = [asyncio.create_task(grid_client.request("slow", EchoMsg())) for _ in range(3)]
        asking.append(asyncio.create_task(grid_client.request("outside", EchoMsg())))
        outside = await mailbox.receive()
        assert outside is not None

        def all_came() -> bool:
            boxes = {one.name: one.received for one in grid_server.statistics().mailboxes}
            return boxes["slow"] == 3

        await wait_until(all_came, "all have come")
        stopping = asyncio.create_task(grid_server.stop())
        await wait_until(lambda: str(grid_server.state) == "draining", "it drains")
        go_on.set()
        outside.ack()
        await stopping
    assert len(await asyncio.gather(*asking)) == 4


async def test_a_mailbox_outside_of_actors_ends_with_the_peer(grid_server: grid.Server) -> None:
    mailbox = await grid_server.open_mailbox("m")
    await grid_server.stop()
    assert [request async for request in mailbox] == []


async def test_nothing_is_left_running(grid_servers: Servers, grid_client: grid.Client) -> None:
    before = asyncio.all_tasks()
    server = grid_servers()
    server.define("hold", lambda _: hold, mailbox=2)
    server.define("leader", lambda _: hold)
    await server.start()
    await server.client.start_actor("hold")
    await server.stop()
    await wait_until(lambda: asyncio.all_tasks() <= before, "only tasks that were there before")
