"""Servers as whole processes: their ends, their threads, and actors that try to end them."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Awaitable, Callable
from types import SimpleNamespace

import pytest

import grid
from grid.embedded import Etcd
from grid.errors import CannotRunHere, FactoryFailed
from grid.testing import wait_until
from grid.wire_pb2 import EchoMsg

Spawn = Callable[..., Awaitable[Process]]

_PEER = """
import asyncio, sys, threading, time, grid
server = grid.Server(sys.argv[1], etcd=sys.argv[2], lease=2.0, drain_timeout=30.0)

@server.actor("exits")
async def exits(ctx):
    sys.exit(3)

@server.actor("interrupts")
async def interrupts(ctx):
    raise KeyboardInterrupt

@server.actor("exits_in_a_thread")
def exits_in_a_thread(ctx):
    sys.exit(3)

@server.actor("exits_in_a_task")
async def exits_in_a_task(ctx):
    async def leave():
        sys.exit(3)
    task = asyncio.create_task(leave())
    await ctx.stopping.wait()

@server.actor("exits_in_a_callback")
async def exits_in_a_callback(ctx):
    asyncio.get_running_loop().call_soon(sys.exit, 3)
    await ctx.stopping.wait()

def factory(data):
    sys.exit(3)

server.define("factory", factory)

@server.actor("stubborn")
async def stubborn(ctx):
    while True:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            pass

@server.actor("stubborn_thread")
def stubborn_thread(ctx):
    while True:
        time.sleep(60)

server.run()
"""


@pytest.fixture
async def spawn(
    grid_etcd: Etcd, grid_namespace: str, grid_client: grid.Client
) -> AsyncIterator[Spawn]:
    """Starts a peer as a process."""
    processes: list[Process] = []

    async def spawn() -> Process:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", _PEER, grid_namespace, grid_etcd.endpoint), stderr=PIPE
        )
        processes.append(process)

        async def there() -> bool:
            return bool(await grid_client.query("peer"))

        await wait_until(there, "the peer is there", timeout=20)
        return process

    yield spawn
    for process in processes:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.communicate()


@pytest.mark.parametrize(
    "type", ["exits", "interrupts", "exits_in_a_thread", "exits_in_a_task", "exits_in_a_callback"]
)
async def test_an_actor_that_exits_ends_itself_only(
    spawn: Spawn,
    grid_client: grid.Client,
    type: str,  # noqa: A002
) -> None:
    process = await spawn()
    await grid_client.start_actor(type)
    if "task" in type or "callback" in type:
        await grid_client.stop_actor(type)

    async def freed() -> bool:
        return not await grid_client.query("actor")

    await wait_until(freed, "its name is free")
    with pytest.raises(FactoryFailed, match="SystemExit: 3"):
        await grid_client.start_actor("factory")
    assert not await grid_client.query("actor")
    assert process.returncode is None
    process.send_signal(signal.SIGTERM)
    _, log = await asyncio.wait_for(process.communicate(), 10)
    assert process.returncode == 0
    assert (b"KeyboardInterrupt" if type == "interrupts" else b"SystemExit(3)") in log


@pytest.mark.parametrize("type", ["stubborn", "stubborn_thread"])
async def test_a_second_signal_ends_a_peer_whatever_its_actors_do(
    spawn: Spawn,
    grid_client: grid.Client,
    type: str,  # noqa: A002
) -> None:
    process = await spawn()
    await grid_client.start_actor(type)
    (peer,) = await grid_client.query("peer")
    process.send_signal(signal.SIGTERM)

    async def drains() -> bool:
        return await grid_client.check(peer.name) == "NOT_SERVING"

    await wait_until(drains, "it drains")
    began = asyncio.get_running_loop().time()
    process.send_signal(signal.SIGTERM)
    await asyncio.wait_for(process.communicate(), 10)
    assert asyncio.get_running_loop().time() - began < 5  # a second, and a busy machine
    assert process.returncode is not None


_SECOND = """
import logging, sys, grid

