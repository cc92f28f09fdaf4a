"""Children that an actor forks: their signals, their copies of sockets, and their own clients."""

import asyncio
import contextlib
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

import grid
from grid.embedded import Etcd
from grid.embedded.ports import free_ports
from grid.errors import OutcomeUnknown
from grid.testing import wait_until
from grid.wire_pb2 import EchoMsg

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="the system cannot fork")

_PEER = """
import asyncio, multiprocessing, os, signal, sys, threading, time, grid, grid.sync
from grid.wire_pb2 import EchoMsg

namespace, etcd, listen = sys.argv[1:4]
server = grid.Server(namespace, etcd=etcd, lease=2.0, listen=listen)
fork = multiprocessing.get_context("fork")

def wait():
    print(os.getpid(), flush=True)
    time.sleep(120)

def ask(send):
    try:
        with grid.sync.Client(namespace, etcd=etcd, timeout=5) as client:
            send.send(str(len(client.query("peer"))))
    except Exception as error:
        send.send(type(error).__name__)

def ask_async(send):
    async def main():
        async with grid.Client(namespace, etcd=etcd, timeout=5) as client:
            return str(len(await client.query("peer")))
    try:
        send.send(asyncio.run(main()))
    except Exception as error:
        send.send(type(error).__name__)

def answer_of(target):
    receive, send = fork.Pipe(duplex=False)
    child = fork.Process(target=target, args=(send,))
    child.start()
    try:
        return receive.recv() if receive.poll(20) else "no answer"
    finally:
        child.kill()
        child.join()

@server.actor("forker", mailbox=16)
def forker(ctx):
    for request in ctx.mailbox:
        wish = request.message.msg
        if wish == "pool":
            with fork.Pool(2) as pool:  # it ends its workers by SIGTERM
                request.respond(EchoMsg(msg=str(pool.map(abs, [-1, -2]))))
        elif wish in ("SIGTERM", "SIGINT"):
            children = [fork.Process(target=time.sleep, args=(60,)) for _ in range(10)]
            for child in children:
                child.start()
                os.kill(child.pid, getattr(signal, wish))  # some before they have begun
            for child in children:
                while wish == "SIGINT" and child.exitcode is None:
                    os.kill(child.pid, signal.SIGINT)  # Python may have ignored one in a hook
                    child.join(0.1)
                child.join(20)
            codes = {child.exitcode for child in children}
            request.respond(EchoMsg(msg=str(None not in codes and 0 not in codes)))
        elif wish == "orphan":
            fork.Process(target=wait).start()
            request.ack()
        elif wish == "orphan and wait":
            fork.Process(target=wait).start()
            ctx.wait_stopping(60)
        elif wish == "client":
            request.respond(EchoMsg(msg=answer_of(ask)))
        elif wish == "old client":
            def old(send):
                try:
                    send.send(str(len(ctx.client.query("peer"))))
                except Exception as error:
                    send.send(type(error).__name__)
            request.respond(EchoMsg(msg=answer_of(old)))
        elif wish == "async client":
            request.respond(EchoMsg(msg=answer_of(ask_async)))
        else:
            request.ack()

server.run()
"""

Spawn = Callable[..., Awaitable[Process]]


@pytest.fixture
async def spawn(
    grid_etcd: Etcd, grid_namespace: str, grid_client: grid.Client
) -> AsyncIterator[Spawn]:
    """Starts a peer as a process that runs the actor `f`."""
    processes: list[Process] = []

    async def spawn(listen: str = "127.0.0.1:0") -> Process:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-c", _PEER, grid_namespace, grid_etcd.endpoint, listen),
            stdout=PIPE,
            start_new_session=True,
        )
        processes.append(process)

        async def there() -> bool:
            return bool(await grid_client.query("peer"))

        await wait_until(there, "the peer is there", timeout=20)
        await grid_client.start_actor("forker", name="f")
        return process

    yield spawn
    for process in processes:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # with its orphans
        await process.communicate()


@pytest.mark.parametrize("wish", ["pool", "SIGTERM", "SIGINT"])
async def test_a_signal_to_a_forked_child_is_not_the_peers(
    spawn: Spawn, grid_client: grid.Client, wish: str
) -> None:
    process = await spawn()
    answer = await grid_client.request("f", EchoMsg(msg=wish), reply=EchoMsg, timeout=60)
    assert answer.msg == ("[1, 2]" if wish == "pool" else "True")
    assert await grid_client.request("f", EchoMsg(), reply=grid.Ack)
    (peer,) = await grid_client.query("peer")
    assert await grid_client.check(peer.name) == "SERVING"
    process.send_signal(signal.SIGTERM)
    assert await asyncio.wait_for(process.wait(), 10) == 0


async def test_a_killed_peers_orphan_keeps_neither_its_port_nor_its_callers(
    spawn: Spawn, grid_client: grid.Client
) -> None:
    listen = f"127.0.0.1:{free_ports(1)[0]}"
    process = await spawn(listen)
    waiting = asyncio.create_task(
        grid_client.request("f", EchoMsg(msg="orphan and wait"), timeout=60)
    )
    assert process.stdout is not None
    orphan = int(await asyncio.wait_for(process.stdout.readline(), 20))
    process.kill()
    with pytest.raises(OutcomeUnknown):  # at once, not by its deadline
        await asyncio.wait_for(waiting, 5)

    async def gone() -> bool:
        return not await grid_client.query("peer")

    await wait_until(gone, "the lease has ended")
    await spawn(listen)
    assert await grid_client.request("f", EchoMsg(), reply=grid.Ack)
    os.kill(orphan, 0)  # it is still there


@pytest.mark.parametrize("wish", ["client", "old client", "async client"])
async def test_a_client_in_a_child_of_a_peer_says_why_it_cannot_work(
    spawn: Spawn, grid_client: grid.Client, wish: str
) -> None:
    await spawn()
    answer = await grid_client.request("f", EchoMsg(msg=wish), reply=EchoMsg, timeout=60)
    assert answer.msg == "ForkedProcess"
