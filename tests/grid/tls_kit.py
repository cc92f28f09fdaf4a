"""Certificates of an authority of the test's own, TLS made of them, and what it comes to."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import trustme

import grid
from grid.errors import SecurityError
from tests.grid.echo_kit import EchoGrid

__all__ = ["SOON", "WIRES", "Authority", "Start", "ask", "refusal"]

SOON = 10.0  # seconds: far less than a request has, since such an error comes at once

WIRES = pytest.mark.parametrize("wire", ["session", "unary"])
Start = Callable[..., Awaitable[EchoGrid]]


class Authority:
    """An authority, and the PEM files of what it issues."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        self.folder = folder
        self._ca = trustme.CA(key_type=trustme.KeyType.ECDSA)
        self.ca = folder / "ca.pem"
        self._ca.cert_pem.write_to_path(self.ca)

    def issue(self, name: str, *hosts: str, expired: bool = False) -> tuple[Path, Path]:
        """A certificate for hosts, by default for 127.0.0.1 and localhost, and its key."""
        dates: dict[str, Any] = {}
        if expired:
            dates["not_after"] = dt.datetime.now(dt.UTC) - dt.timedelta(days=1)
        issued = self._ca.issue_cert(*(hosts or ("127.0.0.1", "localhost")), **dates)
        cert, key = self.folder / f"{name}.pem", self.folder / f"{name}.key"
        issued.private_key_pem.write_to_path(key)
        cert.write_bytes(b"".join(pem.bytes() for pem in issued.cert_chain_pems))
        return cert, key

    def tls(self, name: str, *hosts: str, expired: bool = False, **rules: Any) -> grid.TLS:
        """TLS with a certificate of this authority."""
        cert, key = self.issue(name, *hosts, expired=expired)
        return grid.TLS(**{"ca": self.ca, "cert": cert, "key": key, **rules})


async def ask(client: grid.Client, text: str = "hello", to: str = "echo") -> str:
    message = grid.EchoMsg(msg=text)
    reply = await client.request(to, message, reply=grid.EchoMsg, timeout=60)
    return reply.msg


async def refusal(peer: EchoGrid, tls: grid.TLS | None) -> SecurityError:
    """The error of a client's request, which is that of a health check, too."""
    async with peer.client(tls=tls) as client:
        async with asyncio.timeout(SOON):
            with pytest.raises(SecurityError) as caught:
                await ask(client)
            with pytest.raises(type(caught.value)):
                await client.check(peer.server.name, timeout=60)
            with pytest.raises(type(caught.value)):
                await client.wait_until_serving(peer.server.name, timeout=60)
    assert not caught.value.retryable
    assert caught.value.address == peer.server.address
    assert not peer.seen
    return caught.value
