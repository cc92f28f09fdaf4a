"""Remote machines over sessions with TLS: alone, packed, and beside plain requests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

import grid
from grid.embedded import Etcd
from grid.embedded.ports import free_ports
from grid.errors import TlsRequired
from grid.server.server import Server as Peer
from grid.testing import FaultProxy
from machine import Machine
from rpc.machines.client import Client
from rpc.machines.payloads import Payload
from rpc.machines.server import Server
from tests.grid.tls_kit import Authority
from tests.rpc.machines.kit import SCHEMA

SOON = 10.0  # seconds; a client that was refused for good does not try on

Clients = Callable[..., AbstractAsyncContextManager[grid.Client]]


@pytest.fixture(autouse=True)
def over_a_session(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("grid.client.router.local_dispatcher", lambda _: None)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "authority")


@pytest.fixture
def clients(grid_etcd: Etcd, grid_namespace: str, authority: Authority) -> Clients:
    """Makes clients with a certificate of the authority, unless `tls` says otherwise."""

    @asynccontextmanager
    async def clients(**options: Any) -> AsyncIterator[grid.Client]:
        options = {"tls": authority.tls("client"), **options}
        async with grid.Client(grid_namespace, etcd=grid_etcd.endpoint, **options) as client:
            yield client

    return clients


@pytest.fixture
async def start(grid_servers: Callable[..., Peer], authority: Authority) -> Any:
    """Starts a peer that speaks TLS also on this host."""

    async def start(**options: Any) -> Peer:
        peer = grid_servers(tls=authority.tls("peer"), unix_socket=False, **options)
        await peer.start()
        return peer

    return start


async def test_a_remote_machine_and_a_session_that_is_cut(start: Any, clients: Clients) -> None:
    machine: Machine[Any] = Machine(SCHEMA, id="lights")
    listen = f"127.0.0.1:{free_ports(1)[0]}"
    async with FaultProxy(listen) as proxy:
        peer = await start(listen=listen, advertise=proxy.endpoint)
        async with (
            clients() as grid_client,
            Server(machine, peer, interval=0.01),
            Client[Any](grid_client, "lights") as client,
        ):
            assert (await client.machine.add("A")).executed
            assert machine.is_("A")
            machine.add("B")
            await client.machine.when("B")
            proxy.cut()
            await client.mach.when("Disconnected")
            machine.add("D")
            proxy.heal()
            await client.machine.when("D")
            assert client.machine.not_("A")


async def test_an_actor_exposes_a_machine(start: Any, clients: Clients) -> None:
    machine: Machine[Any] = Machine(SCHEMA, id="lights")

    async def act(ctx: grid.ActorContext) -> None:
        await ctx.expose(machine, interval=0.01)
        await machine.when("A")
        machine.add("B")
        await ctx.stopping.wait()

    peer = await start()
    peer.define("lights", lambda _: act)
    async with clients() as grid_client:
        await grid_client.start_actor("lights")
        async with Client[Any](grid_client, "lights") as client:
            await client.machine.add("A")
            await client.machine.when("B")
        await grid_client.stop_actor("lights")


async def test_a_session_that_packs(start: Any, clients: Clients) -> None:
    machine: Machine[Any] = Machine(SCHEMA, id="lights")
    got: list[Payload] = []
    peer = await start(compression="gzip")
    async with (
        clients(compression="gzip") as grid_client,
        Server(machine, peer, on_payload=got.append),
        Client[Any](grid_client, "lights") as client,
    ):
        data = b"all the same " * 100_000
        await client.send_payload(Payload("text", data))
        assert got[0].data == data
        assert (await client.machine.add("A")).executed
        (session,) = grid_client.statistics().sessions
        assert session.bytes_sent < len(data) / 4


async def test_one_session_for_machines_and_plain_requests(start: Any, clients: Clients) -> None:
    first: Machine[Any] = Machine(SCHEMA, id="first")
    second: Machine[Any] = Machine(SCHEMA, id="second")

    async def echo(ctx: grid.ActorContext) -> None:
        async for request in ctx.mailbox:
            request.respond(request.message)

    peer = await start()
    peer.define("echo", lambda _: echo, mailbox=16)
    async with clients() as grid_client, Server(first, peer), Server(second, peer):
        await grid_client.start_actor("echo")
        async with (
            Client[Any](grid_client, "first") as one,
            Client[Any](grid_client, "second") as two,
        ):
            for number in range(10):
                message = grid.EchoMsg(msg=str(number))
                answers = await asyncio.gather(
                    one.machine.add("B"), grid_client.request("echo", message), two.machine.add("B")
                )
                assert answers[1] == message
            assert first.tick("B") == second.tick("B") == one.machine.tick("B")
            (session,) = grid_client.statistics().sessions
            assert session.streams == 2
    assert session.address == peer.address


async def test_a_client_that_is_refused_gives_up_at_once(start: Any, clients: Clients) -> None:
    peer = await start()
    async with clients(tls=None) as grid_client, Server(Machine[Any](SCHEMA), peer, name="lights"):
        async with asyncio.timeout(SOON):
            with pytest.raises(TlsRequired):
                await Client[Any](grid_client, "lights").start()
