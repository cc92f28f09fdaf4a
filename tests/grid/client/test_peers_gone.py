"""Of peers that have come and gone, clients keep nothing."""

import asyncio
import contextlib
import logging
import socket
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc.aio
import pytest

import grid
from grid.embedded import Etcd
from grid.errors import OutcomeUnknown
from grid.etcd import EtcdClient, EtcdConfig
from grid.registry.registration import encode_registration
from grid.testing import wait_until
from grid.transport.breaker import BreakerPolicy
from grid.wire_pb2 import Ack, Delivery, EchoMsg

OF_A_KIND = 17  # of three kinds


def kept(client: grid.Client) -> dict[str, int]:
    """The sizes of the tables that know peers."""
    transport, router = client._transport, client._router
    return {
        "destinations": len(router._destinations),
        "local": len(router._local._links),
        "without sessions": len(transport._without_sessions),
        "pools": len(transport._pools),
        "ready": len(transport.ready),
        "channels": len(transport._unary._addresses),
        "closing": len(transport._unary._closing),
        "breakers": len(getattr(transport, "_guarded", ())),
    }


@pytest.fixture(params=["no breakers", "breakers"])
async def client(
    request: pytest.FixtureRequest, grid_etcd: Etcd, grid_namespace: str
) -> AsyncIterator[grid.Client]:
    breaker = BreakerPolicy(failures=1, rest=0.5) if request.param == "breakers" else None
    async with grid.Client(
        grid_namespace,
        etcd=grid_etcd.endpoint,
        breaker=breaker,
        retry=grid.Retry(attempts=1),
        timeout=20,
    ) as made:
        yield made


class Registered:
    """Registrations of a peer, and of a mailbox on it."""

    def __init__(self, etcd: EtcdClient, namespace: str, name: str, address: str) -> None:
        self._etcd = etcd
        self._values = {
            key: encode_registration(key, address, name, session=0)
            for key in (f"{namespace}.peer.{name}", f"{namespace}.mailbox.{name}")
        }

    async def __aenter__(self) -> None:
        for key, value in self._values.items():
            await self._etcd.put(key, value)

    async def __aexit__(self, *_: object) -> None:
        await self.leave()

    async def leave(self) -> None:
        """Delete them; again does no harm."""
        for key in self._values:
            await self._etcd.delete(key)


async def _acknowledge(_: bytes, __: object) -> bytes:
    return Delivery(typeName="grid.Ack", data=Ack().SerializeToString()).SerializeToString()


@contextlib.asynccontextmanager
async def go_peer(etcd: EtcdClient, namespace: str, name: str) -> AsyncIterator[None]:
    """A peer that speaks as one in Go does."""
    server = grpc.aio.server()
    port = server.add_insecure_port("127.0.0.1:0")
    handlers: Any = {"Process": grpc.unary_unary_rpc_method_handler(_acknowledge)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("grid.wire", handlers),))
    await server.start()
    async with Registered(etcd, namespace, name, f"127.0.0.1:{port}"):
        yield
    await server.stop(None)