logging.basicConfig(level=logging.INFO)
grid.Server(sys.argv[1], etcd=sys.argv[2], name="held").run()
"""


async def test_a_peer_that_waits_for_its_name_is_stopped(
    grid_servers: Callable[..., grid.Server], grid_etcd: Etcd, grid_namespace: str
) -> None:
    async with grid_servers(name="held"):
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", _SECOND, grid_namespace, grid_etcd.endpoint), stderr=PIPE
        )
        assert process.stderr is not None
        log = b""
        while b"waits for the lease" not in log:
            line = await process.stderr.readline()
            assert line, log
            log += line
        process.send_signal(signal.SIGTERM)
        _, rest = await asyncio.wait_for(process.communicate(), 20)
        assert (process.returncode, b"still runs" in rest) == (0, False), rest


async def test_run_says_how_to_run_a_server_in_a_thread_or_a_loop(grid_etcd: Etcd) -> None:
    server = grid.Server("shop", etcd=grid_etcd.endpoint)
    with pytest.raises(CannotRunHere, match=r"await server\.serve\(\)"):
        server.run()
    with pytest.raises(CannotRunHere, match="async with server"):
        await asyncio.to_thread(server.run)
    with pytest.raises(CannotRunHere, match="async with server"):
        await asyncio.to_thread(asyncio.run, server.serve())


async def test_a_server_runs_without_standard_streams(
    grid_client: grid.Client, grid_etcd: Etcd, grid_namespace: str
) -> None:
    process = await asyncio.create_subprocess_exec(
        *("sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh"),
        *(sys.executable, "-c", _PEER, grid_namespace, grid_etcd.endpoint),
    )
    try:

        async def there() -> bool:
            return bool(await grid_client.query("peer"))

        await wait_until(there, "the peer is there", timeout=20)
        (peer,) = await grid_client.query("peer")
        assert await grid_client.check(peer.name) == "SERVING"
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 10) == 0
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def test_a_peer_serves_without_a_temporary_folder(
    grid_client: grid.Client, grid_etcd: Etcd, grid_namespace: str
) -> None:
    none = dict.fromkeys(("TMPDIR", "TEMP", "TMP"), "/nowhere")
    script = "import tempfile; tempfile._candidate_tempdir_list = lambda: ['/nowhere']\n" + _PEER
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", script, grid_namespace, grid_etcd.endpoint),
        env={**os.environ, **none},
    )
    try:

        async def there() -> bool:
            return bool(await grid_client.query("peer"))

        await wait_until(there, "the peer is there", timeout=20)
        with pytest.raises(grid.GridError):
            await grid_client.request("nobody", EchoMsg(), timeout=5)
        assert process.returncode is None
    finally:
        process.kill()
        await process.wait()


def test_the_first_process_of_a_container_is_stopped_before_it_serves() -> None:
    inside = "import grid, os, time; grid.Server('shop'); print(os.getpid(), flush=True)"
    script = inside + "; time.sleep(60)"
    command = ["unshare", "--pid", "--fork", "--kill-child", sys.executable, "-c", script]
    try:
        container = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    except OSError as error:
        pytest.skip(f"no namespaces here: {error}")
    try:
        assert container.stdout is not None
        if container.stdout.readline() != b"1\n":
            pytest.skip("no namespaces here")
        subprocess.run(["pkill", "-TERM", "-P", str(container.pid)], check=True)
        assert container.wait(10) == 128 + signal.SIGTERM
    finally:
        container.kill()
        container.communicate()


async def test_a_peer_in_a_loop_that_pauses_warns(
    grid_server: grid.Server, grid_servers: Callable[..., grid.Server]
) -> None:
    shell = type("TerminalInteractiveShell", (), {})()
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
        with pytest.warns(RuntimeWarning, match="IPython runs its event loop only while"):
            await grid_servers().start()


async def test_a_blocking_call_on_the_loop_of_a_peer_warns(
    grid_server: grid.Server, grid_etcd: Etcd, grid_namespace: str
) -> None:
    def ask() -> int:
        with grid.sync.Client(grid_namespace, etcd=grid_etcd.endpoint) as client:
            return len(client.query("peer"))

    with pytest.warns(RuntimeWarning, match=f"event loop of peer '{grid_server.name}'"):
        assert ask() == 1
    assert await asyncio.to_thread(ask) == 1  # no warning, which would be an error
