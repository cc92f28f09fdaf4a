"""Processes of one host talk over a unix socket that nobody else can use."""

import asyncio
import os
import shutil
import signal
import socket
import stat
import sys
import tempfile
import time
from asyncio.subprocess import PIPE
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import grid
from grid.deadline import Deadline, now
from grid.embedded import Etcd
from grid.errors import OutcomeUnknown
from grid.testing import wait_until
from grid.transport import _socket_wire, unix_paths
from grid.transport._socket_wire import SocketWire
from grid.transport.link import Link
from grid.transport.settings import SessionSettings
from grid.transport.transport import Destination
from grid.wire_pb2 import EchoMsg

_PEER = """
import sys, grid
server = grid.Server(sys.argv[1], etcd=sys.argv[2], lease=2)

@server.actor("echo", mailbox=64)
async def echo(ctx):
    async for request in ctx.mailbox:
        request.respond(request.message)

server.run()
"""


_HOLDING_PEER = """
import sys, grid
server = grid.Server(sys.argv[1], etcd=sys.argv[2], lease=60)

@server.actor("hold", mailbox=64)
async def hold(ctx):
    held = [request async for request in ctx.mailbox]

server.run()
"""


async def _serve_echo(server: grid.Server) -> None:
    async def echo(ctx: grid.ActorContext) -> None:
        assert ctx.mailbox is not None
        async for request in ctx.mailbox:
            request.respond(request.message)

    server.define("echo", lambda _: echo, mailbox=64)
    await server.start()


def socket_of(server: grid.Server) -> str:
    assert server._lifecycle is not None
    return server._lifecycle.peer._socket.partition(":")[2]


def sockets_of(process: int) -> str:
    return Path(f"/proc/{process}/net/unix").read_text()


def children_of(process: int) -> list[int]:
    return [
        int(one) for one in Path(f"/proc/{process}/task/{process}/children").read_text().split()
    ]


def sockets_in(folder: Path, pattern: str = "*.sock") -> list[Path]:
    return list(folder.glob(pattern))


def status_of(path: Path) -> os.stat_result:
    return path.stat()


def links(client: grid.Client) -> list[Link]:
    """The sessions of a client."""
    return [link for pool in client._transport.pools for link in pool.links]


def addresses(client: grid.Client) -> set[str]:
    """Where the sessions of a client go."""
    return {
        "unix socket" if type(link._wire).__name__ == "SocketWire" else "tcp"
        for pool in client._transport.pools
        for link in pool.links
    }


@pytest.fixture(autouse=True)
def _no_short_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("grid.client.router.local_dispatcher", lambda _: None)


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of the sockets of this test alone; a path in pytest's own would be too long."""
    with tempfile.TemporaryDirectory(dir="/tmp") as made:
        monkeypatch.setattr(tempfile, "tempdir", made)
        monkeypatch.setenv("TMPDIR", made)  # of processes that are started
        yield Path(made) / f"grid-{os.getuid()}"


async def test_a_process_of_the_host_uses_it_and_it_goes_with_its_peer(
    grid_client: grid.Client, grid_etcd: Etcd, grid_namespace: str, folder: Path
) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _PEER, grid_namespace, grid_etcd.endpoint, stderr=PIPE
    )

    async def there() -> bool:
        return len(await grid_client.query("peer")) == 1

    await wait_until(there, "the peer is there", timeout=20)
    (path,) = sockets_in(folder)
    await grid_client.start_actor("echo")
    assert await grid_client.request("echo", EchoMsg(msg="hi")) == EchoMsg(msg="hi")
    assert addresses(grid_client) == {"unix socket"}
    assert str(path) in sockets_of(process.pid)
    found = status_of(folder)
    assert (found.st_uid, stat.S_IMODE(found.st_mode)) == (os.getuid(), 0o700)
    process.terminate()
    await process.communicate()
    assert not path.exists()
    assert not sockets_in(folder.parent, "*")


async def test_a_peer_that_starts_while_the_last_other_one_stops_has_a_socket(
    folder: Path,
) -> None:
    wires: list[SocketWire] = []
    path = unix_paths.new_socket_path()
    assert path is not None
    os.rmdir(folder)  # noqa: PTH106 - as the other one does
    listening = _socket_wire.SocketServer(path, wires.append)
    await listening.start()
    assert stat.S_IMODE(status_of(folder).st_mode) == 0o700
    wires.append(await _socket_wire.connect(path))
    await wait_until(lambda: len(wires) == 2, "it is accepted")
    for wire in wires:
        await wire.close()
    listening.stop()
    assert not sockets_in(folder.parent, "*")


