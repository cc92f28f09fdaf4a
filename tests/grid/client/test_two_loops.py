"""Closed clients and servers leave nothing to the next event loop of their process."""

import asyncio
import contextlib
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import grid
from grid.embedded import Etcd
from grid.wire_pb2 import EchoMsg
from tests.grid.echo_kit import EchoGrid

_SCRIPT = """
import asyncio, sys, grid
from grid.wire_pb2 import EchoMsg

namespace, etcd, peer, address, way = sys.argv[1:]
kept = []  # so that gRPC goes on between the loops

async def use(client, watches, stream):
    waiting = [anext(watch) for watch in watches]
    waiting += [client.query("peer") for _ in range(20)]
    waiting += [client.check(peer) for _ in range(20)]
    waiting += [client.request("silent", EchoMsg(), timeout=30) for _ in range(20)]
    waiting += [anext(stream)] if stream else []
    return await asyncio.gather(*waiting, return_exceptions=True)

async def main(round):
    async with grid.Client(namespace, etcd=etcd) as client:
        kept.append(client)
        if way == "unary":
            client._transport._without_sessions.add(address)
        await client.request("echo", EchoMsg())
        stream = None if way == "unary" else await client.stream("streams", EchoMsg())
        watches = [client.watch("peer") for _ in range(20)]
        for watch in watches:
            await anext(watch)
        using = asyncio.create_task(use(client, watches, stream))
        for _ in range(round % 7):
            await asyncio.sleep(0)
        if round % 2:
            using.cancel()
    kept.append((watches, stream))

for round in range(60):
    asyncio.run(main(round))
print("done")
"""


_SERVER = """
import asyncio, sys, grid

namespace, etcd = sys.argv[1:]
kept = []  # so that gRPC goes on between the loops

async def main():
    async with grid.Server(namespace, etcd=etcd, listen="127.0.0.1:0", unix_socket=False) as server:
        async with server.open_mailbox("again") as mailbox:
            kept.append((server, mailbox, server.client))
            answered = 0
            async for request in mailbox:
                answered += 1
                if answered == 3:
                    break  # the others are left unanswered
                request.respond(request.message)

for _ in range(12):
    asyncio.run(main())
print("done")
"""

_SYNC = """
import sys, grid, grid.sync
from grid.wire_pb2 import EchoMsg

namespace, etcd = sys.argv[1:]
kept = []  # so that gRPC goes on between the loops

for _ in range(30):
    with grid.sync.Client(namespace, etcd=etcd) as client:
        client.request("echo", EchoMsg())
        with client.watch("peer") as events:
            next(events)
            kept += [events, client]
            for _ in range(10):
                kept.append(client.send("silent", EchoMsg()))
print("done")
"""

_ETCD = """
import asyncio, sys
from grid.etcd import EtcdClient, EtcdConfig

namespace, etcd = sys.argv[1:]
kept = []  # so that gRPC goes on between the loops

async def follow(client):
    async with client.watch(namespace) as watch:
        async for batch in watch:
            pass

async def main():
    client = EtcdClient(EtcdConfig.parse(etcd))
    kept.append(client)
    lease = await client.open_lease(2.0)
    following = [asyncio.create_task(follow(client)) for _ in range(5)]
    await client.get(namespace)
    reading = [asyncio.create_task(client.get_prefix(namespace)) for _ in range(20)]
    await asyncio.sleep(0)
    await client.close()
    await asyncio.gather(*following, *reading, return_exceptions=True)

for _ in range(30):
    asyncio.run(main())
print("done")
"""


async def _run(script: str, *arguments: str) -> tuple[str, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        script,
        *arguments,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=Path(__file__).parents[3],
        # Debug mode prints what takes long, which is not what is looked for.
        env={name: value for name, value in os.environ.items() if name != "PYTHONASYNCIODEBUG"},
    )
    output, errors = await process.communicate()
    return output.decode(), errors.decode()


async def _accept(mailbox: grid.Mailbox) -> None:
    _ = [request.accept() async for request in mailbox]


@pytest.mark.parametrize("way", ["session", "unary"])
async def test_closed_clients_print_nothing_on_later_loops(
    way: str,
    grid_etcd: Etcd,
    grid_namespace: str,
    grid_servers: Callable[..., grid.Server],
) -> None:
    peer = EchoGrid(grid_namespace, grid_etcd.endpoint, grid_servers)
    await peer.start(unix_socket=False)
    streams = await peer.server.open_mailbox("streams", size=10_000)
    accepting = asyncio.create_task(_accept(streams))
    async with peer.server.open_mailbox("silent", size=10_000):
        output, errors = await _run(
            _SCRIPT,
            peer.namespace,
            grid_etcd.endpoint,
            peer.server.name,
            peer.server.address,
            way,
        )
    accepting.cancel()
    await asyncio.wait((accepting,))
    await peer.close()
    assert (output, errors) == ("done\n", "")


@pytest.mark.parametrize("script", [_SYNC, _ETCD], ids=["sync", "etcd"])
async def test_closed_sessions_of_a_kind_print_nothing_on_later_loops(
    script: str,
    grid_etcd: Etcd,
    grid_namespace: str,
    grid_servers: Callable[..., grid.Server],
) -> None:
    peer = EchoGrid(grid_namespace, grid_etcd.endpoint, grid_servers)
    await peer.start(unix_socket=False)
    async with peer.server.open_mailbox("silent", size=10_000):
        output, errors = await _run(script, peer.namespace, grid_etcd.endpoint)
    await peer.close()
    assert (output, errors) == ("done\n", "")


@pytest.mark.parametrize("way", ["session", "unary"])
async def test_stopped_servers_print_nothing_on_later_loops(
    way: str, grid_etcd: Etcd, grid_namespace: str
) -> None:
    running = asyncio.create_task(_run(_SERVER, grid_namespace, grid_etcd.endpoint))

    async def ask(client: grid.Client) -> None:
        while not running.done():
            with contextlib.suppress(grid.GridError):
                await client.request("again", EchoMsg(), timeout=2)
            await asyncio.sleep(0.01)  # between two servers

    async with grid.Client(grid_namespace, etcd=grid_etcd.endpoint) as client:
        if way == "unary":
            client._transport._without_sessions = _Everything()
        await asyncio.gather(*(ask(client) for _ in range(8)))
    assert await running == ("done\n", "")


class _Everything(set[str]):
    def __contains__(self, _: object) -> bool:
        return True
