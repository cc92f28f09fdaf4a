"""A peer with TLS, and the authority of its certificates."""

from pathlib import Path
from typing import Any

import pytest

import grid
from tests.grid.echo_kit import EchoGrid
from tests.grid.tls_kit import Authority, Start


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "authority")


@pytest.fixture
def start(peer: EchoGrid) -> Start:
    """Starts the peer without a unix socket, which would do without TLS."""

    async def start(tls: grid.TLS | None, wire: str = "session", **options: Any) -> EchoGrid:
        await peer.start(wire, tls=tls, unix_socket=False, **options)
        return peer

    return start
