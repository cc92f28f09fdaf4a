"""Tokens, files and sockets of TLS: what stands in for certificates, and how they are renewed."""

import asyncio
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import grid
from grid.errors import (
    InvalidArgument,
    PeerNotTrusted,
    SecurityError,
    TlsRequired,
    TokenRefused,
)
from tests.grid.echo_kit import EchoGrid, go_over_the_wire
from tests.grid.tls_kit import SOON, WIRES, Authority, Start, ask, refusal

WORD = "open-sesame"


@pytest.fixture(autouse=True)
def other_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reach peers of this process as those of others."""
    go_over_the_wire("session", monkeypatch)


# -- tokens ---------------------------------------------------------------------------


@WIRES
async def test_a_token_in_the_place_of_a_certificate(
    start: Start, authority: Authority, wire: str
) -> None:
    rules: dict[str, Any] = {"require_client_certificate": False, "token": WORD}
    peer = await start(authority.tls("peer", **rules), wire)
    async with peer.client(tls=grid.TLS(ca=authority.ca, token=WORD)) as client:
        assert await ask(client) == "hello"
        assert await client.check(peer.server.name) == "SERVING"
    peer.seen.clear()
    for token, expected in ((None, "this client has none"), ("open", "the token of this client")):
        async with (
            peer.client(tls=grid.TLS(ca=authority.ca, token=token)) as stranger,
            asyncio.timeout(SOON),
        ):
            with pytest.raises(TokenRefused, match=expected) as caught:
                await ask(stranger)
            assert caught.value.address == peer.server.address
            # Probes have no token.
            assert await stranger.check(peer.server.name) == "SERVING"
    assert not peer.seen


def test_a_token_goes_over_tls_only(monkeypatch: pytest.MonkeyPatch, authority: Authority) -> None:
    monkeypatch.setenv("GRID_TOKEN", WORD)
    with pytest.raises(InvalidArgument, match="a token goes over TLS only"):
        grid.Client("any")
    monkeypatch.setenv("GRID_TLS_CA", str(authority.ca))
    tls = grid.Client("any").tls
    assert tls is not None
    assert tls.token == WORD
    assert WORD not in repr(tls)
    with pytest.raises(InvalidArgument) as caught:
        grid.TLS(token=f"{WORD} {WORD}")
    assert WORD not in str(caught.value)


# -- files -----------------------------------------------------------------------------


async def test_renewed_certificates_without_a_restart(start: Start, authority: Authority) -> None:
    tls = authority.tls("peer", expired=True)
    peer = await start(tls)
    mine = authority.tls("client")
    assert isinstance(await refusal(peer, mine), PeerNotTrusted)
    authority.issue("peer")  # into the same files
    async with peer.client(tls=mine) as client:
        assert await ask(client) == "hello"
        # The client's own, and the authority of both, the sessions that there are go on.
        other = Authority(authority.folder.parent / "other")
        for name in ("peer", "client"):
            other.issue(name)
            for end in (".pem", ".key"):
                shutil.copy(other.folder / f"{name}{end}", authority.folder / f"{name}{end}")
        shutil.copy(other.ca, authority.ca)
        assert await ask(client) == "hello"
        peer.seen.clear()
        async with peer.client(tls=mine) as another:
            assert await ask(another) == "hello"


async def test_files_in_the_midst_of_a_renewal(start: Start, authority: Authority) -> None:
    peer = await start(authority.tls("peer"))
    cert, _ = authority.issue("next")
    shutil.copy(cert, authority.folder / "peer.pem")  # its key is still to come
    async with peer.client(tls=authority.tls("client")) as client:
        assert await ask(client) == "hello"


def test_files_that_cannot_be_used(authority: Authority, tmp_path: Path) -> None:
    cert, key = authority.issue("one")
    _, another = authority.issue("two")
    empty = tmp_path / "empty"
    empty.touch()
    cases: tuple[tuple[dict[str, Any], str], ...] = (
        ({"ca": tmp_path / "missing"}, "ca of tls must be a file that can be read"),
        ({"ca": empty}, "ca of tls must be a PEM file of certificates"),
        ({"ca": authority.ca, "cert": cert, "key": another}, "key values mismatch"),
        ({"cert": empty, "key": key}, "cert and key of tls must be PEM files"),
    )
    for files, expected in cases:
        with pytest.raises(InvalidArgument, match=expected):
            grid.Client("any", tls=grid.TLS(**files))
    with pytest.raises(InvalidArgument, match="a cert with its key"):
        grid.TLS(cert=cert)


async def test_what_a_peer_cannot_serve_with(
    grid_servers: Callable[..., grid.Server], authority: Authority
) -> None:
    with pytest.raises(InvalidArgument, match="given its cert and key"):
        await grid_servers(tls=grid.TLS(ca=authority.ca)).start()
    cert, key = authority.issue("peer")
    demanding = grid.TLS(cert=cert, key=key, require_client_certificate=True)
    with pytest.raises(InvalidArgument, match="ca of tls must be given"):
        await grid_servers(tls=demanding).start()


# -- unix sockets ----------------------------------------------------------------------


async def test_processes_of_one_user_use_the_unix_socket(
    peer: EchoGrid, authority: Authority
) -> None:
    await peer.start(tls=authority.tls("peer"))
    async with peer.client(tls=authority.tls("client")) as client:
        assert await ask(client) == "hello"
        assert peer.server.statistics().sessions[0].address == "unix socket"
    # What the client is set to decides, not where it happens to run.
    assert isinstance(await refusal_of(peer, None), TlsRequired)


async def refusal_of(peer: EchoGrid, tls: grid.TLS | None) -> SecurityError:
    async with peer.client(tls=tls) as client:
        with pytest.raises(SecurityError) as caught:
            await ask(client)
    return caught.value


async def test_a_socket_of_another_user_is_not_trusted(
    peer: EchoGrid, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    await peer.start(tls=authority.tls("peer"))
    monkeypatch.setattr("grid.transport._socket_wire._peer", lambda _: (1, 12345))
    async with peer.client(tls=authority.tls("client")) as client:
        assert await ask(client) == "hello"
        assert "unix" not in peer.server.statistics().sessions[0].address


async def test_no_socket_where_the_kernel_does_not_tell_the_user(
    peer: EchoGrid, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr("socket.SO_PEERCRED")
    await peer.start(tls=authority.tls("peer"))
    async with peer.client(tls=authority.tls("client")) as client:
        assert await ask(client) == "hello"
        assert "unix" not in peer.server.statistics().sessions[0].address
