"""TLS between peers and clients: what it carries, and each way in which it is refused."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

import grid
from grid.embedded import Etcd
from grid.embedded.ports import free_ports
from grid.errors import (
    ClientNotTrusted,
    PeerNotTrusted,
    TlsNotOffered,
    TlsRequired,
)
from grid.testing import FaultProxy, wait_until
from tests.grid.echo_kit import go_over_the_wire
from tests.grid.tls_kit import SOON, WIRES, Authority, Start, ask, refusal


@pytest.fixture(autouse=True)
def other_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reach peers of this process as those of others."""
    go_over_the_wire("session", monkeypatch)


# -- what it carries ------------------------------------------------------------------


@WIRES
async def test_requests_and_health_with_certificates_of_both_sides(
    start: Start, authority: Authority, wire: str
) -> None:
    peer = await start(authority.tls("peer"), wire)
    async with peer.client(tls=authority.tls("client")) as client:
        assert await ask(client) == "hello"
        long = "x" * 3_000_000
        assert await ask(client, long) == long
        await client.tell("echo", grid.EchoMsg(msg="told"))
        await wait_until(lambda: "told" in [text for text, _ in peer.seen], "the tell to arrive")
        await client.wait_until_serving(peer.server.name)
        assert await client.check(peer.server.name) == "SERVING"


async def test_a_stream(start: Start, authority: Authority) -> None:
    peer = await start(authority.tls("peer"))
    async with (
        peer.client(tls=authority.tls("client")) as client,
        client.stream("echo", grid.EchoMsg()) as stream,
    ):
        for number in range(100):
            await stream.send(grid.EchoMsg(msg=str(number)))
        received = [await stream.receive() for _ in range(100)]
        assert received == [grid.EchoMsg(msg=str(number)) for number in range(100)]


async def test_actors_a_broadcast_and_the_clients_of_peers(
    grid_servers: Callable[..., grid.Server],
    grid_etcd: Etcd,
    grid_namespace: str,
    authority: Authority,
) -> None:
    async def echo(ctx: grid.ActorContext) -> None:
        async for request in ctx.mailbox:
            request.respond(request.message)

    peers = [grid_servers(tls=authority.tls("peer"), unix_socket=False) for _ in range(3)]
    for one in peers:
        one.define("echo", lambda _: echo, mailbox=4)
        await one.start()
    tls = authority.tls("client")
    async with grid.Client(grid_namespace, etcd=grid_etcd.endpoint, tls=tls) as client:
        names = [f"echo-{number}" for number in range(3)]
        for name, one in zip(names, peers, strict=True):
            await client.start_actor("echo", name=name, peer=one.name)
        result = await client.broadcast(grid.Group(*names), grid.EchoMsg(msg="all"))
        assert result.successes == dict.fromkeys(names, grid.EchoMsg(msg="all"))
    assert await ask(peers[0].client, "there", to="echo-2") == "there"


async def test_a_session_that_was_cut_is_made_again(start: Start, authority: Authority) -> None:
    listen = f"127.0.0.1:{free_ports(1)[0]}"
    async with FaultProxy(listen) as proxy:
        peer = await start(authority.tls("peer"), listen=listen, advertise=proxy.endpoint)
        async with peer.client(tls=authority.tls("client")) as client:
            assert await ask(client, "before") == "before"
            proxy.cut()
            proxy.heal()
            pools = client.statistics
            await wait_until(
                lambda: not pools().pools[peer.server.address].sessions, "the session to end"
            )
            assert await ask(client, "after") == "after"
            assert pools().pools[peer.server.address].dials >= 2


async def test_the_blocking_client(start: Start, authority: Authority) -> None:
    peer = await start(authority.tls("peer"))
    tls = authority.tls("client")

    def use() -> str:
        with grid.sync.Client(peer.namespace, etcd=peer.etcd, tls=tls) as client:
            return client.request("echo", grid.EchoMsg(msg="hello"), reply=grid.EchoMsg).msg

    assert await asyncio.to_thread(use) == "hello"


async def test_clients_without_a_certificate_where_none_is_asked_for(
    start: Start, authority: Authority
) -> None:
    peer = await start(authority.tls("peer", require_client_certificate=False))
    async with peer.client(tls=grid.TLS(ca=authority.ca)) as client:
        assert await ask(client) == "hello"


