"""Peers as processes: signals, kills, and many that want one name."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import grid
from grid.embedded import Etcd
from grid.errors import (
    UnregisteredMailbox,
)
from grid.testing import wait_until
from grid.wire_pb2 import EchoMsg

Servers = Callable[..., grid.Server]


_SCRIPT = """
import asyncio, sys, grid
server = grid.Server(sys.argv[1], etcd=sys.argv[2], lease=2.0, drain_timeout=float(sys.argv[3]))
@server.actor("slow")
async def slow(ctx):
    await ctx.stopping.wait()
    await asyncio.sleep(60)
@server.actor("leader")
async def leader(ctx):
    print(ctx.epoch, flush=True)
    await ctx.stopping.wait()
server.run()
"""


def spawn(namespace: str, etcd: Etcd, drain: float = 10.0) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", _SCRIPT, namespace, etcd.endpoint, str(drain)],
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[3],
    )


async def test_a_second_signal_cuts_the_drain(
    grid_etcd: Etcd, grid_client: grid.Client, grid_namespace: str
) -> None:
    process = spawn(grid_namespace, grid_etcd, drain=60.0)
    try:

        async def there() -> bool:
            return bool(await grid_client.query("peer"))

        await wait_until(there, "the peer is there")
        await grid_client.start_actor("slow")
        process.send_signal(signal.SIGTERM)
        (peer,) = await grid_client.query("peer")

        async def drains() -> bool:
            return await grid_client.check(peer.name) == "NOT_SERVING"

        await wait_until(drains, "it drains")
        assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(process.wait, 3) == 0
        assert not await grid_client.query("actor")
    finally:
        process.kill()
        process.communicate()


async def test_a_signal_during_the_start_ends_it(grid_namespace: str) -> None:
    with socket.socket() as silent:  # an etcd that accepts and never answers
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        server = grid.Server(grid_namespace, etcd=f"127.0.0.1:{silent.getsockname()[1]}")
        serving = asyncio.create_task(server.serve())
        silent.setblocking(False)
        asked, _ = await asyncio.get_running_loop().sock_accept(silent)  # it starts
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.wait_for(serving, 5)
        asked.close()


async def test_a_killed_peers_names_go_and_its_callers_are_told(
    grid_etcd: Etcd, grid_client: grid.Client, grid_namespace: str
) -> None:
    process = spawn(grid_namespace, grid_etcd)
    try:
        async with grid_client.watch("actor") as events:
            first = await asyncio.wait_for(anext(events), 10)
            assert isinstance(first, grid.EntityFound)
            assert first.entity.name == "leader"
            process.send_signal(signal.SIGKILL)
            lost = await asyncio.wait_for(anext(events), 4)
            assert isinstance(lost, grid.EntityLost)
            assert lost.entity == first.entity
    finally:
        process.kill()
        process.communicate()
    with pytest.raises(UnregisteredMailbox):
        await grid_client.request(first.entity.peer, EchoMsg(), timeout=5)


async def test_fifty_claims_of_one_name_have_one_winner(
    grid_etcd: Etcd, grid_client: grid.Client, grid_namespace: str
) -> None:
    script = """
import asyncio, json, sys, grid
from grid.errors import AlreadyRegistered
async def claim(server):
    try:
        return (await server.open_mailbox("prize")).epoch
    except AlreadyRegistered as error:
        return f"{type(error).__name__} {error.peer}"
async def main():
    async with grid.Server(sys.argv[1], etcd=sys.argv[2]) as server:
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        print(json.dumps([server.name, await asyncio.gather(*(claim(server) for _ in range(10)))]))
        sys.stdout.flush()
        await asyncio.to_thread(sys.stdin.readline)
asyncio.run(main())
"""
    processes = [
        await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            script,
            grid_namespace,
            grid_etcd.endpoint,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        for _ in range(5)
    ]
    answers: list[tuple[str, list[int | str]]] = []
    try:
        for process in processes:
            assert process.stdout is not None
            assert await asyncio.wait_for(process.stdout.readline(), 20) == b"ready\n"
        for process in processes:
            assert process.stdin is not None
            process.stdin.write(b"go\n")
        for process in processes:
            assert process.stdout is not None
            answers.append(json.loads(await asyncio.wait_for(process.stdout.readline(), 20)))
        claims = [(peer, claim) for peer, one in answers for claim in one]
        winners = [(peer, claim) for peer, claim in claims if isinstance(claim, int)]
        assert len(claims) == 50
        assert len(winners) == 1
        owner, epoch = winners[0]
        losers = [claim for _, claim in claims if not isinstance(claim, int)]
        assert losers == [f"AlreadyRegistered {owner}"] * 49
        found = {one.name: one for one in await grid_client.query("mailbox")}
        assert (found["prize"].peer, found["prize"].epoch) == (owner, epoch)
    finally:
        for process in processes:
            await process.communicate(b"end\n")
