"""Go and Python in one namespace take over from each other: the leader, and addresses."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from grid import (
    ActorContext,
    Client,
    EchoMsg,
    EntityFound,
    EntityLost,
    Kind,
    Server,
)
from grid.embedded.ports import free_ports
from grid.etcd import EtcdClient, EtcdConfig
from grid.registry.names import address_lock_key
from grid.testing import wait_until
from tests.interop.conftest import Grid, has
from tests.interop.go_kit import Program, running

pytestmark = pytest.mark.timeout(600)  # the first test builds the Go program

LEASE = 10  # seconds, the least that a Go peer takes

slow = pytest.mark.skipif(
    not os.environ.get("GRID_INTEROP_SLOW"),
    reason="a Go peer looks for a free leader every 31 s only: set GRID_INTEROP_SLOW=1",
)


def python_peer(mixed: Grid, *arguments: str) -> AbstractAsyncContextManager[Program]:
    """A Python peer that can be killed."""
    script = Path(__file__).with_name("python_peer.py")
    where = ("--etcd", mixed.etcd, "--namespace", mixed.namespace)
    return running(sys.executable, script, *where, *arguments)


# -- the leader ----------------------------------------------------------------------


class LeaderLog:
    """A Python peer's leader, and when it came and went."""

    def __init__(self, server: Server) -> None:
        self.up: list[float] = []
        self.down: list[float] = []

        @server.actor("leader", mailbox=16)
        async def leader(ctx: ActorContext) -> None:
            self.up.append(time.time())
            try:
                async for request in ctx.mailbox:
                    request.respond(EchoMsg(msg=ctx.peer))
            finally:
                self.down.append(time.time())


async def who_leads(client: Client) -> str:
    return (await client.request("leader", EchoMsg(msg="who: "), reply=EchoMsg)).msg


@pytest.mark.parametrize("end", ["killed", "stopped"])
async def test_python_takes_over_from_a_go_leader(mixed: Grid, client: Client, end: str) -> None:
    server = mixed.server()
    log = LeaderLog(server)
    async with mixed.go_peer("-leader") as program, client.watch(Kind.ACTOR) as events:
        await program.event("leader up")
        held = await anext(events)
        async with server:
            await wait_until(lambda: has(client, Kind.MAILBOX, "leader"), "the leader's mailbox")
            assert await who_leads(client) == held.entity.peer
            assert not log.up

            if end == "killed":
                ended = time.time()
                await program.kill()
            else:
                await program.ask("stop")
                ended = (await program.event("leader down"))["at"]
            await wait_until(lambda: log.up, "Python to lead", timeout=LEASE + 2)
            took = log.up[0] - ended
            print(f"Go leader {end}; Python led {took:.3f} s later")
            assert 0 < took < (LEASE + 1 if end == "killed" else 1)
            assert await who_leads(client) == server.name
            lost, found = await anext(events), await anext(events)
            assert isinstance(found, EntityFound)
            assert found.entity.peer == server.name
    assert (held, lost) == (EntityFound(held.entity), EntityLost(held.entity))
    assert found.entity.epoch > held.entity.epoch


async def test_python_leads_while_go_is_ready_to(mixed: Grid, client: Client) -> None:
    server = mixed.server()
    log = LeaderLog(server)
    async with server:
        await wait_until(lambda: log.up, "Python to lead")
        async with mixed.go_peer("-leader") as program:
            await program.event("started")
            # A Go peer tries for the first time after 1 s.
            (held,) = await client.query(Kind.ACTOR)
            await asyncio.sleep(2.5)
            assert await client.query(Kind.ACTOR) == [held]
            assert await who_leads(client) == server.name
            assert "leader up" not in [one["event"] for one in program.events]
            await program.ask("stop")
    assert len(log.up) == 1


@slow
async def test_go_takes_over_from_a_python_leader(mixed: Grid, client: Client) -> None:
    async with python_peer(mixed, "--lead") as leading:
        await leading.event("leader up")
        async with mixed.go_peer("-leader") as program:
            await program.event("started")
            await asyncio.sleep(1.5)  # its first try
            began = time.time()
            await leading.kill()
            up = await program.event("leader up", timeout=45)
            print(f"Python leader killed; Go led {up['at'] - began:.2f} s later")
            name = (await program.event("started"))["name"]
            await wait_until(lambda: has(client, Kind.MAILBOX, "leader"), "the leader's mailbox")
            assert await who_leads(client) == name
            await program.ask("stop")


# -- the address lock --------------------------------------------------------------


async def lock_lease(mixed: Grid, address: str) -> int:
    """The lease that holds an address; 0 if it is free."""
    async with EtcdClient(EtcdConfig.parse(mixed.etcd)) as etcd:
        stored = await etcd.get(address_lock_key(address))
        return 0 if stored is None else stored.lease


async def test_python_waits_for_the_address_of_a_crashed_go_peer(
    mixed: Grid, client: Client
) -> None:
    address = f"127.0.0.1:{free_ports(1)[0]}"
    async with mixed.go_peer("-listen", address) as program:
        await program.event("started")
        old = await lock_lease(mixed, address)
        began = time.time()
        await program.kill()
    server = mixed.server(listen=address)
    async with server:
        waited = time.time() - began
        print(f"Go peer killed; Python had its address {waited:.2f} s later")
        assert LEASE / 2 < waited < LEASE + 2
        assert server.address == address
        assert await lock_lease(mixed, address) not in (0, old)
        assert old not in [one.lease for one in await client.query(Kind.MAILBOX)]


async def test_go_waits_for_the_address_of_a_crashed_python_peer(
    mixed: Grid, client: Client
) -> None:
    # A Go peer does not keep its lease alive while it waits, and fails if the old
    # one lasts longer; so the Python peer's is shorter here.
    address = f"127.0.0.1:{free_ports(1)[0]}"
    async with python_peer(mixed, "--lease=5", "--listen", address) as crashing:
        await crashing.event("started")
        old = await lock_lease(mixed, address)
        began = time.time()
        await crashing.kill()
    async with mixed.go_peer("-listen", address) as program:
        await program.event("listening")
        started = await program.event("started", timeout=LEASE + 5)
        waited = started["at"] - began
        print(f"Python peer killed; Go had its address {waited:.2f} s later")
        assert 5 / 2 < waited < 5 + 3
        assert await lock_lease(mixed, address) not in (0, old)
        await wait_until(lambda: has(client, Kind.MAILBOX, started["name"]), "the Go peer")
        assert old not in [one.lease for one in await client.query(Kind.MAILBOX)]


async def test_a_peer_that_stops_leaves_its_address_at_once(mixed: Grid, client: Client) -> None:
    address = f"127.0.0.1:{free_ports(1)[0]}"
    async with mixed.go_peer("-listen", address) as program:
        await program.event("started")
        await program.ask("stop")
        assert await program.ended() == 0
    assert await lock_lease(mixed, address) == 0
    began = time.time()
    async with mixed.server(listen=address):
        assert time.time() - began < 4
    assert await lock_lease(mixed, address) == 0
    began = time.time()
    async with mixed.go_peer("-listen", address) as program:
        assert (await program.event("started"))["at"] - began < 4
        await program.ask("stop")
        assert await program.ended() == 0
    assert await client.query(Kind.PEER) == []