async def test_a_certificate_of_another_name(start: Start, authority: Authority) -> None:
    peer = await start(authority.tls("peer", "peers.shop.example"))
    tls = authority.tls("client", server_name="peers.shop.example")
    async with peer.client(tls=tls) as client:
        assert await ask(client) == "hello"


# -- what is refused -------------------------------------------------------------------


async def test_a_client_without_tls(start: Start, authority: Authority) -> None:
    peer = await start(authority.tls("peer"))
    error = await refusal(peer, None)
    assert isinstance(error, TlsRequired)
    assert "give this client tls=" in str(error)


async def test_a_peer_without_tls(start: Start, authority: Authority) -> None:
    peer = await start(None)
    error = await refusal(peer, authority.tls("client"))
    assert isinstance(error, TlsNotOffered)
    assert "start the peer with tls" in str(error)


async def test_a_peer_without_tls_is_spoken_to_if_that_is_allowed(
    start: Start, authority: Authority
) -> None:
    peer = await start(None)
    async with peer.client(tls=authority.tls("client", allow_cleartext=True)) as client:
        assert await ask(client) == "hello"
        assert await client.check(peer.server.name) == "SERVING"


@WIRES
async def test_a_peer_of_an_unknown_authority(
    start: Start, authority: Authority, tmp_path: Path, wire: str
) -> None:
    peer = await start(authority.tls("peer"), wire)
    error = await refusal(peer, Authority(tmp_path / "other").tls("client"))
    assert isinstance(error, PeerNotTrusted)
    assert "not signed by an authority of" in error.reason


@WIRES
async def test_a_peer_whose_certificate_has_expired(
    start: Start, authority: Authority, wire: str
) -> None:
    peer = await start(authority.tls("peer", expired=True), wire)
    error = await refusal(peer, authority.tls("client"))
    assert isinstance(error, PeerNotTrusted)
    assert error.reason == "its certificate has expired"
    assert "on the peer" in error.fix


@WIRES
@pytest.mark.parametrize("name", [None, "peers.shop.example"])
async def test_a_peer_with_the_certificate_of_another_host(
    start: Start, authority: Authority, wire: str, name: str | None
) -> None:
    peer = await start(authority.tls("peer", "elsewhere.example"), wire)
    error = await refusal(peer, authority.tls("client", server_name=name))
    assert isinstance(error, PeerNotTrusted)
    assert f"not valid for '{name or '127.0.0.1'}'" in error.reason
    assert "server_name" in error.fix


@WIRES
async def test_a_client_that_misses_a_certificate(
    start: Start, authority: Authority, wire: str
) -> None:
    peer = await start(authority.tls("peer"), wire)
    error = await refusal(peer, grid.TLS(ca=authority.ca))
    assert isinstance(error, ClientNotTrusted)
    assert "give it cert and key" in error.fix


@WIRES
async def test_a_client_whose_certificate_is_not_accepted(
    start: Start, authority: Authority, tmp_path: Path, wire: str
) -> None:
    peer = await start(authority.tls("peer"), wire)
    strange = Authority(tmp_path / "other").tls("client", ca=authority.ca)
    assert isinstance(await refusal(peer, strange), ClientNotTrusted)
    expired = authority.tls("client", expired=True)
    error = await refusal(peer, expired)
    assert isinstance(error, ClientNotTrusted)
    assert str(expired.cert) in error.reason


async def test_a_peer_that_says_that_it_has_tls_and_speaks_none(
    start: Start, authority: Authority
) -> None:
    # Something before it, such as a proxy, may end TLS or pass on to another port.
    peer = await start(None)
    listen = f"127.0.0.1:{free_ports(1)[0]}"
    async with FaultProxy(peer.server.address) as proxy:
        secure = peer.make_server(
            tls=authority.tls("peer"), unix_socket=False, listen=listen, advertise=proxy.endpoint
        )
        await secure.start()
        async with peer.client(tls=authority.tls("client")) as client, asyncio.timeout(SOON):
            with pytest.raises(TlsNotOffered):
                await client.check(secure.name, timeout=60)
