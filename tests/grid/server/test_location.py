"""The address that a peer gives out, when it moves and when it leads nowhere."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

import pytest

import grid
from grid.errors import EtcdUnavailable, InvalidAddress, UnspecifiedAddress
from grid.etcd import EtcdConfig
from grid.server import location
from grid.testing import wait_until
from grid.transport.addresses import advertised_address
from tests.grid.server.lease_kit import lease

__all__ = ["lease"]

Servers = Callable[..., grid.Server]


async def echo(ctx: grid.ActorContext) -> None:
    async for request in ctx.mailbox:
        request.respond(request.message)


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Say which address this machine has on the way to etcd."""
    found = ["127.0.0.1"]

    def moved(listen: str, advertise: str | None, port: int, *etcd: str) -> str:
        if not found[-1]:
            raise EtcdUnavailable("no way")
        return advertised_address(listen, found[-1], port, *etcd)

    monkeypatch.setattr(location, "advertised_address", moved)
    return found.append


async def test_a_peer_that_moves_joins_again_under_its_new_address(
    host: Callable[[str], None], grid_servers: Servers, grid_client: grid.Client
) -> None:
    server = grid_servers(listen="0.0.0.0:0", advertise="auto", unix_socket=False)
    server.define("leader", lambda _: echo, mailbox=4)
    await server.start()
    port = server.address.rpartition(":")[2]
    assert server.address == f"127.0.0.1:{port}"
    host("")  # the name of etcd is away, which is no reason to move
    host("127.0.0.2")

    async def addresses() -> set[str]:
        peers = await grid_client.query("peer")
        return {f"{one.name} {one.address}" for one in peers}

    async def moved() -> bool:
        return await addresses() == {f"127-0-0-2-{port} 127.0.0.2:{port}"}

    await wait_until(moved, "the peer to join under its new address")

    async def leads() -> bool:
        return [one.address for one in await grid_client.query("actor")] == [server.address]

    await wait_until(leads, "the leader at the new address")
    reply = await grid_client.request("leader", grid.EchoMsg(msg="hello"), reply=grid.EchoMsg)
    assert reply.msg == "hello"


async def test_a_peer_with_a_name_of_its_own_keeps_it(
    host: Callable[[str], None], grid_servers: Servers, grid_client: grid.Client
) -> None:
    server = grid_servers(listen="0.0.0.0:0", advertise="auto", name="one")
    await server.start()
    host("127.0.0.2")

    async def moved() -> bool:
        peers = await grid_client.query("peer")
        return [one.name for one in peers if one.address.startswith("127.0.0.2:")] == ["one"]

    await wait_until(moved, "the peer to join under its new address")


async def test_a_start_waits_for_the_name_of_etcd(
    host: Callable[[str], None], grid_servers: Servers
) -> None:
    host("")
    server = grid_servers(listen="0.0.0.0:0", advertise="auto")
    starting = asyncio.create_task(server.start())
    await asyncio.sleep(0.1)  # how long it is away, not a wait for something
    host("127.0.0.1")
    await starting
    assert server.address.startswith("127.0.0.1:")


async def test_a_name_of_etcd_that_stays_away_is_no_wrong_usage() -> None:
    config = EtcdConfig(("absent.invalid:2379",), timeout=1.2)
    server = grid.Server("t", etcd=config, listen="0.0.0.0:0", advertise="auto")
    began = time.monotonic()
    with pytest.raises(EtcdUnavailable, match=r"absent\.invalid"):
        await server.start()
    assert time.monotonic() - began > 0.4


@pytest.mark.parametrize(
    ("advertise", "error"), [("auto:x", InvalidAddress), (None, UnspecifiedAddress)]
)
async def test_wrong_addresses_are_refused_without_a_look_at_etcd(
    advertise: str | None, error: type[Exception]
) -> None:
    server = grid.Server("t", etcd="absent.invalid:1", listen="0.0.0.0:0", advertise=advertise)
    with pytest.raises(error):
        await server.start()


async def test_a_peer_that_does_not_reach_itself_says_so(
    grid_servers: Servers, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        await grid_servers(advertise="127.0.0.1:1").start()
        await wait_until(lambda: "correct its --advertise" in caplog.text, "the warning")
    assert "127.0.0.1:1" in caplog.text


async def test_a_peer_that_reaches_itself_says_nothing(
    grid_servers: Servers, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        server = grid_servers(advertise="127.0.0.1")
        await server.start()
        await wait_until(
            lambda: not [one for one in asyncio.all_tasks() if one.get_name() == "location"],
            "the check",
        )
    assert not caplog.records