@contextlib.asynccontextmanager
async def dead_peer(etcd: EtcdClient, namespace: str, name: str) -> AsyncIterator[None]:
    """A peer that refuses connections, and is registered still."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        async with Registered(etcd, namespace, name, f"127.0.0.1:{bound.getsockname()[1]}"):
            yield


@contextlib.asynccontextmanager
async def silent_peer(
    etcd: EtcdClient, namespace: str, name: str
) -> AsyncIterator[tuple[Registered, asyncio.Event]]:
    """A peer that answers nothing; its registration, and the event of a first connection."""
    connected = asyncio.Event()
    writers: list[asyncio.StreamWriter] = []

    async def listen(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        connected.set()

    server = await asyncio.start_server(listen, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    registered = Registered(etcd, namespace, name, f"127.0.0.1:{port}")
    async with server, registered:
        yield registered, connected
    for writer in writers:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


@pytest.mark.parametrize("begun", [False, True], ids=["nothing begun", "begun"])
async def test_a_peer_that_came_since_takes_the_start_of_one_that_left(
    grid_client: grid.Client,
    grid_servers: Callable[..., grid.Server],
    grid_namespace: str,
    begun: bool,
) -> None:
    server = grid_servers()

    @server.actor("hold")
    async def holds(ctx: grid.ActorContext) -> None:
        await ctx.stopping.wait()

    etcd, key = grid_client._etcd, f"{grid_namespace}.actor.hold"
    async with silent_peer(etcd, grid_namespace, "silent") as (registered, connected):
        starting = asyncio.create_task(grid_client.start_actor("hold", timeout=30))
        await asyncio.wait_for(connected.wait(), 20)
        await server.start()
        if begun:  # the peer took the name, and its answer was lost
            await etcd.put(key, encode_registration(key, "127.0.0.1:1", "silent", session=0))
        await registered.leave()
        if begun:
            with pytest.raises(OutcomeUnknown, match=r"'silent', which left .* may have started"):
                await starting
        else:
            assert await starting == server.name
    if begun:
        await etcd.delete(key)


@pytest.mark.parametrize("local", [False, True], ids=["other processes", "one process"])
async def test_fifty_peers_come_and_go_and_nothing_of_them_stays(
    client: grid.Client,
    grid_etcd: Etcd,
    grid_namespace: str,
    grid_servers: Callable[..., grid.Server],
    monkeypatch: pytest.MonkeyPatch,
    local: bool,
) -> None:
    if not local:
        monkeypatch.setattr("grid.client.router.local_dispatcher", lambda _: None)
    before = kept(client)

    async def use(name: str) -> None:
        with contextlib.suppress(grid.GridError):  # of peers that are dead, or know no health
            await client.request(name, EchoMsg())
        with contextlib.suppress(grid.GridError):
            await client.check(name)

    async with contextlib.AsyncExitStack() as there:
        etcd = EtcdClient(EtcdConfig.parse(grid_etcd.endpoint))
        await there.enter_async_context(etcd)
        names = []
        for number in range(OF_A_KIND):
            server = grid_servers(unix_socket=bool(number % 2), lease=20)
            await there.enter_async_context(server)
            names.append(server.name)
            for kind, make in (("go", go_peer), ("dead", dead_peer)):
                name = f"{kind}-{number}"
                await there.enter_async_context(make(etcd, grid_namespace, name))
                names.append(name)
        await asyncio.gather(*map(use, names))
        assert kept(client) != before
        assert len(names) > 50
    await wait_until(lambda: kept(client) == before, "the tables are as they were", timeout=20)


@pytest.mark.parametrize("way", ["session", "unary"])
async def test_what_is_under_way_at_a_peer_that_has_left_goes_on(
    way: str,
    client: grid.Client,
    grid_etcd: Etcd,
    grid_namespace: str,
    grid_servers: Callable[..., grid.Server],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.CRITICAL)  # the server may miss its names
    monkeypatch.setattr("grid.client.router.local_dispatcher", lambda _: None)
    before = kept(client)
    server = grid_servers(lease=20)  # with so long a lease it looks for its names later
    await server.start()
    mailbox = await server.open_mailbox("m")
    if way == "unary":
        client._transport._without_sessions.add(server.address)
    asking = asyncio.create_task(client.request("m", EchoMsg(msg="1")))
    request = await mailbox.receive()
    assert request is not None
    async with EtcdClient(EtcdConfig.parse(grid_etcd.endpoint)) as etcd:
        for name in ("m", server.name):
            await etcd.delete(f"{grid_namespace}.mailbox.{name}")
    await wait_until(lambda: not client._mailboxes.has(server.address), "its names are gone")
    assert kept(client)["pools" if way == "session" else "destinations"] == int(way == "session")
    request.respond(request.message)
    assert await asking == EchoMsg(msg="1")
    await server.stop()
    await wait_until(lambda: kept(client) == before, "the tables are as they were")