async def test_a_process_that_cannot_be_seen_is_not_asked_over_it(
    grid_servers: Callable[..., grid.Server],
    grid_client: grid.Client,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_socket_wire, "_peer", lambda _: (0, os.getuid()))
    await _serve_echo(grid_servers())
    await grid_client.start_actor("echo")
    assert await grid_client.request("echo", EchoMsg(msg="hi")) == EchoMsg(msg="hi")
    assert addresses(grid_client) == {"tcp"}


async def test_a_frozen_peer_in_another_container_is_noticed(
    grid_client: grid.Client, grid_etcd: Etcd, grid_namespace: str, folder: Path
) -> None:
    """The other container is a process with process numbers of its own, and the same `/tmp`."""
    words = ("unshare", "--pid", "--fork", "--kill-child")
    trial = await asyncio.create_subprocess_exec(*words, "true", stderr=PIPE)
    await trial.communicate()
    if trial.returncode:
        pytest.skip("this user may not make a namespace of processes")
    container = await asyncio.create_subprocess_exec(
        *words, sys.executable, "-c", _HOLDING_PEER, grid_namespace, grid_etcd.endpoint
    )
    try:

        async def there() -> bool:
            return len(await grid_client.query("peer")) == 1

        await wait_until(there, "the peer is there", timeout=20)
        assert sockets_in(folder)
        await grid_client.start_actor("hold")
        asking = asyncio.create_task(grid_client.request("hold", EchoMsg(), timeout=60))
        await wait_until(lambda: bool(links(grid_client)), "it is connected")
        (link,) = links(grid_client)
        await wait_until(lambda: link.session.in_flight == 1, "it is under way")
        assert addresses(grid_client) == {"tcp"}
        (peer,) = children_of(container.pid)
        os.kill(peer, signal.SIGSTOP)
        stopped = time.monotonic()
        with pytest.raises(OutcomeUnknown):
            await asking
        assert time.monotonic() - stopped < 10
    finally:
        container.kill()
        await container.wait()


async def test_a_killed_peers_file_harms_nobody(
    grid_client: grid.Client, grid_etcd: Etcd, grid_namespace: str, folder: Path
) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _PEER, grid_namespace, grid_etcd.endpoint, stderr=PIPE
    )

    async def there() -> bool:
        return len(await grid_client.query("peer")) == 1

    await wait_until(there, "the peer is there", timeout=20)
    (path,) = sockets_in(folder)
    await grid_client.start_actor("echo")
    await grid_client.request("echo", EchoMsg())
    process.kill()
    await process.communicate()
    assert path.exists()
    with pytest.raises(grid.GridError):
        await grid_client.request("echo", EchoMsg(), timeout=1)
    os.utime(path, (0, 0))  # it has lain there for long
    assert unix_paths.new_socket_path() is not None
    assert not path.exists()


_FORKING_PEER = """
import ctypes, os, sys, grid
server = grid.Server(sys.argv[1], etcd=sys.argv[2], lease=60)
libc = ctypes.CDLL(None)
held = []

@server.actor("forker", mailbox=64)
async def forker(ctx):
    async for request in ctx.mailbox:
        if request.message.msg == "fork":
            child = libc.fork()  # which runs no hook of Python in the child
            if not child:
                libc.sleep(60)
                libc._exit(0)
            request.respond(grid.EchoMsg(msg=str(child)))
        else:
            held.append(request)

server.run()
"""


async def test_a_killed_peer_is_noticed_at_once_though_its_child_lives(
    grid_client: grid.Client, grid_etcd: Etcd, grid_namespace: str
) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _FORKING_PEER, grid_namespace, grid_etcd.endpoint
    )
    child = 0
    try:

        async def there() -> bool:
            return len(await grid_client.query("peer")) == 1

        await wait_until(there, "the peer is there", timeout=20)
        await grid_client.start_actor("forker")
        reply = await grid_client.request("forker", EchoMsg(msg="fork"), reply=EchoMsg)
        child = int(reply.msg)
        asking = asyncio.create_task(grid_client.request("forker", EchoMsg(), timeout=25))
        (link,) = [link for pool in grid_client._transport.pools for link in pool.links]
        await wait_until(lambda: link.session.sent.deliveries == 3, "it is under way")
        process.kill()
        killed = time.monotonic()
        with pytest.raises(OutcomeUnknown):
            await asking
        assert time.monotonic() - killed < 10
    finally:
        if child:
            os.kill(child, signal.SIGKILL)
        if process.returncode is None:
            process.kill()
        await process.wait()


