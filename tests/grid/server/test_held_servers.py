"""Servers and clients that are over, and that a variable still holds."""

import gc
from collections.abc import Callable
from pathlib import Path

import pytest

import grid
from grid.embedded import Etcd
from grid.errors import UnregisteredMailbox
from grid.testing import wait_until
from grid.wire_pb2 import EchoMsg

_FILES = Path("/proc/self/fd")
needs_proc = pytest.mark.skipif(not _FILES.exists(), reason="sockets are counted in /proc")


def sockets() -> set[str]:
    """The sockets of this process."""
    found = set()
    for one in _FILES.iterdir():
        try:
            target = one.readlink().name
        except OSError:
            continue  # that of the listing itself
        if target.startswith("socket:"):
            found.add(target)
    return found


async def are_gone(before: set[str]) -> None:
    """Wait until no socket is left that was not there before."""

    def none_left() -> bool:
        gc.collect()
        return not sockets() - before

    await wait_until(none_left, "the connections are closed", timeout=20)


@needs_proc
async def test_a_stopped_server_holds_no_connection(
    grid_servers: Callable[..., grid.Server],
) -> None:
    server = grid_servers()
    before = sockets()
    await server.start()
    await server.stop()
    await are_gone(before)


@needs_proc
async def test_a_closed_client_holds_no_connection(grid_etcd: Etcd, grid_namespace: str) -> None:
    before = sockets()
    client = grid.Client(grid_namespace, etcd=grid_etcd.endpoint)
    assert await client.query(grid.Kind.PEER) == []
    with pytest.raises(UnregisteredMailbox):
        await client.tell("nowhere", EchoMsg(msg="hi"))
    await client.close()
    await are_gone(before)