async def test_the_end_of_a_process_ends_its_session_though_the_connection_stays(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    process = await asyncio.create_subprocess_exec("sleep", "60")
    monkeypatch.setattr(_socket_wire, "_peer", lambda _: (process.pid, os.getuid()))
    ours, theirs = socket.socketpair()
    wire = SocketWire()
    await asyncio.get_running_loop().connect_accepted_socket(lambda: wire, ours)
    link = Link(wire, dialled=True, settings=SessionSettings())
    running = asyncio.create_task(link.run())
    token = asyncio.get_running_loop().create_future()
    link.send(token, "m", 0, "grid.EchoMsg", b"", None, now() + 25, 25_000)
    process.kill()
    with pytest.raises(OutcomeUnknown):
        await asyncio.wait_for(token, 5)
    assert await running == "the other side's process has ended"
    await process.wait()
    theirs.close()


async def test_frames_that_a_process_wrote_before_its_end_are_taken() -> None:
    ours, theirs = socket.socketpair()
    theirs.sendall(b"the last frames")
    wire = SocketWire()
    loop = asyncio.get_running_loop()
    await loop.connect_accepted_socket(lambda: wire, ours)
    wire._process_ended()
    assert await asyncio.wait_for(wire._closed, 5) == "the other side's process has ended"
    assert b"".join(wire._early) == b"the last frames"
    await wire.close()
    theirs.close()


async def test_a_socket_in_use_is_not_taken_for_a_leftover(
    grid_servers: Callable[..., grid.Server],
) -> None:
    server = grid_servers()
    await server.start()
    path = socket_of(server)
    os.utime(path, (0, 0))
    unix_paths.new_socket_path()
    assert unix_paths.reachable_socket(unix_paths.socket_name(path)) == path


async def test_a_stale_path_leads_to_the_port(
    grid_servers: Callable[..., grid.Server], grid_client: grid.Client, tmp_path: Path
) -> None:
    server = grid_servers()
    await _serve_echo(server)
    await grid_client.start_actor("echo")
    os.unlink(socket_of(server))  # noqa: PTH108
    await grid_client.request("echo", EchoMsg(), timeout=3)
    # Neither a path without a socket nor one that nobody listens on.
    stale = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as nobody:
        nobody.bind(str(stale))
    for path in (tmp_path / "none", stale):
        async with grid.Client(server.config.namespace, etcd=server.config.etcd) as client:
            to = Destination(server.address, str(path), True)
            link = await client._transport._link(to, Deadline.after(5))
            assert link is not None
            assert addresses(client) == {"tcp"}


@pytest.mark.parametrize("options", [{"unix_socket": False}, {"advertise": "127.0.0.1"}])
async def test_it_is_not_used_where_it_is_not_wanted(
    grid_servers: Callable[..., grid.Server], grid_client: grid.Client, options: dict[str, object]
) -> None:
    server = grid_servers(**options)
    await _serve_echo(server)
    assert socket_of(server) == ""
    await grid_client.start_actor("echo")
    await grid_client.request("echo", EchoMsg())
    assert addresses(grid_client) == {"tcp"}


async def test_a_folder_that_others_can_enter_is_not_used(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    short = Path(tempfile.mkdtemp())  # paths of sockets have some 100 bytes
    request.addfinalizer(lambda: shutil.rmtree(short))
    monkeypatch.setattr(tempfile, "tempdir", str(short))
    folder = short / f"grid-{os.getuid()}"
    folder.mkdir(mode=0o755)
    folder.chmod(0o755)
    assert unix_paths.new_socket_path() is None
    folder.chmod(0o700)
    assert unix_paths.new_socket_path() is not None
    elsewhere = short / "elsewhere"
    folder.rename(elsewhere)
    folder.symlink_to(elsewhere)
    assert unix_paths.new_socket_path() is None


async def test_a_peer_that_cannot_have_a_socket_serves_without(
    grid_servers: Callable[..., grid.Server],
    grid_client: grid.Client,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setattr(
        "grid.server.config.new_socket_path",
        lambda **_: str(tmp_path / "no" / "such.sock"),
    )
    await _serve_echo(grid_servers())
    await grid_client.start_actor("echo")
    await grid_client.request("echo", EchoMsg())
    assert addresses(grid_client) == {"tcp"}


def test_a_socket_of_another_host_is_not_reachable(tmp_path: Path) -> None:
    path = tmp_path / "s"
    path.touch()
    assert unix_paths.reachable_socket(unix_paths.socket_name(str(path))) == str(path)
    assert unix_paths.reachable_socket(f"otherhost:{path}") == ""
    assert unix_paths.reachable_socket(unix_paths.socket_name(str(tmp_path / "none"))) == ""
    assert unix_paths.reachable_socket("") == ""
